"""Reading a tenant's audit log."""

from dataclasses import dataclass

from domain.audit_record import AuditRecord
from domain.ids import TenantId
from ports.audit_log import AuditFilter
from ports.page import Page, PageRequest
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ListAuditRecords:
    """Who did what to what is the tenant's, the operator included."""

    units_of_work: UnitOfWorkFactory

    async def __call__(
        self, tenant_id: TenantId, page: PageRequest, wanted: AuditFilter
    ) -> Page[AuditRecord]:
        """Return records that fit, the newest first."""
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.audit_log.list(page, wanted)
