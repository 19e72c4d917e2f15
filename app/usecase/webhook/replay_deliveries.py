"""Sending once more what an endpoint did not get, or wants again."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import WebhookDeliveryId, WebhookEndpointId
from domain.webhook.delivery import Delivery
from ports.unit_of_work import UnitOfWork
from ports.webhook import Replayed

AT_ONCE: Final = 1_000
"""How many deliveries, or events, one call goes through."""


@dataclass(frozen=True, slots=True)
class ReplayDeliveries:
    """A replay has the id of the event, as every attempt has: who has seen it drops it.

    Of a bulk the answer to a request that comes again is made anew: what it began is under way, so
    it begins nothing twice.
    """

    once: Once

    async def one(self, call: Call, id: WebhookDeliveryId) -> Delivery:
        """Raises `WebhookDeliveryNotFound`, `WebhookDeliveryPending`, `WebhookEndpointDisabled`."""

        async def effect(uow: UnitOfWork) -> Change[Delivery]:
            delivery = await uow.webhook_deliveries.get(id)
            endpoint = await uow.webhook_endpoints.get(delivery.endpoint_id, lock=True)
            endpoint.require_enabled()
            delivery.require_replayable()
            replayed = await uow.webhook_deliveries.replay(delivery)
            return Change(replayed, after=replayed, before=delivery)

        async def replay(uow: UnitOfWork, _id: UUID) -> Delivery:
            return await uow.webhook_deliveries.get(id)

        return await self.once(call, id, effect, replay)

    async def dead(self, call: Call, endpoint_id: WebhookEndpointId) -> Replayed:
        """Replay dead letters of an endpoint, the earliest events first."""

        async def effect(uow: UnitOfWork) -> Change[Replayed]:
            endpoint = await uow.webhook_endpoints.get(endpoint_id, lock=True)
            endpoint.require_enabled()
            replayed = await uow.webhook_deliveries.replay_dead(endpoint_id, limit=AT_ONCE)
            return Change(replayed, after=endpoint, before=endpoint)

        async def replay(uow: UnitOfWork, _id: UUID) -> Replayed:
            return (await effect(uow)).result

        return await self.once(call, endpoint_id, effect, replay)

    async def events(
        self,
        call: Call,
        endpoint_id: WebhookEndpointId,
        *,
        first_sequence: int,
        last_sequence: int,
    ) -> Replayed:
        """Deliver every event of a range that the endpoint takes, whatever became of it before."""

        async def effect(uow: UnitOfWork) -> Change[Replayed]:
            endpoint = await uow.webhook_endpoints.get(endpoint_id, lock=True)
            endpoint.require_enabled()
            replayed = await uow.webhook_deliveries.replay_events(
                endpoint,
                first_sequence=first_sequence,
                last_sequence=last_sequence,
                limit=AT_ONCE,
            )
            return Change(replayed, after=endpoint, before=endpoint)

        async def replay(uow: UnitOfWork, _id: UUID) -> Replayed:
            return (await effect(uow)).result

        return await self.once(call, endpoint_id, effect, replay)
