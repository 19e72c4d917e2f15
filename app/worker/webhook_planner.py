"""Makes deliveries of events."""

from dataclasses import dataclass
from typing import Final

from ports.lease import Lease
from ports.webhook import DeliveryPlanner

EVENTS_OF_TENANT: Final = 500
TENANTS: Final = 200


@dataclass(frozen=True, slots=True)
class WebhookPlanner:
    """Of each event one at each endpoint that takes it; a tenant without endpoints costs little."""

    planner: DeliveryPlanner

    async def __call__(self, lease: Lease) -> bool:
        return await self.planner.plan(lease, events_of_tenant=EVENTS_OF_TENANT, tenants=TENANTS)
