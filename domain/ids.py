"""Typed ids: a UUIDv7 inside, a prefixed TypeID wherever a human looks.

The text form follows the TypeID specification 0.3 (https://github.com/jetify-com/typeid):
a lower-case prefix, an underscore, and 26 digits of Crockford's base 32.
"""

from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self
from uuid import UUID

from domain.errors import InvalidId

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE_OF = {digit: value for value, digit in enumerate(_ALPHABET)}
_DIGITS = 26
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(instant: datetime) -> int:
    """Return whole milliseconds since 1970, as the first 48 bits of a UUIDv7 count them."""
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


_LAST_MS = milliseconds(datetime.max.replace(tzinfo=UTC))


def _encode(value: int) -> str:
    return "".join(_PAIRS[(value >> shift) & 0x3FF] for shift in range(120, -1, -10))


def _decode(text: str) -> int | None:
    if len(text) != _DIGITS or text[0] > "7":
        return None
    value = 0
    for digit in text:
        number = _VALUE_OF.get(digit)
        if number is None:
            return None
        value = value << 5 | number
    return value


class TypedId:
    """An id of one kind; two ids are equal when kind and value are."""

    prefix: ClassVar[str]
    __slots__ = ("_text", "uuid")
    uuid: UUID

    def __init__(self, uuid: UUID) -> None:
        self.uuid = uuid

    @classmethod
    def parse(cls, text: str, *, field: str = "id") -> Self:
        """Read the text form, or raise `InvalidId` naming `field`."""
        prefix, separator, digits = text.rpartition("_")
        value = _decode(digits) if separator and prefix == cls.prefix else None
        if value is None:
            raise InvalidId(
                f"{field} must be an id such as {cls.prefix}_01h455vb4pex5vsknk084sn02q",
                field=field,
                expected_prefix=cls.prefix,
            )
        return cls(UUID(int=value))

    @property
    def created_ms(self) -> int:
        """Milliseconds since 1970: the first 48 bits of a UUIDv7 (RFC 9562 section 5.7)."""
        return self.uuid.int >> 80

    @property
    def created_at(self) -> datetime:
        """The same as an instant.

        48 bits reach past the year 9999, where `datetime` ends; those ids read as its end.
        """
        return _EPOCH + timedelta(milliseconds=min(self.created_ms, _LAST_MS))

    @property
    def is_time_ordered(self) -> bool:
        return self.uuid.version == 7

    def __str__(self) -> str:
        # The same id is shown in an answer, two events, an entry and a log.
        try:
            return self._text
        except AttributeError:
            self._text: str = f"{self.prefix}_{_encode(self.uuid.int)}"
            return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.uuid.int == self.uuid.int

    def __lt__(self, other: Self) -> bool:
        return self.uuid.int < other.uuid.int

    def __hash__(self) -> int:
        return hash(self.uuid.int)


class TenantId(TypedId):
    prefix = "tenant"
    __slots__ = ()


class CustomerId(TypedId):
    prefix = "customer"
    __slots__ = ()


class ApiKeyId(TypedId):
    prefix = "apikey"
    __slots__ = ()


class QuoteId(TypedId):
    prefix = "quote"
    __slots__ = ()


class LpQuoteRequestId(TypedId):
    """Names one question to one LP, so that the LP's books can be matched with ours."""

    prefix = "rfq"
    __slots__ = ()


class TradeId(TypedId):
    prefix = "trade"
    __slots__ = ()


class AttemptId(TypedId):
    """Names one execution at one LP; its text is the client order id."""

    prefix = "attempt"
    __slots__ = ()


class AccountId(TypedId):
    prefix = "account"
    __slots__ = ()


class EntryId(TypedId):
    prefix = "entry"
    __slots__ = ()


class TransferId(TypedId):
    prefix = "transfer"
    __slots__ = ()


class DepositId(TypedId):
    prefix = "deposit"
    __slots__ = ()


class EventId(TypedId):
    prefix = "event"
    __slots__ = ()


class BreakId(TypedId):
    prefix = "break"
    __slots__ = ()


class CallId(TypedId):
    """Names one call from outside; it ties all effects of the call together."""

    prefix = "call"
    __slots__ = ()


class ResolutionId(TypedId):
    """Names what two operators found out about an unknown outcome."""

    prefix = "resolution"
    __slots__ = ()


class DeadLetterId(TypedId):
    """Names an event that one consumer could not deal with."""

    prefix = "deadletter"
    __slots__ = ()
