"""Every type that an event may have, and when it is told."""

from collections.abc import Iterable, Mapping
from typing import Final

EVENT_TYPES: Final[Mapping[str, str]] = {
    "tenant.created": "The operator created the tenant.",
    "tenant.updated": "Branding, settings or terms of the tenant changed.",
    "tenant.active": "The operator let the suspended tenant act again.",
    "tenant.suspended": "The operator suspended the tenant: its keys are refused.",
    "tenant.closed": "The operator closed the tenant, for ever.",
    "api_key.created": "A key was created; its secret is in no event.",
    "api_key.rotated": "A key has got a successor, and ends when their overlap does.",
    "api_key.revoked": "A key was revoked.",
    "request_signing_key.created": "A key to sign requests with was registered.",
    "request_signing_key.revoked": "A request signing key was revoked: its signatures are refused.",
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
    "webhook_endpoint.created": "A webhook endpoint was created; its secret is in no event.",
    "webhook_endpoint.updated": "A webhook endpoint has moved, or takes other events.",
    "webhook_endpoint.enabled": "Events are sent to a webhook endpoint again.",
    "webhook_endpoint.disabled": "Nothing is sent to a webhook endpoint any more: somebody asked "
    "for it, or it answered 410.",
    "webhook_endpoint.deleted": "A webhook endpoint was deleted, for ever.",
    "webhook_endpoint.secret_rotated": "A webhook endpoint has got a new secret.",
    "webhook_endpoint.tested": "A test event was asked for; sent to that endpoint and no other.",
}
"""Each with the words that partners read."""

NOUNS: Final = frozenset(type.partition(".")[0] for type in EVENT_TYPES)


def is_known(event_type: str) -> bool:
    """Say whether an event may have that type, or one such as `trade.*` stands for."""
    noun, _, what = event_type.partition(".")
    return event_type in EVENT_TYPES or (noun in NOUNS and what == "*")


def types_named(names: Iterable[str]) -> frozenset[str]:
    """Return the types that known names stand for, `trade.*` for all of the noun."""
    known = frozenset(names)
    return frozenset(type for type in EVENT_TYPES if known & {type, f"{type.partition('.')[0]}.*"})
