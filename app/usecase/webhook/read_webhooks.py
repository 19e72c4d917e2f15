"""Looking at webhook endpoints, at what was delivered, and at every attempt."""

from dataclasses import dataclass

from domain.ids import TenantId, WebhookDeliveryId, WebhookEndpointId
from domain.webhook.delivery import Attempt, Delivery, DeliveryState
from domain.webhook.endpoint import Endpoint
from ports.page import Page, PageRequest
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadWebhooks:
    """Raises `WebhookEndpointNotFound` or `WebhookDeliveryNotFound`."""

    units_of_work: UnitOfWorkFactory

    async def get_endpoint(self, tenant_id: TenantId, id: WebhookEndpointId) -> Endpoint:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.webhook_endpoints.get(id)

    async def list_endpoints(self, tenant_id: TenantId, page: PageRequest) -> Page[Endpoint]:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.webhook_endpoints.list(page)

    async def get_delivery(
        self, tenant_id: TenantId, id: WebhookDeliveryId
    ) -> tuple[Delivery, bytes]:
        """Return a delivery, and what is sent."""
        async with self.units_of_work.begin(tenant_id) as uow:
            delivery = await uow.webhook_deliveries.get(id)
            return delivery, await uow.webhook_deliveries.body(delivery)

    async def list_deliveries(
        self,
        tenant_id: TenantId,
        endpoint_id: WebhookEndpointId,
        page: PageRequest,
        *,
        state: DeliveryState | None,
    ) -> Page[Delivery]:
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.webhook_endpoints.get(endpoint_id)
            return await uow.webhook_deliveries.list(endpoint_id, page, state=state)

    async def list_attempts(
        self, tenant_id: TenantId, delivery_id: WebhookDeliveryId, page: PageRequest
    ) -> Page[Attempt]:
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.webhook_deliveries.get(delivery_id)
            return await uow.webhook_deliveries.list_attempts(delivery_id, page)
