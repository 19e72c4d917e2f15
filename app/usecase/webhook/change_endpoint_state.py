"""Enabling, disabling and deleting a webhook endpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import CallId, TenantId, WebhookEndpointId
from domain.webhook.endpoint import DisabledReason, Endpoint, EndpointState
from ports.ids import IdSource
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

_TYPE: Final = {
    EndpointState.ENABLED: "webhook_endpoint.enabled",
    EndpointState.DISABLED: "webhook_endpoint.disabled",
    EndpointState.DELETED: "webhook_endpoint.deleted",
}


@dataclass(frozen=True, slots=True)
class ChangeEndpointState:
    """Asked for twice it is done once, and the second one hears the same."""

    once: Once
    announce: Announce

    async def enable(self, call: Call, id: WebhookEndpointId) -> Endpoint:
        """Send what waits, and what happens from now on."""
        return await self._change(call, id, EndpointState.ENABLED, Endpoint.enable)

    async def disable(self, call: Call, id: WebhookEndpointId) -> Endpoint:
        """Send nothing: what is on its way waits, and of what happens meanwhile nothing is made."""
        return await self._change(
            call,
            id,
            EndpointState.DISABLED,
            lambda endpoint: endpoint.disable(DisabledReason.REQUESTED),
        )

    async def delete(self, call: Call, id: WebhookEndpointId) -> Endpoint:
        """Send nothing any more, and forget the secret."""

        async def effect(uow: UnitOfWork) -> Change[Endpoint]:
            before = await uow.webhook_endpoints.get(id, lock=True)
            deleted = await save_state(
                self.announce, uow, before.delete(), correlation_id=call.correlation_id
            )
            return Change(deleted, after=deleted, before=before)

        async def replay(uow: UnitOfWork, _id: UUID) -> Endpoint:
            return await uow.webhook_endpoints.get(id, with_deleted=True)

        return await self.once(call, id, effect, replay)

    async def _change(
        self,
        call: Call,
        id: WebhookEndpointId,
        state: EndpointState,
        change: Callable[[Endpoint], Endpoint],
    ) -> Endpoint:
        async def effect(uow: UnitOfWork) -> Change[Endpoint]:
            before = await uow.webhook_endpoints.get(id, lock=True)
            if before.state is state:
                return Change(before, after=None)
            changed = await save_state(
                self.announce, uow, change(before), correlation_id=call.correlation_id
            )
            return Change(changed, after=changed, before=before)

        async def replay(uow: UnitOfWork, _id: UUID) -> Endpoint:
            return await uow.webhook_endpoints.get(id)

        return await self.once(call, id, effect, replay)


@dataclass(frozen=True, slots=True)
class DisableGoneEndpoint:
    """An endpoint that answered 410 wants nothing more, until its tenant enables it."""

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    announce: Announce

    async def __call__(self, tenant_id: TenantId, id: WebhookEndpointId) -> None:
        async with self.units_of_work.begin(tenant_id) as uow:
            before = await uow.webhook_endpoints.get(id, lock=True)
            if before.state is EndpointState.ENABLED:
                await save_state(
                    self.announce,
                    uow,
                    before.disable(DisabledReason.GONE),
                    correlation_id=str(self.ids.new(CallId)),
                )


async def save_state(
    announce: Announce, uow: UnitOfWork, endpoint: Endpoint, *, correlation_id: str
) -> Endpoint:
    """Save an endpoint in a new state, and tell of it."""
    await uow.webhook_endpoints.save_state(endpoint)
    await announce(uow, _TYPE[endpoint.state], endpoint, correlation_id=correlation_id)
    return endpoint
