"""A liquidity provider prices and fills us."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from domain.amount import Amount
from domain.asset import Instrument
from domain.errors import DomainError, Kind
from domain.ids import AttemptId, LpQuoteRequestId
from domain.side import Side
from domain.trade.outcome import Absent, Filled, NotSent, Outcome, Rejected, Unknown


class LpRefused(DomainError):
    """The LP answered that it gives no price for this.

    Where only the size stands against it, `metadata["code"]` is the reason of `AmountTooSmall`, of
    `AmountTooLarge`, or of `TooManyDigits` where it is finer than the venue trades.
    """

    kind = Kind.UPSTREAM
    reason = "LP_REFUSED"


class LpUnavailable(DomainError):
    """The LP could not be asked, or its answer could not be understood."""

    kind = Kind.UPSTREAM
    reason = "LP_UNAVAILABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class LpCapabilities:
    """What a venue declares of itself; recovery depends on it.

    Attributes:
        deduplicates_client_order_id: the same client order id executes at most once.
        status_is_authoritative: its "no such order" can be believed once the visibility window
            after the quote's expiry has passed on its own clock.
        visibility_window: how late an accepted order may show up in its status.
        is_firm: the venue itself holds to its price until the quote expires. Where it does not,
            the adapter puts a margin for the price's risk into its all-in amounts and executes
            with a limit at them, all or none, so that the port promises the same either way.
        base_decimals: how many digits after the point an amount of the base may have, if fewer
            than the asset's.
    """

    deduplicates_client_order_id: bool
    status_is_authoritative: bool
    visibility_window: timedelta
    is_firm: bool = True
    base_decimals: int | None = None

    def takes(self, base: Amount) -> bool:
        """Say whether the venue trades an amount of the base that is as fine as this."""
        if self.base_decimals is None:
            return True
        step: int = 10 ** max(0, base.asset.scale - self.base_decimals)
        return base.units % step == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LpQuoteRequest:
    """Ask for a price; `fixed` is in the base or in the quote asset of the instrument."""

    id: LpQuoteRequestId
    instrument: Instrument
    side: Side
    fixed: Amount

    @property
    def is_base(self) -> bool:
        return self.fixed.asset == self.instrument.base


@dataclass(frozen=True, slots=True, kw_only=True)
class LpQuote:
    """An LP's answer, good until it expires.

    Attributes:
        reference: the LP's own id of it, and whatever else the adapter needs to execute it.
        base, quote: its all-in amounts; the side asked for must come back unchanged.
        expires_at: until when it may be executed, already less our safety margin.
    """

    reference: str
    base: Amount
    quote: Amount
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Working:
    """The LP has the order and has not decided yet."""

    evidence: str


LpStatus = Filled | Rejected | Absent | Working | Unknown
ExecutionOutcome = Filled | Rejected | NotSent | Unknown

__all__ = [
    "Absent",
    "ExecutionOutcome",
    "Filled",
    "LiquidityProvider",
    "LpCapabilities",
    "LpQuote",
    "LpQuoteRequest",
    "LpRefused",
    "LpStatus",
    "LpUnavailable",
    "NotSent",
    "Outcome",
    "Rejected",
    "Unknown",
    "Working",
]


class LiquidityProvider(Protocol):
    """One venue. Only `request_quote` raises; the other two answer with an outcome, always."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> LpCapabilities: ...

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        """Ask for a firm price, or raise `LpRefused` or `LpUnavailable`.

        It has no effect at the venue, so it may be canceled and repeated freely.
        """
        ...

    async def execute(
        self,
        *,
        client_order_id: AttemptId,
        reference: str,
        instrument: Instrument,
        side: Side,
        base: Amount,
        quote: Amount,
    ) -> ExecutionOutcome:
        """Execute the LP's quote `reference` under our client order id, all or none.

        `NotSent` only when no byte reached the venue, `Rejected` only for a verdict on the venue's
        list; everything else that is not a fill is `Unknown`. A fill whose echo (client order id,
        pair, side) is not ours is `Unknown` as well. The reason is `ORDER_WORKING` once the venue
        has named our order, whatever else it said.
        """
        ...

    async def get_status(
        self,
        *,
        client_order_id: AttemptId,
        reference: str,
        instrument: Instrument,
        side: Side,
        lp_quote_expires_at: datetime,
    ) -> LpStatus:
        """Ask what became of an order on the LP's quote `reference`.

        Some venues find it by our client order id, some only by their own quote.

        `Absent` only where the venue's status is authoritative and its clock has passed the
        quote's expiry plus the visibility window; any other "not found" is `Unknown` with the
        reason `ORDER_NOT_FOUND`. An answer that names our order and cannot be read is `Unknown`
        with the reason `ORDER_WORKING`.
        """
        ...
