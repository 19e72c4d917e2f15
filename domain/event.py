"""An event states a fact that was committed, with the thing as it then was."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

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


EVENT_TYPES: Final[Mapping[str, str]] = {
    "tenant.created": "The operator created the tenant.",
    "tenant.updated": "Branding, settings or terms of the tenant changed.",
    "tenant.active": "The operator let the suspended tenant act again.",
    "tenant.suspended": "The operator suspended the tenant: its keys are refused.",
    "tenant.closed": "The operator closed the tenant, for ever.",
    "api_key.created": "A key was created; its secret is in no event.",
    "api_key.rotated": "A key has got a successor, and ends when their overlap does.",
    "api_key.revoked": "A key was revoked.",
    "customer.created": "A customer was created.",
    "customer.active": "The suspended customer may trade again.",
    "customer.suspended": "The customer may not trade until activated again.",
    "customer.closed": "The customer was closed, for ever.",
    "deposit.created": "Play money was credited, in the sandbox.",
    "quote.created": "A firm quote was given.",
    "quote.canceled": "A quote was canceled before anybody accepted it; that one expired is told "
    "by its `expire_time` and by no event.",
    "trade.accepted": "A quote was accepted: the customer's money is held, the order may go out.",
    "trade.settled": "The trade was executed and booked, at exactly the quoted amounts.",
    "trade.rejected": "No liquidity provider executed the trade: what was held is free again.",
    "trade.outcome_unknown": "A liquidity provider may have executed or not; the money stays held "
    "until that is known.",
    "entry.committed": "A ledger entry was booked that belongs to no trade and no deposit: a "
    "reversal, a hold that expired, an adjustment, a settlement with a liquidity provider.",
    "entries.committed": "The operator booked ledger entries, told by their ids, up to 1,000 in an "
    "event.",
    "break.raised": "Something does not agree: a difference that reconciliation found, or a late "
    "fill of a liquidity provider.",
    "break.resolved": "A difference was explained or made good.",
    "trading_state.changed": "The operator halted or opened what may be traded: told to the tenant "
    "if it is about that, else to the operator.",
    "lp.circuit_opened": "A liquidity provider fails again and again and is left alone; told to "
    "the operator.",
    "lp.circuit_half_opened": "A liquidity provider that was left alone is tried again; told to "
    "the operator.",
    "lp.circuit_closed": "A liquidity provider answers again; told to the operator.",
    "dead_letter.buried": "One of the platform's consumers could not deal with an event and went "
    "on without it; told to the operator.",
    "dead_letter.replayed": "The event of a dead letter had its effect after all; told to the "
    "operator.",
    "dead_letter.replay_failed": "A replay failed and the event is buried again; told to the "
    "operator.",
}
"""Every type of event, and when it is told."""


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
