"""What may be traded, and who decided it."""

from typing import Protocol

from domain.ids import TradingStateChangeId
from domain.trading_state import Traded, TradingState, TradingStateChange
from ports.page import Page, PageRequest


class TradingStates(Protocol):
    """Trading states of everything that has one; the decisions are of the tenant in scope."""

    async def get(self, traded: Traded) -> TradingState:
        """Return the state, locked until commit.

        Raises `InstrumentNotFound`, `TenantNotFound` or `UnknownLp`. Of tenants only the one in
        scope is found.
        """
        ...

    async def save(self, change: TradingStateChange) -> None:
        """Store a decision together with the state that it brings about."""
        ...

    async def find(self, id: TradingStateChangeId) -> TradingStateChange:
        """Return a decision that is known to be there."""
        ...

    async def list(self, page: PageRequest) -> Page[TradingStateChange]:
        """Return a page of decisions, the newest first."""
        ...
