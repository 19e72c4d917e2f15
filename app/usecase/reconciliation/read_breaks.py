"""Reading breaks."""

from dataclasses import dataclass
from datetime import datetime

from domain.ids import TenantId
from domain.reconciliation.break_ import Break
from ports.page import Page, PageRequest
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadBreaks:
    """Breaks of one tenant."""

    units_of_work: UnitOfWorkFactory

    async def list(self, tenant_id: TenantId, page: PageRequest) -> tuple[Page[Break], datetime]:
        """Return a page of breaks, the newest first, and the time; or raise `TenantNotFound`."""
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.tenants.get()
            return await uow.breaks.list(page), await uow.now()
