"""Reading what a trade's price came from and what came of it."""

from dataclasses import dataclass

from app.usecase.trade.gather_evidence import gather_evidence
from domain.ids import TenantId, TradeId
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadEvidence:
    """Evidence of one tenant's trades."""

    units_of_work: UnitOfWorkFactory

    async def __call__(self, tenant_id: TenantId, trade_id: TradeId) -> bytes:
        """Return the evidence as canonical JSON, or raise `TradeNotFound`."""
        async with self.units_of_work.begin(tenant_id) as uow:
            trade = await uow.trades.get(trade_id)
            return (await gather_evidence(uow, [trade]))[trade_id]
