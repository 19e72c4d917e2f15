"""Where trades are kept, and who may work on them."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from domain.ids import CustomerId, ResolutionId, TenantId, TradeId
from domain.trade.evidence import RecordedStep
from domain.trade.resolution import Resolution
from domain.trade.trade import Trade
from ports.page import Page, PageRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeLease:
    """The right to work on one trade for a while.

    Attributes:
        token: grows with every lease; a write under an older token hits no row.
    """

    tenant_id: TenantId
    trade_id: TradeId
    token: int


class TradeRepository(Protocol):
    """Trades of one tenant."""

    async def get(self, trade_id: TradeId, *, lock: bool = False) -> Trade:
        """Return the trade with its attempts, locked until commit if asked.

        Raises `TradeNotFound`.
        """
        ...

    async def get_all(self, trade_ids: Sequence[TradeId]) -> Mapping[TradeId, Trade]:
        """Return those trades, or raise `TradeNotFound` for the first that does not exist."""
        ...

    async def steps_of(
        self, trade_ids: Sequence[TradeId]
    ) -> Mapping[TradeId, Sequence[RecordedStep]]:
        """Return the steps of each of those trades in the order in which they were taken."""
        ...

    async def add(self, trade: Trade, *, lease_for: timedelta) -> TradeLease:
        """Store a new trade, queued and leased to the caller from the start."""
        ...

    async def save(self, trade: Trade, lease: TradeLease, *, due_at: datetime | None) -> Trade:
        """Replace version `trade.version` and store its transitions; return it as stored.

        `due_at` gives the lease back and says when somebody shall look again; None keeps it. An
        ended trade leaves the queue. Raises `StaleLease` when somebody else holds the trade by
        now, `VersionConflict` when it changed.
        """
        ...

    async def renew(self, lease: TradeLease, *, lease_for: timedelta) -> None:
        """Keep a lease for longer, or raise `StaleLease` when somebody else holds the trade."""
        ...

    async def list(self, page: PageRequest, *, customer_id: CustomerId | None) -> Page[Trade]:
        """Return a page of trades, the newest first."""
        ...

    async def list_stuck(
        self, *, tenant_id: TenantId | None, skip: int, limit: int
    ) -> Sequence[tuple[TenantId, TradeId]]:
        """Return trades whose outcome is unknown, the longest first; of one tenant or of all.

        Only a unit of work of the house sees any.
        """
        ...

    async def take_over(self, trade_id: TradeId, *, lease_for: timedelta) -> TradeLease:
        """Lease a queued trade whoever holds it: the holder's writes will hit no row."""
        ...

    async def add_resolution(self, resolution: Resolution) -> None:
        """Store what an operator proposes."""
        ...

    async def get_resolution(self, trade_id: TradeId, id: ResolutionId) -> Resolution:
        """Return a resolution, locked until commit, or raise `ResolutionNotFound`."""
        ...

    async def approve_resolution(self, resolution: Resolution) -> None:
        """Store the approval, or raise `OutcomeKnown` when another one was approved first."""
        ...

    async def approved_resolution(self, trade: Trade) -> Resolution | None:
        """Return what two operators found about the latest attempt."""
        ...


class TradeQueue(Protocol):
    """Trades of all tenants that wait for somebody to work on them."""

    async def claim(self, *, limit: int, lease_for: timedelta) -> Sequence[TradeLease]:
        """Lease trades that are due and that nobody holds."""
        ...


class TradeRunner(Protocol):
    """Runs trades apart from the call that accepted them, so that no cancellation reaches them."""

    def reserve(self, tenant_id: TenantId) -> None:
        """Take a place for one more trade of a tenant, or raise `TooManyLiveTrades`."""
        ...

    def give_back(self, tenant_id: TenantId) -> None:
        """Return a place that was taken and not used."""
        ...

    def start(self, lease: TradeLease, accepted: Trade | None = None) -> Awaitable[Trade | None]:
        """Work on the trade in a place taken before; `accepted` if it was accepted just now.

        The awaitable ends with the trade when it can go no further now, or with None if that is
        not known; canceling the awaitable does not cancel the work.
        """
        ...
