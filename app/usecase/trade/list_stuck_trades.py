"""Finding trades whose outcome is unknown."""

from dataclasses import dataclass

from domain.ids import TenantId, TradeId
from domain.trade.trade import Trade
from ports.page import Page, PageRequest
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ListStuckTrades:
    """Asks the house which trades are stuck, and each tenant's own scope for the trade."""

    units_of_work: UnitOfWorkFactory
    directory: TenantDirectory

    async def __call__(self, page: PageRequest, *, tenant_id: TenantId | None) -> Page[Trade]:
        """Return the trades that have been unknown the longest, of one tenant or of all."""
        skip = page.before if isinstance(page.before, int) else 0
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            stuck = await uow.trades.list_stuck(tenant_id=tenant_id, skip=skip, limit=page.size + 1)
        trades = [await self._get(*names) for names in stuck[: page.size]]
        return Page(tuple(trades), skip + page.size if len(stuck) > page.size else None)

    async def _get(self, tenant_id: TenantId, trade_id: TradeId) -> Trade:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.trades.get(trade_id)
