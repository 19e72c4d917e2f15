"""Changing a tenant: its own settings by itself, its terms by the operator."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from app.usecase.tenant.settings import require_known
from domain.tenant.request_signing import RequestSigningKeyRequired
from domain.tenant.tenant import Tenant
from ports.market import Market
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class UpdateTenant:
    """Applies a change to the tenant's latest version, under its lock."""

    once: Once
    announce: Announce
    market: Market
    lp_names: Collection[str]

    async def __call__(self, call: Call, change: Callable[[Tenant], Tenant]) -> Tenant:
        async def effect(uow: UnitOfWork) -> Change[Tenant]:
            before = await uow.tenants.get(lock=True)
            changed = change(before)
            if changed == before:
                return Change(before, after=None)
            if changed.settings.signing_required and not before.settings.signing_required:
                await _require_signing_key(uow)
            await require_known(changed.settings, self.market, self.lp_names)
            changed = replace(changed, version=before.version + 1)
            await uow.tenants.save(changed)
            await self.announce(uow, "tenant.updated", changed, correlation_id=call.correlation_id)
            return Change(changed, after=changed, before=before)

        async def replay(uow: UnitOfWork, _id: UUID) -> Tenant:
            return await uow.tenants.get()

        return await self.once(call, call.tenant_id, effect, replay)


async def _require_signing_key(uow: UnitOfWork) -> None:
    if not await uow.request_signing_keys.has_live_key():
        raise RequestSigningKeyRequired("register a key to sign with first")
