"""Suspending, activating and closing a tenant."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.errors import InvalidArgument
from domain.tenant.errors import BalanceNotZero
from domain.tenant.tenant import Tenant, TenantAction
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class ChangeTenantState:
    """Takes one step in a tenant's life; live trades finish whatever the step."""

    once: Once
    announce: Announce
    directory: TenantDirectory

    async def __call__(self, call: Call, action: TenantAction) -> Tenant:
        if call.tenant_id == self.directory.house_id:
            raise InvalidArgument("the house stays active", field="tenant_id")

        async def effect(uow: UnitOfWork) -> Change[Tenant]:
            if action is TenantAction.CLOSE:
                await uow.tenants.wait_until_alone()
            before = await uow.tenants.get(lock=True)
            tenant = before.advance(action)
            if action is TenantAction.CLOSE and await uow.ledger.has_balances(None):
                raise BalanceNotZero("every balance and hold must be zero", tenant_id=tenant.id)
            await uow.tenants.save(tenant)
            await self.announce(
                uow, f"tenant.{tenant.state}", tenant, correlation_id=call.correlation_id
            )
            return Change(tenant, after=tenant, before=before)

        async def replay(uow: UnitOfWork, _id: UUID) -> Tenant:
            return await uow.tenants.get()

        return await self.once(call, call.tenant_id, effect, replay)
