"""Changing where a webhook endpoint is, what it takes, and what it is called."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import WebhookEndpointId
from domain.webhook.destination import Destinations
from domain.webhook.endpoint import Endpoint
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class UpdateEndpoint:
    """What is on its way goes to the new URL, and is signed as before."""

    once: Once
    announce: Announce
    destinations: Destinations

    async def __call__(
        self,
        call: Call,
        id: WebhookEndpointId,
        *,
        url: str | None,
        description: str | None,
        event_types: tuple[str, ...] | None,
    ) -> Endpoint:
        """Change what is given. Raises `WebhookEndpointNotFound` or `WebhookUrlForbidden`."""
        if url is not None:
            self.destinations.require_url(url)

        async def effect(uow: UnitOfWork) -> Change[Endpoint]:
            before = await uow.webhook_endpoints.get(id, lock=True)
            updated = before.update(url=url, description=description, event_types=event_types)
            await uow.webhook_endpoints.save(updated)
            await self.announce(
                uow, "webhook_endpoint.updated", updated, correlation_id=call.correlation_id
            )
            return Change(updated, after=updated, before=before)

        async def replay(uow: UnitOfWork, _id: UUID) -> Endpoint:
            return await uow.webhook_endpoints.get(id)

        return await self.once(call, id, effect, replay)
