"""Reading trades."""

from dataclasses import dataclass

from domain.ids import CustomerId, TenantId, TradeId
from domain.trade.trade import Trade
from ports.page import Page, PageRequest
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadTrades:
    """Trades of one tenant."""

    units_of_work: UnitOfWorkFactory

    async def get(self, tenant_id: TenantId, trade_id: TradeId) -> Trade:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.trades.get(trade_id)

    async def list(
        self, tenant_id: TenantId, page: PageRequest, *, customer_id: CustomerId | None
    ) -> Page[Trade]:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.trades.list(page, customer_id=customer_id)
