"""A break is one difference between our books and theirs, for a person to explain."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.amount import Amount
from domain.ids import AttemptId, BreakId, TenantId, TradeId
from domain.side import Side


class BreakKind(StrEnum):
    """What kind of difference it is; stable names that partners and people may rely on."""

    FILL_BEYOND_TOLERANCE = "FILL_BEYOND_TOLERANCE"
    LATE_FILL = "LATE_FILL"


@dataclass(frozen=True, slots=True, kw_only=True)
class LateFill:
    """An execution of an order that had been concluded absent; the amounts are the LP's own.

    No trade accounts for it: the trade was rejected, or another LP filled it.

    Attributes:
        attempt: number of the attempt among those of its trade.
        side: which way the customer traded, as everywhere.
    """

    attempt: int
    attempt_id: AttemptId
    lp: str
    side: Side
    venue_order_id: str
    base: Amount
    quote: Amount

    def __post_init__(self) -> None:
        assert self.base.is_positive
        assert self.quote.is_positive

    @property
    def gained(self) -> tuple[Amount, Amount]:
        """What the house has more of since then, in base and quote; negative where it owes."""
        if self.side is Side.BUY:
            return self.base, -self.quote
        return -self.base, self.quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Attributes:
    amount: how much is to be explained: of a fill beyond the tolerance, what the LP took more or
        paid less than quoted, signed as its amount is; of a late fill, its amount in the quote
        asset.
    detail: the difference in words.
    late_fill: what was executed; None but for a late fill.
    """

    id: BreakId
    tenant_id: TenantId
    kind: BreakKind
    trade_id: TradeId
    amount: Amount
    detail: str
    raised_at: datetime
    late_fill: LateFill | None = None

    def __post_init__(self) -> None:
        assert (self.kind is BreakKind.LATE_FILL) == (self.late_fill is not None)
