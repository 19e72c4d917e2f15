"""Reading a sandbox venue's answers: exactly, or not at all."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from adapters.lp.sandbox.client import Answer
from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.errors import DomainError
from domain.ids import AttemptId
from domain.side import Side
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import LpQuote, LpQuoteRequest, Working

QUOTE_EXPIRED: Final = "QUOTE_EXPIRED"

VERDICTS: Final = frozenset({QUOTE_EXPIRED, "REJECTED", "QUOTE_NOT_FOUND", "QUOTE_USED"})
"""Codes of an order's refusal that mean: not executed, and never will be."""

NO_PRICE: Final = frozenset(
    {"NO_PRICE", "UNKNOWN_INSTRUMENT", "AMOUNT_TOO_SMALL", "AMOUNT_TOO_LARGE"}
)
"""Codes of a quote's refusal that mean: asked and understood, but no price for this."""

_REFERENCE: Final = re.compile(r"[!-~]{1,128}", re.ASCII)


class BadAnswer(Exception):
    """The answer cannot be taken for what it should be.

    Attributes:
        reason: a stable name of what is wrong with it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """A refusal in the venue's form.

    Attributes:
        client_order_id: the order it speaks of, where it says so.
    """

    code: str
    client_order_id: str | None


def parse_quote(answer: Answer, request: LpQuoteRequest, *, margin: timedelta) -> LpQuote:
    """Read a price, or raise `BadAnswer`."""
    fields = _object(answer)
    _expect_echo(
        fields,
        client_quote_id=str(request.id),
        base_asset=request.instrument.base.code,
        quote_asset=request.instrument.quote.code,
        side=request.side.value,
    )
    expire_time = _time(fields, "expire_time")
    if expire_time - _time(fields, "time") <= margin:
        raise _unreadable("the quote is over when it arrives")
    return LpQuote(
        reference=_reference(fields, "quote_id"),
        base=_amount(fields, "base_amount", request.instrument.base),
        quote=_amount(fields, "quote_amount", request.instrument.quote),
        expires_at=expire_time - margin,
    )


def parse_order(
    answer: Answer, *, client_order_id: AttemptId, instrument: Instrument, side: Side
) -> Filled | Rejected | Working:
    """Read the state of an order, or raise `BadAnswer`."""
    fields = _object(answer)
    _expect_echo(fields, client_order_id=str(client_order_id))
    status = _text(fields, "status")
    if status == "working":
        return Working(answer.evidence)
    _expect_echo(
        fields,
        base_asset=instrument.base.code,
        quote_asset=instrument.quote.code,
        side=side.value,
    )
    if status == "rejected":
        return rejection(_text(fields, "code"), answer)
    if status != "filled":
        raise _unreadable("unknown status")
    return Filled(
        base=_amount(fields, "base_amount", instrument.base),
        quote=_amount(fields, "quote_amount", instrument.quote),
        venue_order_id=_reference(fields, "order_id"),
        evidence=answer.evidence,
    )


def rejection(code: str, answer: Answer) -> Rejected:
    """Return the verdict of that code, or raise `BadAnswer` when it is none."""
    if code not in VERDICTS:
        raise BadAnswer("LP_NO_VERDICT", "the code is no verdict")
    return Rejected(
        reason=f"LP_{code}", evidence=answer.evidence, lp_quote_expired=code == QUOTE_EXPIRED
    )


def parse_error(answer: Answer) -> ErrorAnswer:
    """Read a refusal, or raise `BadAnswer`."""
    fields = _object(answer)
    error = fields.get("error")
    if not isinstance(error, dict):
        raise _unreadable("error is missing")
    client_order_id = fields.get("client_order_id")
    if client_order_id is not None and not isinstance(client_order_id, str):
        raise _unreadable("client_order_id is no text")
    return ErrorAnswer(_text(error, "code"), client_order_id)


def parse_time(answer: Answer) -> datetime:
    """Read the venue's clock, or raise `BadAnswer`."""
    return _time(_object(answer), "time")


def _object(answer: Answer) -> dict[str, Any]:
    try:
        fields = json.loads(answer.body, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise _unreadable("no JSON") from error
    if not isinstance(fields, dict):
        raise _unreadable("no JSON object")
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _expect_echo(fields: dict[str, Any], **expected: str) -> None:
    for field, value in expected.items():
        if fields.get(field) != value:
            raise BadAnswer("LP_WRONG_ECHO", f"{field} is not what was asked")


def _text(fields: dict[str, Any], field: str) -> str:
    value = fields.get(field)
    if not isinstance(value, str):
        raise _unreadable(f"{field} is missing or no text")
    return value


def _reference(fields: dict[str, Any], field: str) -> str:
    value = _text(fields, field)
    if not _REFERENCE.fullmatch(value):
        raise _unreadable(f"{field} is no id")
    return value


def _amount(fields: dict[str, Any], field: str, asset: Asset) -> Amount:
    try:
        return Amount.parse_positive(_text(fields, field), asset, field=field)
    except DomainError as error:
        raise _unreadable(error.message) from error


def _time(fields: dict[str, Any], field: str) -> datetime:
    try:
        at = datetime.fromisoformat(_text(fields, field))
        if at.tzinfo is None:
            raise _unreadable(f"{field} has no zone")
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _unreadable(f"{field} is no time") from error


def _unreadable(detail: str) -> BadAnswer:
    return BadAnswer("LP_ANSWER_UNREADABLE", detail)
