"""Creating a webhook endpoint."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import WebhookEndpointId
from domain.webhook.destination import Destinations
from domain.webhook.endpoint import MAX_ENDPOINTS, Endpoint
from domain.webhook.errors import TooManyWebhookEndpoints
from ports.ids import IdSource
from ports.secrets import SecretBox, SecretSource
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class EndpointAndSecret:
    """An endpoint with its new secret, or without it when the request was a replay."""

    endpoint: Endpoint
    secret: str


@dataclass(frozen=True, slots=True)
class CreateEndpoint:
    """The secret is shown with the answer, and never again."""

    once: Once
    ids: IdSource
    announce: Announce
    secrets: SecretSource
    box: SecretBox
    destinations: Destinations

    async def __call__(
        self, call: Call, *, url: str, description: str, event_types: tuple[str, ...]
    ) -> EndpointAndSecret:
        """Raises `WebhookUrlForbidden`, `TooManyWebhookEndpoints` or `WebhooksNotConfigured`."""
        self.destinations.require_url(url)
        id = self.ids.new(WebhookEndpointId)
        secret = self.secrets.new_webhook_secret()
        sealed = self.box.seal(secret, owner=id)

        async def effect(uow: UnitOfWork) -> Change[EndpointAndSecret]:
            await uow.tenants.get(lock=True)  # or two at once could both be the last one
            if await uow.webhook_endpoints.count() >= MAX_ENDPOINTS:
                raise TooManyWebhookEndpoints(
                    f"a tenant has at most {MAX_ENDPOINTS} endpoints", maximum=MAX_ENDPOINTS
                )
            now = await uow.now()
            endpoint = Endpoint(
                id=id,
                tenant_id=call.tenant_id,
                url=url,
                description=description,
                event_types=event_types,
                created_at=now,
            )
            await uow.webhook_endpoints.add(endpoint, sealed_secret=sealed)
            await self.announce(
                uow,
                "webhook_endpoint.created",
                endpoint,
                correlation_id=call.correlation_id,
                now=now,
            )
            return Change(EndpointAndSecret(endpoint, secret), after=endpoint)

        async def replay(uow: UnitOfWork, id: UUID) -> EndpointAndSecret:
            return EndpointAndSecret(await uow.webhook_endpoints.get(WebhookEndpointId(id)), "")

        return await self.once(call, id, effect, replay)
