"""Saying who is to explain a break."""

from dataclasses import dataclass, replace
from datetime import datetime

from domain.ids import BreakId, TenantId
from domain.reconciliation.break_ import Break
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class AssignBreak:
    """The latest word counts, so the call may be repeated freely."""

    units_of_work: UnitOfWorkFactory

    async def __call__(
        self, tenant_id: TenantId, break_id: BreakId, *, owner: str, note: str
    ) -> tuple[Break, datetime]:
        """Return the break and the time, or raise `TenantNotFound` or `BreakNotFound`."""
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.tenants.get()
            found = replace(await uow.breaks.get(break_id), owner=owner, note=note)
            await uow.breaks.assign(found)
            return found, await uow.now()
