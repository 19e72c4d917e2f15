"""Creating a tenant."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import AuditTrail, Change
from app.usecase.call import Call
from app.usecase.once import Once
from app.usecase.tenant.settings import require_known
from domain.ids import TenantId
from domain.tenant.errors import TenantNotFound
from domain.tenant.tenant import Tenant, TenantSettings
from ports.ids import IdSource
from ports.market import Market
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class CreateTenant:
    """The request belongs to the operator's book, the tenant to its own: two units of work.

    The id is fixed with the request, so a call that died between the two is completed by its
    repetition.
    """

    units_of_work: UnitOfWorkFactory
    once: Once
    ids: IdSource
    announce: Announce
    audit_trail: AuditTrail
    market: Market
    lp_names: Collection[str]

    async def __call__(
        self,
        call: Call,
        *,
        slug: str,
        display_name: str,
        branding: dict[str, object],
        settings: TenantSettings,
    ) -> Tenant:
        """Create a tenant, or raise `TenantExists`, `InstrumentNotFound` or `UnknownLp`."""
        await require_known(settings, self.market, self.lp_names)
        if not settings.lp_order:
            settings = replace(settings, lp_order=tuple(self.lp_names))
        tenant_id = await self._claim(call)
        tenant = Tenant(
            id=tenant_id,
            slug=slug,
            display_name=display_name,
            branding=branding,
            settings=settings,
        )
        async with self.units_of_work.begin(tenant_id) as uow:
            try:
                return await uow.tenants.get()
            except TenantNotFound:
                await uow.tenants.add(tenant)
            await self.announce(uow, "tenant.created", tenant, correlation_id=call.correlation_id)
            await uow.audit_log.add(self.audit_trail.record(call, tenant))
            return tenant

    async def _claim(self, call: Call) -> TenantId:
        new_id = self.ids.new(TenantId)

        async def effect(_uow: UnitOfWork) -> Change[TenantId]:
            return Change(new_id, after=None)

        async def replay(_uow: UnitOfWork, id: UUID) -> TenantId:
            return TenantId(id)

        return await self.once(call, new_id, effect, replay)
