"""Reading a venue's answers: exactly, or not at all."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from adapters.lp.http import Answer
from domain.amount import MAX_UNITS, Amount
from domain.asset import Asset
from domain.errors import DomainError
from domain.trade.outcome import ORDER_WORKING

UNREADABLE: Final = "LP_ANSWER_UNREADABLE"
WRONG_ECHO: Final = "LP_WRONG_ECHO"

_STORABLE: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_PRICE: Final = re.compile(r"(0|[1-9][0-9]{0,29})(\.[0-9]{1,30})?", re.ASCII)
_MILLISECONDS: Final = re.compile(r"[0-9]{1,14}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ROUGHLY: Final = Fraction(1, 10_000)
"""How far a price may be from the two amounts beside it: venues round it for people."""


class BadAnswer(Exception):
    """The answer cannot be taken for what it should be.

    Attributes:
        reason: a stable name of what is wrong with it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class NoPrice(Exception):
    """The venue was asked and understood, and gives no price for this.

    Attributes:
        code: the reason of `AmountTooSmall`, `AmountTooLarge` or `TooManyDigits` where only the
            size stands against it, or else the venue's own.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def unreadable(detail: str) -> BadAnswer:
    return BadAnswer(UNREADABLE, detail)


def misread(error: Exception) -> BadAnswer:
    """Return what was wrong with an answer over which an adapter stumbled."""
    # It knows as little of a sent order as one that is told nonsense.
    return error if isinstance(error, BadAnswer) else unreadable(type(error).__name__)


@contextmanager
def of_taken_order() -> Iterator[None]:
    """Read the rest of an answer that has named our order, and so has proved that it was taken.

    Whatever is wrong with the rest, the venue has the order: what is raised inside becomes a
    `BadAnswer` with the reason `ORDER_WORKING`, and says the same.
    """
    try:
        yield
    except Exception as error:
        raise BadAnswer(ORDER_WORKING, str(misread(error))) from error


def bounded(amount: Amount) -> Amount:
    """Return an amount that was made of an answer's, if one account can hold it."""
    if amount.units > MAX_UNITS:
        raise unreadable("the amount is larger than any")
    return amount


def unexpected(answer: Answer) -> BadAnswer:
    """Return what to raise for an answer that its HTTP status already makes useless."""
    return BadAnswer(f"LP_HTTP_{answer.status}", "no answer to what was asked")


