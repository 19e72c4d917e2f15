"""Reading settlements with LPs."""

from dataclasses import dataclass

from domain.ids import LpSettlementId
from domain.liquidity.lp_settlement import LpSettlement
from ports.page import Page, PageRequest
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadLpSettlements:
    """They are the house's."""

    units_of_work: UnitOfWorkFactory
    directory: TenantDirectory

    async def get(self, settlement_id: LpSettlementId) -> LpSettlement:
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            return await uow.lp_settlements.get(settlement_id)

    async def list(self, page: PageRequest, *, lp: str) -> Page[LpSettlement]:
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            return await uow.lp_settlements.list(page, lp=lp)
