"""Sending a webhook endpoint an event that means nothing."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import WebhookEndpointId
from domain.webhook.endpoint import TESTED, Endpoint
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class SendTestEvent:
    """It takes the way that every event takes; whatever the endpoint names, it gets this one."""

    once: Once
    announce: Announce

    async def __call__(self, call: Call, id: WebhookEndpointId) -> Endpoint:
        """Raises `WebhookEndpointNotFound` or `WebhookEndpointDisabled`."""

        async def effect(uow: UnitOfWork) -> Change[Endpoint]:
            endpoint = await uow.webhook_endpoints.get(id, lock=True)
            endpoint.require_enabled()
            await uow.webhook_endpoints.wake(id)
            await self.announce(uow, TESTED, endpoint, correlation_id=call.correlation_id)
            return Change(endpoint, after=endpoint, before=endpoint)

        async def replay(uow: UnitOfWork, _id: UUID) -> Endpoint:
            return await uow.webhook_endpoints.get(id)

        return await self.once(call, id, effect, replay)