class Fields:
    """One JSON object; whatever is read from it is there and well formed, or raises `BadAnswer`."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    @classmethod
    def of(cls, answer: Answer) -> "Fields":
        """Read an answer that is one JSON object; nothing in it becomes a float."""
        values = _read(answer)
        if not isinstance(values, dict):
            raise unreadable("no JSON object")
        return cls(values)

    @classmethod
    def all_of(cls, answer: Answer) -> list["Fields"]:
        """Read an answer that is a list of JSON objects, likewise."""
        return _objects(_read(answer), "the answer")

    def has(self, field: str) -> bool:
        return self._values.get(field) is not None

    def is_null(self, field: str) -> bool:
        """Say whether the field is there, and explicitly has no value."""
        return field in self._values and self._values[field] is None

    def text(self, field: str) -> str:
        value = self._values.get(field)
        if not isinstance(value, str):
            raise unreadable(f"{field} is missing or no text")
        return value

    def code(self, field: str) -> str:
        """Read a code, a whole number or a text that an id could be: reasons are stored."""
        value = self._values.get(field)
        text = str(value) if type(value) is int else value
        if not isinstance(text, str) or not _STORABLE.fullmatch(text):
            raise unreadable(f"{field} is missing or no code")
        return text

    def part(self, field: str) -> "Fields":
        value = self._values.get(field)
        if not isinstance(value, dict):
            raise unreadable(f"{field} is missing or no object")
        return Fields(value)

    def parts(self, field: str) -> list["Fields"]:
        return _objects(self._values.get(field), field)

    def flag(self, field: str) -> bool:
        value = self._values.get(field)
        if not isinstance(value, bool):
            raise unreadable(f"{field} is missing or neither true nor false")
        return value

    def count(self, field: str) -> int:
        """Read a whole number, zero or more."""
        value = self._values.get(field)
        if type(value) is not int or value < 0:
            raise unreadable(f"{field} is missing or no count")
        return value

    def repeats(self, **expected: str) -> bool:
        """Say whether the venue repeats what it was asked."""
        return all(self._values.get(field) == value for field, value in expected.items())

    def expect(self, **expected: str) -> None:
        """Raise unless the venue repeats what it was asked."""
        for field, value in expected.items():
            if not self.repeats(**{field: value}):
                raise BadAnswer(WRONG_ECHO, f"{field} is not what was asked")

    def identifier(self, field: str) -> str:
        """Read the venue's own id, a text or a number of up to 64 bits."""
        value = self._values.get(field)
        if type(value) is int and 0 <= value < 2**64:
            return str(value)
        if not isinstance(value, str) or not _STORABLE.fullmatch(value):
            raise unreadable(f"{field} is missing or no id")
        return value

    def amount(self, field: str, asset: Asset, *, or_zero: bool = False) -> Amount:
        """Read a positive amount, or zero too; zeros beyond the last digit mean nothing."""
        text = self.text(field)
        whole, _, fraction = text.partition(".")
        if len(fraction) > asset.scale and not fraction[asset.scale :].strip("0"):
            kept = fraction[: asset.scale]
            text = f"{whole}.{kept}" if kept else whole
        try:
            amount = Amount.parse(text, asset, field=field)
        except DomainError as error:
            raise unreadable(error.message) from error
        if amount.units < (0 if or_zero else 1):
            raise unreadable(f"{field} must be more than zero")
        return amount

    def expect_price(self, field: str, base: Amount, quote: Amount) -> None:
        """Raise unless base times price is the quote amount, but for the venue's rounding.

        A venue that prices what is given in what is received has them in the place of both.
        """
        price = self.price(field)
        _, _, fraction = self.text(field).partition(".")
        last_digit = Fraction(1, 10 ** len(fraction))
        per_unit = Fraction(10**quote.asset.scale, 10**base.asset.scale)
        told = price * base.units * per_unit
        rounded = 1 + (price + last_digit * base.units) * per_unit
        if abs(told - quote.units) > quote.units * _ROUGHLY + rounded:
            raise unreadable(f"the amounts do not multiply by {field}")

    def price(self, field: str) -> Fraction:
        """Read how much of the quote asset one whole base costs."""
        text = self.text(field)
        if not _PRICE.fullmatch(text) or not text.strip("0."):
            raise unreadable(f"{field} is no price")
        return Fraction(text)

    def time(self, field: str) -> datetime:
        """Read a time of ISO 8601 with its zone."""
        try:
            at = datetime.fromisoformat(self.text(field))
            if at.tzinfo is None:
                raise unreadable(f"{field} has no zone")
            return at.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise unreadable(f"{field} is no time") from error

    def milliseconds(self, field: str) -> int:
        """Read a whole number of milliseconds, a text or a number."""
        value = self._values.get(field)
        text = str(value) if type(value) is int else value
        if not isinstance(text, str) or not _MILLISECONDS.fullmatch(text):
            raise unreadable(f"{field} is no number of milliseconds")
        return int(text)

    def unix_time(self, field: str) -> datetime:
        """Read a time in milliseconds since 1970."""
        try:
            return _EPOCH + timedelta(milliseconds=self.milliseconds(field))
        except OverflowError as error:
            raise unreadable(f"{field} is no time") from error


def expect_any(found: list[Fields], **expected: str) -> None:
    """Raise unless one of them, at least, repeats what was asked."""
    if not any(one.repeats(**expected) for one in found):
        raise BadAnswer(WRONG_ECHO, f"{', '.join(expected)} is not what was asked")


def _read(answer: Answer) -> object:
    try:
        return json.loads(
            answer.body,
            parse_float=Decimal,
            parse_constant=_no_constant,
            object_pairs_hook=_each_once,
        )
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise unreadable("no JSON") from error


def _objects(value: object, field: str) -> list[Fields]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise unreadable(f"{field} is missing or no list of objects")
    return [Fields(one) for one in value]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        # RFC 8259 section 4: what a repeated name means is anybody's guess.
        raise ValueError("a name comes twice")
    return fields
