"""Webhooks: where endpoints and deliveries are kept, who serves them, and how they are sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from domain.ids import EventId, TenantId, WebhookDeliveryId, WebhookEndpointId
from domain.webhook.delivery import Attempt, Delivery, DeliveryState, Health
from domain.webhook.endpoint import Endpoint
from ports.lease import Lease
from ports.page import Page, PageRequest


@dataclass(frozen=True, slots=True)
class Replayed:
    """Attributes:
    deliveries: how many are on their way again.
    next_sequence: where there is more, the sequence to go on at; otherwise None.
    """

    deliveries: int
    next_sequence: int | None


class WebhookEndpoints(Protocol):
    """Endpoints of the tenant in scope; a deleted one is not found."""

    async def get(
        self, id: WebhookEndpointId, *, lock: bool = False, with_deleted: bool = False
    ) -> Endpoint:
        """Return an endpoint, or raise `WebhookEndpointNotFound`."""
        ...

    async def add(self, endpoint: Endpoint, *, sealed_secret: bytes) -> None:
        """Store a new endpoint, which gets what is recorded from now on."""
        ...

    async def save(self, endpoint: Endpoint) -> None:
        """Replace version `endpoint.version - 1`, or raise `VersionConflict`.

        What waits is sent at once, to where the endpoint now is.
        """
        ...

    async def save_state(self, endpoint: Endpoint) -> None:
        """Replace the state of version `endpoint.version - 1`, or raise `VersionConflict`.

        What waits is sent at once where the endpoint was enabled, and held where it was disabled;
        of one that was deleted the secrets are forgotten.
        """
        ...

    async def rotate_secret(self, endpoint: Endpoint, *, sealed_secret: bytes) -> None:
        """Replace version `endpoint.version - 1`; what was its secret becomes the previous one."""
        ...

    async def wake(self, id: WebhookEndpointId) -> None:
        """Have what waits for an endpoint sent at once, however it did until now."""
        ...

    async def list(self, page: PageRequest) -> Page[Endpoint]:
        """Return endpoints, the newest first."""
        ...

    async def count(self) -> int:
        """Return how many there are."""
        ...


class WebhookDeliveries(Protocol):
    """Deliveries of the tenant in scope, to look at and to replay."""

    async def get(self, id: WebhookDeliveryId) -> Delivery:
        """Return a delivery, or raise `WebhookDeliveryNotFound`."""
        ...

    async def body(self, delivery: Delivery) -> bytes:
        """Return what is sent: the event as a CloudEvent in JSON."""
        ...

    async def list(
        self, endpoint_id: WebhookEndpointId, page: PageRequest, *, state: DeliveryState | None
    ) -> Page[Delivery]:
        """Return deliveries to an endpoint, the newest first; of one state, or all."""
        ...

    async def list_attempts(
        self, delivery_id: WebhookDeliveryId, page: PageRequest
    ) -> Page[Attempt]:
        """Return attempts, the latest first."""
        ...

    async def replay(self, delivery: Delivery) -> Delivery:
        """Begin a delivery once more; return it as it then is."""
        ...

    async def replay_dead(self, endpoint_id: WebhookEndpointId, *, limit: int) -> Replayed:
        """Begin dead letters of an endpoint once more, in the order of their events."""
        ...

    async def replay_events(
        self, endpoint: Endpoint, *, first_sequence: int, last_sequence: int, limit: int
    ) -> Replayed:
        """Begin a delivery of each event of a range that the endpoint takes, unless there is one.

        At most `limit` events are looked at.
        """
        ...


class DeliveryPlanner(Protocol):
    """Makes deliveries of events, over all tenants."""

    async def plan(self, lease: Lease, *, events_of_tenant: int, tenants: int) -> bool:
        """Make deliveries of events that have their sequence; return whether there may be more.

        Under a lease that was lost nothing is made.
        """
        ...


class WebhookLog(Protocol):
    """Ends what was tried for long enough and forgets what was kept for long enough."""

    async def bury_expired(self, lease: Lease, *, limit: int) -> int:
        """Make dead letters of deliveries that have expired; return of how many."""
        ...

    async def forget(self, lease: Lease, *, kept_for: timedelta, limit: int) -> int:
        """Forget deliveries that ended so long ago, and their attempts; return how many."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """A delivery that can be sent, with what is sent."""

    delivery: Delivery
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLease:
    """The right to send to one endpoint for a while.

    Attributes:
        sealed_secrets: to sign with; the present one first.
        is_slow: it was claimed as one that is slow or failing.
        token: grows with every lease; a write under an older one is refused.
        due: what can be sent first.
    """

    tenant_id: TenantId
    endpoint_id: WebhookEndpointId
    url: str
    sealed_secrets: tuple[bytes, ...]
    health: Health
    is_slow: bool
    token: int
    due: Sequence[DueDelivery]


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt, and the delivery as it is after it."""

    delivery: Delivery
    attempt: Attempt


class EndpointTaken(Exception):
    """Somebody else holds the endpoint by now; what we know of it is of the past."""


class WebhookQueue(Protocol):
    """Endpoints of all tenants to which something can be sent."""

    async def claim(
        self, *, prompt: int, slow: int, first: int, lease_for: timedelta
    ) -> Sequence[EndpointLease]:
        """Lease endpoints that are due and that nobody holds, each with what is due first.

        Those that are slow or failing have a number of their own, so that they take no place of
        the others. Of one that is failing one delivery is due.
        """
        ...

    async def conclude(
        self,
        lease: EndpointLease,
        sent: Sequence[Sent],
        *,
        in_flight: Sequence[WebhookDeliveryId],
        limit: int,
        health: Health,
        has_recovered: bool,
        is_slow: bool,
    ) -> Sequence[DueDelivery]:
        """Write down what came of attempts; return at most `limit` deliveries that are due next.

        What is in flight is not due. Where nothing is in flight or due, the endpoint is given
        back. Where it has recovered, everything that waited for it is due. Raises `EndpointTaken`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRequest:
    """Attributes:
    secrets: each signs.
    number: of the attempt.
    """

    url: str
    event_id: EventId
    body: bytes
    secrets: Sequence[str] = field(repr=False)
    number: int


class WebhookSender(Protocol):
    """Sends, and tells what came of it; whatever the other side does, within a bounded time."""

    async def send(self, request: WebhookRequest, *, sent_at: datetime) -> Attempt:
        """Make one attempt; never raises but when it is canceled."""
        ...
