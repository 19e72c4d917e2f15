"""An event states a fact that was committed, with the thing as it then was."""

from dataclasses import dataclass
from datetime import datetime

from domain.errors import DomainError, Kind
from domain.ids import EventId, TenantId, TypedId


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Attributes:
    type: what happened, a noun and a past participle such as `trade.settled`.
    subject: the id of the thing it happened to.
    data: the thing itself, as committed.
    correlation_id: what ties all effects of one request together.
    occurred_at: None where nobody knows better than the store: when it was stored.
    """

    id: EventId
    tenant_id: TenantId
    type: str
    subject: TypedId
    data: object
    correlation_id: str
    occurred_at: datetime | None


class EventNotFound(DomainError):
    """No such event of this tenant, or it has no sequence yet."""

    kind = Kind.MISSING
    reason = "EVENT_NOT_FOUND"


class EventsExpired(DomainError):
    """What comes after that sequence is not kept any more; `metadata["oldest"]` is."""

    reason = "EVENTS_EXPIRED"


class EventSequenceAhead(DomainError):
    """The tenant's events have not come that far; `metadata["last"]` is the latest one."""

    reason = "EVENT_SEQUENCE_AHEAD"


class EventReaderTooSlow(DomainError):
    """A message of the stream waited for its reader too long; go on from `metadata["after"]`."""

    kind = Kind.EXHAUSTED
    reason = "EVENT_READER_TOO_SLOW"
