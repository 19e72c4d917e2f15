"""A settlement pays what the house and an LP owe each other, all assets at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.amount import Amount
from domain.errors import DomainError, Kind
from domain.ids import AccountId, ApiKeyId, EntryId, LpSettlementId
from domain.transition import advance

MAX_LEGS: Final = 100
"""More assets than an LP trades with us; each is an entry of one transaction."""


class LpSettlementState(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    SETTLED = "settled"
    CANCELED = "canceled"


class LpSettlementAction(StrEnum):
    APPROVE = "approve"
    SETTLE = "settle"
    CANCEL = "cancel"


TRANSITIONS: Final = {
    (LpSettlementState.PROPOSED, LpSettlementAction.APPROVE): LpSettlementState.APPROVED,
    (LpSettlementState.APPROVED, LpSettlementAction.SETTLE): LpSettlementState.SETTLED,
    (LpSettlementState.PROPOSED, LpSettlementAction.CANCEL): LpSettlementState.CANCELED,
    (LpSettlementState.APPROVED, LpSettlementAction.CANCEL): LpSettlementState.CANCELED,
}


class LpSettlementNotFound(DomainError):
    """No such settlement."""

    kind = Kind.MISSING
    reason = "LP_SETTLEMENT_NOT_FOUND"


class LpSettlementOpen(DomainError):
    """The LP has a settlement that is neither settled nor canceled; end that first."""

    kind = Kind.REFUSED
    reason = "LP_SETTLEMENT_OPEN"


class LpSettlementOverlaps(DomainError):
    """The instant is before the LP's last settlement was booked, which it would count again."""

    kind = Kind.REFUSED
    reason = "LP_SETTLEMENT_OVERLAPS"


class LpSettlementEmpty(DomainError):
    """Nobody owes anything as of that instant."""

    kind = Kind.REFUSED
    reason = "LP_SETTLEMENT_EMPTY"


class LpSettlementSecondKeyRequired(DomainError):
    """Who proposed a settlement cannot approve it: two persons decide."""

    kind = Kind.REFUSED
    reason = "LP_SETTLEMENT_SECOND_KEY_REQUIRED"


@dataclass(frozen=True, slots=True)
class LpPosition:
    """What the house and an LP owe each other in one asset.

    Attributes:
        amount: positive where the LP owes us; the account that mirrors it has the other sign.
    """

    lp: str
    amount: Amount
    account_id: AccountId


@dataclass(frozen=True, slots=True)
class LpSettlementLeg:
    """What is paid in one asset.

    Attributes:
        amount: positive where the LP pays us.
        entry_id: what books it; None until it is settled.
    """

    amount: Amount
    entry_id: EntryId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LpSettlement:
    """Attributes:
    rail: the owner of the external accounts that are the other side.
    as_of: the instant by which the positions were recorded.
    approved_by: the second key.
    reference: the payment's own, which statements carry; empty until it is settled.
    evidence: where the payment is to be seen.
    ended_by, ended_at: who settled or canceled it, and when; of a settled one, when its entries
        were recorded.
    """

    id: LpSettlementId
    lp: str
    rail: str
    as_of: datetime
    legs: tuple[LpSettlementLeg, ...]
    note: str
    proposed_by: ApiKeyId
    proposed_at: datetime
    state: LpSettlementState = LpSettlementState.PROPOSED
    approved_by: ApiKeyId | None = None
    approved_at: datetime | None = None
    reference: str = ""
    evidence: str = ""
    ended_by: ApiKeyId | None = None
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        assert 0 < len(self.legs) <= MAX_LEGS
        assert all(leg.amount.units for leg in self.legs)
        assert len({leg.amount.asset for leg in self.legs}) == len(self.legs)
        is_settled = self.state is LpSettlementState.SETTLED
        assert all((leg.entry_id is not None) == is_settled for leg in self.legs)

    def approve(self, *, by: ApiKeyId, now: datetime) -> "LpSettlement":
        """Return the approved settlement, or raise `LpSettlementSecondKeyRequired`."""
        state = advance(TRANSITIONS, self.state, LpSettlementAction.APPROVE)
        if by == self.proposed_by:
            raise LpSettlementSecondKeyRequired(
                "another operator key must approve", lp_settlement_id=self.id
            )
        return replace(self, state=state, approved_by=by, approved_at=now)

    def settle(
        self,
        *,
        by: ApiKeyId,
        now: datetime,
        reference: str,
        evidence: str,
        entries: Sequence[EntryId],
    ) -> "LpSettlement":
        """Return the settlement as it is once these entries, one for each leg, were recorded."""
        booked = zip(self.legs, entries, strict=True)
        return replace(
            self,
            state=advance(TRANSITIONS, self.state, LpSettlementAction.SETTLE),
            legs=tuple(replace(leg, entry_id=entry_id) for leg, entry_id in booked),
            reference=reference,
            evidence=evidence,
            ended_by=by,
            ended_at=now,
        )

    def cancel(self, *, by: ApiKeyId, now: datetime) -> "LpSettlement":
        state = advance(TRANSITIONS, self.state, LpSettlementAction.CANCEL)
        return replace(self, state=state, ended_by=by, ended_at=now)

    def require(self, action: LpSettlementAction) -> None:
        """Raise `IllegalTransition` unless this can happen now."""
        advance(TRANSITIONS, self.state, action)
