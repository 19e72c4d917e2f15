"""A turn at an endpoint: how much it gets at once, and when it gets nothing more."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from adapters.system.chance import SystemChance
from app.usecase.webhook.serve_endpoint import AHEAD, FIRST, MOST, ServeEndpoint
from domain.ids import EventId, TenantId, WebhookDeliveryId, WebhookEndpointId
from domain.webhook.delivery import Attempt, Delivery, Failure, Health
from ports.webhook import DueDelivery, EndpointLease, Sent, WebhookRequest
from tests.support.builders import NOW, an_id
from tests.support.webhooks import MovedClock, MovedDatabaseClock

ENDPOINT = an_id(WebhookEndpointId)


def due(number: int) -> DueDelivery:
    delivery = Delivery(
        id=WebhookDeliveryId(UUID(int=number)),
        endpoint_id=ENDPOINT,
        event_id=EventId(UUID(int=number)),
        sequence=number,
        event_type="trade.settled",
        subject=f"trade_{number}",
        recorded_at=NOW,
        expires_at=NOW + timedelta(days=30_000),
        due_at=NOW,
    )
    return DueDelivery(delivery=delivery, body=b"{}")


@dataclass
class Queue:
    """Has deliveries to give, and is told what came of them."""

    waiting: list[DueDelivery]
    concluded: list[Sent] = field(default_factory=list)
    most_at_hand: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def conclude(
        self, lease: EndpointLease, sent: Sequence[Sent], **rest: Any
    ) -> Sequence[DueDelivery]:
        self.concluded += sent
        limit = rest["limit"]
        given, self.waiting = self.waiting[:limit], self.waiting[limit:]
        self.most_at_hand = max(self.most_at_hand, len(rest["in_flight"]) + len(given))
        self.asked.set()
        # Long enough for what is being sent to end in the meantime.
        await asyncio.sleep(0.1)
        return given


@dataclass
class Endpoint:
    """Takes deliveries until it wants to be left alone, which it says while more is fetched."""

    takes: int
    fetching: asyncio.Event
    got: list[EventId] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def send(self, request: WebhookRequest, *, sent_at: datetime) -> Attempt:
        self.got.append(request.event_id)
        is_taken = len(self.got) <= self.takes
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        if not is_taken:
            await self.fetching.wait()
        self.at_once -= 1
        return Attempt(
            number=request.number,
            started_at=sent_at,
            latency_ms=10,
            status=200 if is_taken else 429,
            failure=None if is_taken else Failure.STATUS,
            retry_after=None if is_taken else timedelta(minutes=1),
        )


async def serve(queue: Queue, endpoint: Endpoint, first: Sequence[DueDelivery]) -> None:
    clock = MovedClock()
    other: Any = None  # neither opens a secret nor disables anything
    use_case = ServeEndpoint(
        queue=queue,  # type: ignore[arg-type]
        sender=endpoint,
        box=other,
        clock=clock,
        database_clock=MovedDatabaseClock(clock),
        chance=SystemChance(),
        disable_gone=other,
    )
    await use_case(
        EndpointLease(
            tenant_id=an_id(TenantId),
            endpoint_id=ENDPOINT,
            url="https://example.com/",
            sealed_secrets=(),
            health=Health(),
            is_slow=False,
            token=1,
            due=first,
        )
    )


async def test_a_quick_endpoint_gets_more_and_more_at_once_and_each_delivery_once() -> None:
    every = [due(number) for number in range(1, 1_001)]
    queue = Queue(every[FIRST:])
    endpoint = Endpoint(takes=1_000, fetching=queue.asked)

    await serve(queue, endpoint, every[:FIRST])

    assert sorted(endpoint.got) == [one.delivery.event_id for one in every]
    assert len(queue.concluded) == len(every)
    assert endpoint.most_at_once == MOST
    assert queue.most_at_hand <= AHEAD * MOST


async def test_who_wants_to_be_left_alone_gets_nothing_of_what_was_being_fetched() -> None:
    every = [due(number) for number in range(1, 1_001)]
    queue = Queue(every[FIRST:])
    endpoint = Endpoint(takes=FIRST - 1, fetching=queue.asked)

    await serve(queue, endpoint, every[:FIRST])

    assert len(endpoint.got) == FIRST
    assert len(queue.concluded) == FIRST
