"""A break is one difference between our books and theirs, for a person to explain."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.amount import Amount
from domain.ids import AttemptId, BreakId, TenantId, TradeId
from domain.reconciliation.errors import BreakNotAdjustable, BreakResolved
from domain.reconciliation.resolution import BreakResolution
from domain.reconciliation.statement import Source
from domain.side import Side


class BreakKind(StrEnum):
    """What kind of difference it is; stable names that partners and people may rely on."""

    FILL_BEYOND_TOLERANCE = "FILL_BEYOND_TOLERANCE"
    LATE_FILL = "LATE_FILL"
    MISSING_IN_BOOKS = "MISSING_IN_BOOKS"
    MISSING_IN_STATEMENT = "MISSING_IN_STATEMENT"
    AMOUNT_DIFFERS = "AMOUNT_DIFFERS"
    BALANCE_DIFFERS = "BALANCE_DIFFERS"
    STATEMENT_CHANGED = "STATEMENT_CHANGED"


OF_TRADES: Final = frozenset({BreakKind.FILL_BEYOND_TOLERANCE, BreakKind.LATE_FILL})
"""Found while trading; the others are found by reconciling a source."""


OPERATIONS: Final = "operations"
"""Whose a break is until somebody takes it."""


class BreakState(StrEnum):
    """Whether it is explained: open until two keys, a link or a later line explain it."""

    OPEN = "open"
    PROPOSED = "proposed"
    RESOLVED = "resolved"


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
    trade_id: the trade that it is about; None where a source was reconciled.
    amount: how much is to be explained: of a fill beyond the tolerance, what the LP took more or
        paid less than quoted, signed as its amount is; of a late fill, its amount in the quote
        asset; of a source, what it has more for us than the book.
    detail: the difference in words.
    late_fill: what was executed; None but for a late fill.
    source: whose statement it is about; None where it is about a trade.
    owner: who is to explain it.
    note: what they found out so far.
    resolution: what explains it, or the latest proposal.
    """

    id: BreakId
    tenant_id: TenantId
    kind: BreakKind
    trade_id: TradeId | None
    amount: Amount
    detail: str
    raised_at: datetime
    late_fill: LateFill | None = None
    source: Source | None = None
    owner: str = OPERATIONS
    note: str = ""
    resolution: BreakResolution | None = None

    def __post_init__(self) -> None:
        assert (self.kind is BreakKind.LATE_FILL) == (self.late_fill is not None)
        assert (self.kind in OF_TRADES) == (self.trade_id is not None) == (self.source is None)

    @property
    def state(self) -> BreakState:
        if self.resolution is None:
            return BreakState.OPEN
        return BreakState.RESOLVED if self.resolution.is_effective else BreakState.PROPOSED

    def require_open(self) -> None:
        """Raise `BreakResolved` if it is explained."""
        if self.state is BreakState.RESOLVED:
            raise BreakResolved("the break was resolved before", break_id=self.id)

    def require_adjustable(self) -> Source:
        """Return the source whose account an entry could set right, or raise.

        Raises `BreakNotAdjustable` for what was found while trading: the house's book has taken
        that over already.
        """
        if self.source is None:
            raise BreakNotAdjustable(
                "a break of a trade is about no account of this book", break_id=self.id
            )
        return self.source
