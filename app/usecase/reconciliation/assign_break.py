"""Saying who is to explain a break."""

from dataclasses import dataclass, replace
from datetime import datetime

from app.usecase.audit_trail import AuditTrail
from app.usecase.call import Call
from domain.ids import BreakId
from domain.reconciliation.break_ import Break
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class AssignBreak:
    """The latest word counts, so the call may be repeated freely."""

    units_of_work: UnitOfWorkFactory
    audit_trail: AuditTrail

    async def __call__(
        self, call: Call, break_id: BreakId, *, owner: str, note: str
    ) -> tuple[Break, datetime]:
        """Return the break and the time, or raise `TenantNotFound` or `BreakNotFound`."""
        async with self.units_of_work.begin(call.tenant_id) as uow:
            await uow.tenants.get()
            before = await uow.breaks.get(break_id, lock=True)
            assigned = replace(before, owner=owner, note=note)
            await uow.breaks.assign(assigned)
            await uow.audit_log.add(self.audit_trail.record(call, assigned, before))
            return assigned, await uow.now()
