"""A resolution: two operators say, on evidence, what became of an unknown attempt."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from domain.amount import Amount
from domain.errors import DomainError, Kind
from domain.ids import ApiKeyId, ResolutionId, TradeId
from domain.trade.attempt import AttemptState
from domain.trade.outcome import Absent, Filled
from domain.trade.trade import Trade


class ResolutionVerdict(StrEnum):
    FILLED = "filled"
    NOT_FILLED = "not_filled"


class OutcomeKnown(DomainError):
    """The trade's outcome is not unknown, so there is nothing to resolve."""

    kind = Kind.REFUSED
    reason = "OUTCOME_KNOWN"


class ResolutionNotFound(DomainError):
    """No such resolution of this trade."""

    kind = Kind.MISSING
    reason = "RESOLUTION_NOT_FOUND"


class SecondKeyRequired(DomainError):
    """Who proposed a resolution cannot approve it: two persons decide."""

    kind = Kind.REFUSED
    reason = "SECOND_KEY_REQUIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Attributes:
    attempt: number of the attempt that it is about.
    venue_order_id, filled_amount: what the venue executed, where it did.
    evidence: where that is to be seen, such as a statement line of the venue.
    """

    id: ResolutionId
    trade_id: TradeId
    attempt: int
    verdict: ResolutionVerdict
    venue_order_id: str
    filled_amount: Amount | None
    evidence: str
    proposed_by: ApiKeyId
    proposed_at: datetime
    approved_by: ApiKeyId | None = None
    approved_at: datetime | None = None

    def __post_init__(self) -> None:
        assert (self.verdict is ResolutionVerdict.FILLED) == (self.filled_amount is not None)

    def approve(self, trade: Trade, *, by: ApiKeyId, now: datetime) -> "Resolution":
        """Return the approved resolution, or raise `SecondKeyRequired` or `OutcomeKnown`."""
        require_unknown(trade)
        if trade.attempt.number != self.attempt:
            raise OutcomeKnown("the attempt's outcome is known by now", trade_id=trade.id)
        if self.approved_by is not None:
            raise OutcomeKnown("the resolution was approved before", trade_id=trade.id)
        if by == self.proposed_by:
            raise SecondKeyRequired("another operator key must approve", resolution_id=self.id)
        return replace(self, approved_by=by, approved_at=now)

    def outcome(self, trade: Trade) -> Filled | Absent:
        """Return what the two operators found, as an outcome with both as its evidence."""
        assert self.approved_by is not None
        evidence = f"{self.id}, by {self.proposed_by} and {self.approved_by}: {self.evidence}"
        if self.filled_amount is None:
            return Absent(evidence=evidence)
        return Filled(
            base=trade.base_amount,
            quote=self.filled_amount,
            venue_order_id=self.venue_order_id,
            evidence=evidence,
        )


def require_unknown(trade: Trade) -> None:
    """Raise `OutcomeKnown` unless the latest attempt's outcome is unknown."""
    if not trade.attempts or trade.attempt.state is not AttemptState.UNKNOWN:
        raise OutcomeKnown("the trade's outcome is not unknown", trade_id=trade.id)
