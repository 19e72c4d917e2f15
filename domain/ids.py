"""Typed ids: a UUIDv7 inside, a prefixed TypeID wherever a human looks.

The text form follows the TypeID specification 0.3 (https://github.com/jetify-com/typeid):
a lower-case prefix, an underscore, and 26 digits of Crockford's base 32.
"""

import builtins
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self
from uuid import UUID

from domain.errors import InvalidId

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS = 26
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# From Crockford's digits to those that int() reads in base 32; nothing else is a digit to it.
_AS_PYTHON = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[_ALPHABET.index(chr(byte))]
    if chr(byte) in _ALPHABET
    else ord("!")
    for byte in range(256)
)


def milliseconds(instant: datetime) -> int:
    """Return whole milliseconds since 1970, as the first 48 bits of a UUIDv7 count them."""
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


_LAST_MS = milliseconds(datetime.max.replace(tzinfo=UTC))


def _encode(value: int) -> str:
    pairs = _PAIRS
    high, low = value >> 60, value & (1 << 60) - 1
    # One string is made, where sums would make one for each of them.
    return (
        f"{pairs[high >> 60]}{pairs[high >> 50 & 0x3FF]}{pairs[high >> 40 & 0x3FF]}"
        f"{pairs[high >> 30 & 0x3FF]}{pairs[high >> 20 & 0x3FF]}{pairs[high >> 10 & 0x3FF]}"
        f"{pairs[high & 0x3FF]}{pairs[low >> 50]}{pairs[low >> 40 & 0x3FF]}"
        f"{pairs[low >> 30 & 0x3FF]}{pairs[low >> 20 & 0x3FF]}{pairs[low >> 10 & 0x3FF]}"
        f"{pairs[low & 0x3FF]}"
    )


class TypedId:
    """An id of one kind; two ids are equal when kind and value are.

    It is made from what is at hand, its 16 bytes, its UUID or its text; the others follow when
    they are asked for. Most ids of a batch are never shown to anybody.

    Attributes:
        bytes: the 16 bytes, in network order as in `uuid.UUID.bytes`; ids are ordered by them.
    """

    prefix: ClassVar[str]
    _head: ClassVar[str]
    __slots__ = ("_text", "_uuid", "bytes")
    bytes: builtins.bytes
    _uuid: UUID | None
    _text: str | None

    def __init_subclass__(cls) -> None:
        cls._head = f"{cls.prefix}_"

    def __init__(self, uuid: UUID) -> None:
        self.bytes = uuid.bytes
        self._uuid = uuid
        self._text = None

    @classmethod
    def from_bytes(cls, value: builtins.bytes) -> Self:
        """Return the id of those 16 bytes."""
        id = cls.__new__(cls)
        id.bytes = value
        id._uuid = id._text = None
        return id

    @classmethod
    def parse(cls, text: str, *, field: str = "id") -> Self:
        """Read the text form, or raise `InvalidId` naming `field`."""
        head = cls._head
        if len(text) == len(head) + _DIGITS and text.startswith(head) and text.isascii():
            try:
                value = int(text[-_DIGITS:].encode().translate(_AS_PYTHON), 32).to_bytes(16)
            except (ValueError, OverflowError):
                pass  # no digit, or more than 128 bits
            else:
                id = cls.from_bytes(value)
                id._text = text
                return id
        raise InvalidId(
            f"{field} must be an id such as {head}01h455vb4pex5vsknk084sn02q",
            field=field,
            expected_prefix=cls.prefix,
        )

    @property
    def uuid(self) -> UUID:
        if self._uuid is None:
            self._uuid = UUID(bytes=self.bytes)
        return self._uuid

    @property
    def created_ms(self) -> int:
        """Milliseconds since 1970: the first 48 bits of a UUIDv7 (RFC 9562 section 5.7)."""
        return int.from_bytes(self.bytes[:6])

    @property
    def created_at(self) -> datetime:
        """The same as an instant.

        48 bits reach past the year 9999, where `datetime` ends; those ids read as its end.
        """
        return _EPOCH + timedelta(milliseconds=min(self.created_ms, _LAST_MS))

    @property
    def is_time_ordered(self) -> bool:
        """Whether it says that it is a UUIDv7: its version, and its variant."""
        return self.bytes[6] >> 4 == 7 and self.bytes[8] >> 6 == 0b10

    def __str__(self) -> str:
        if self._text is None:
            self._text = f"{self._head}{_encode(int.from_bytes(self.bytes))}"
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.bytes == self.bytes

    def __lt__(self, other: Self) -> bool:
        return self.bytes < other.bytes

    def __hash__(self) -> int:
        return hash(self.bytes)


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


class StatementId(TypedId):
    """Names a statement of a source, as it was taken in."""

    prefix = "statement"
    __slots__ = ()


class LpId(TypedId):
    """Names a liquidity provider in events; people and settings use its name."""

    prefix = "lp"
    __slots__ = ()


class TradingStateChangeId(TypedId):
    """Names one decision about what may be traded."""

    prefix = "statechange"
    __slots__ = ()


class LineId(TypedId):
    """Names one line of a statement, or what one entry moved on an account that it is about."""

    prefix = "line"
    __slots__ = ()


class MatchId(TypedId):
    """Names lines that are the same money."""

    prefix = "match"
    __slots__ = ()


class BreakResolutionId(TypedId):
    """Names what explains a break, or is proposed to."""

    prefix = "breakresolution"
    __slots__ = ()


class LpSettlementId(TypedId):
    prefix = "lpsettlement"
    __slots__ = ()


class AuditRecordId(TypedId):
    prefix = "auditrecord"
    __slots__ = ()


class RequestSigningKeyId(TypedId):
    prefix = "requestsigningkey"
    __slots__ = ()


class WebhookEndpointId(TypedId):
    """Names a URL that a tenant's events are sent to."""

    prefix = "webhookendpoint"
    __slots__ = ()


class WebhookDeliveryId(TypedId):
    """Names one event on its way to one endpoint."""

    prefix = "webhookdelivery"
    __slots__ = ()
