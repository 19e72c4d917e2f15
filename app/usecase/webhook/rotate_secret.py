"""Giving a webhook endpoint a new secret."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from app.usecase.webhook.create_endpoint import EndpointAndSecret
from domain.ids import WebhookEndpointId
from ports.secrets import SecretBox, SecretSource
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class RotateSecret:
    """Deliveries are signed with both secrets until the overlap is over."""

    once: Once
    announce: Announce
    secrets: SecretSource
    box: SecretBox

    async def __call__(
        self, call: Call, id: WebhookEndpointId, *, overlap: timedelta
    ) -> EndpointAndSecret:
        """Raises `WebhookEndpointNotFound` or `WebhooksNotConfigured`."""
        secret = self.secrets.new_webhook_secret()
        sealed = self.box.seal(secret, owner=id)

        async def effect(uow: UnitOfWork) -> Change[EndpointAndSecret]:
            before = await uow.webhook_endpoints.get(id, lock=True)
            now = await uow.now()
            rotated = before.rotate_secret(now=now, overlap=overlap)
            await uow.webhook_endpoints.rotate_secret(rotated, sealed_secret=sealed)
            await self.announce(
                uow,
                "webhook_endpoint.secret_rotated",
                rotated,
                correlation_id=call.correlation_id,
                now=now,
            )
            return Change(EndpointAndSecret(rotated, secret), after=rotated, before=before)

        async def replay(uow: UnitOfWork, _id: UUID) -> EndpointAndSecret:
            return EndpointAndSecret(await uow.webhook_endpoints.get(id), "")

        return await self.once(call, id, effect, replay)
