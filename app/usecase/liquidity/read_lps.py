"""Reading how LPs stand."""

from dataclasses import dataclass

from domain.liquidity.lp import Lp
from ports.page import Page, PageRequest, page_from
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadLps:
    """LPs by name, as they stand now."""

    units_of_work: UnitOfWorkFactory
    directory: TenantDirectory

    async def __call__(self, page: PageRequest) -> Page[Lp]:
        """Return a page of LPs; it starts where the one before it ended."""
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            return page_from(await uow.lps.all(), page)
