"""Reading what the house and its LPs owe each other."""

from dataclasses import dataclass

from domain.liquidity.lp_settlement import LpPosition
from ports.page import Page, PageRequest, page_from
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadLpPositions:
    """The house's book mirrors the LP accounts of all tenants."""

    units_of_work: UnitOfWorkFactory
    directory: TenantDirectory

    async def __call__(self, page: PageRequest, *, lp: str) -> Page[LpPosition]:
        """Return positions by LP and asset, of one LP or of all."""
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            positions = await uow.lp_settlements.positions(lp=lp)
        return page_from([one for one in positions if one.amount.units], page)
