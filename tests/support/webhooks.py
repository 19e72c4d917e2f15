"""A partner's webhook receiver, and workers that deliver to it, with a clock that can be moved."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.outbox import PostgresSequencer
from adapters.postgres.webhook import (
    PostgresWebhookLog,
    PostgresWebhookPlanner,
    PostgresWebhookQueue,
)
from adapters.system.clock import SystemClock
from adapters.webhook.sender import HttpWebhookSender, open_connections
from app.worker.webhook_deliverer import WebhookDeliverer
from app.worker.webhook_keeper import WebhookKeeper
from app.worker.webhook_planner import WebhookPlanner
from domain.ids import WebhookDeliveryId
from ports.clock import Clock, DatabaseClock
from ports.lease import Lease
from reli.webhook.v1 import webhook_pb2
from reli.webhook.v1 import webhook_service_pb2 as pb
from tests.support.platform import Client, Platform

MOVABLE_NOW = """
CREATE TABLE public.moved (by interval NOT NULL);
INSERT INTO public.moved VALUES ('0');
CREATE OR REPLACE FUNCTION core.now() RETURNS timestamptz LANGUAGE sql VOLATILE SECURITY DEFINER
    RETURN clock_timestamp() + (SELECT by FROM public.moved);
ALTER FUNCTION core.now() OWNER TO CURRENT_USER;
"""

_SOME_DELIVERIES = """
WITH events AS (
    SELECT o.*, e.id AS endpoint_id, row_number() OVER (ORDER BY o.id) AS place
    FROM core.webhook_endpoints AS e JOIN core.outbox AS o ON o.tenant_id = e.tenant_id
    WHERE e.name = $1 ORDER BY o.id LIMIT 5
), made AS (
    INSERT INTO core.webhook_deliveries (tenant_id, endpoint_id, sequence, event_id, event_type,
        subject, state, expires_at, attempts, failures, recorded_at, ended_at)
    SELECT tenant_id, endpoint_id, place, id, type, subject,
        CASE WHEN place <= 3 THEN 'dead' ELSE 'pending' END, core.now() + interval '72 h', 2, 2,
        core.now(), CASE WHEN place <= 3 THEN core.now() END
    FROM events ORDER BY place
    RETURNING tenant_id, id
), attempts AS (
    INSERT INTO core.webhook_attempts (tenant_id, delivery_id, number, started_at, latency_ms,
        status, failure, detail, response_body)
    SELECT tenant_id, id, number, core.now(), 7, 500, 'status', $2, $2::text::bytea
    FROM made CROSS JOIN generate_series(1, 2) AS number
)
SELECT id FROM made ORDER BY id
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Call:
    """One request as the receiver got it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    def verify(self, secret: str) -> dict[str, Any]:
        """Check the signature as a partner does; return the event."""
        event: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return event


@dataclass
class Receiver:
    """Keeps what it got, drops what it has seen, and answers as it is told.

    Attributes:
        effects: events by path, once each, in the order in which they came first.
    """

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    effects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    answers: dict[str, Handler] = field(default_factory=dict)
    at_once: Counter[str] = field(default_factory=Counter)
    most_at_once: Counter[str] = field(default_factory=Counter)

    def answer(self, path: str, status: int, **options: Any) -> None:
        """Answer so from now on, and have no effect."""

        async def handler(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, **options)

        self.answers[path] = handler

    def of(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        call = Call(request.path, dict(request.headers), await request.read())
        self.calls.append(call)
        subject = f"{call.path} {call.event['subject']}"
        self.at_once[subject] += 1
        self.most_at_once[subject] = max(self.most_at_once[subject], self.at_once[subject])
        try:
            if handler := self.answers.get(call.path):
                return await handler(request)
            seen = self.effects.setdefault(call.path, [])
            if call.id not in {event["id"] for event in seen}:
                seen.append(call.event)
            await asyncio.sleep(0)
            return web.Response(text="thank you")
        finally:
            self.at_once[subject] -= 1


@asynccontextmanager
async def a_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{port}"
    yield receiver
    await runner.cleanup()


async def until(is_so: Callable[[], Any], field: str = "", *, within_s: float = 10.0) -> None:
    """Wait until something is so, or an answer has something in a field."""
    async with asyncio.timeout(within_s):
        while True:
            found = is_so()
            if asyncio.iscoroutine(found):
                found = (await found)[field]
            if found:
                return
            await asyncio.sleep(0.02)


class MovedClock(Clock):
    """The machine's clock, moved; durations are real."""

    def __init__(self) -> None:
        self.by = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by

    def monotonic(self) -> float:
        return SystemClock().monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class MovedDatabaseClock(DatabaseClock):
    clock: MovedClock

    async def now(self) -> datetime:
        return self.clock.now()


@dataclass
class Workers:
    """What delivers, one step at a time."""

    platform: Platform
    clock: MovedClock
    leases: PostgresLeases
    sequencer: PostgresSequencer
    planner: WebhookPlanner
    deliverers: list[WebhookDeliverer]
    keeper: WebhookKeeper

    async def stamp(self) -> None:
        await self._leased("sequencer", lambda lease: self.sequencer.stamp(lease, limit=1_000))

    async def plan(self) -> None:
        await self.stamp()
        await self._leased("webhook planner", self.planner)

    async def keep(self) -> None:
        await self._leased("webhook keeper", self.keeper)

    async def deliver(self) -> None:
        """Make deliveries of all that has happened, and send until nothing is due."""
        await self.plan()
        await self.send()

    async def send(self) -> None:
        """Send until nothing is due."""
        while True:
            for deliverer in self.deliverers:
                await deliverer()
            if not any(deliverer.is_busy for deliverer in self.deliverers):
                return
            for deliverer in self.deliverers:
                await deliverer.drain()

    async def move(self, by: timedelta) -> None:
        """Let so much time pass; in the database, whose clock must be movable, too."""
        self.clock.by += by
        await self.platform.owner.execute("UPDATE public.moved SET by = $1", self.clock.by)

    async def _leased(self, name: str, work: Callable[[Lease], Awaitable[bool | int]]) -> None:
        lease = await self.leases.acquire(name, lease_for=timedelta(seconds=30))
        assert lease is not None
        while await work(lease):
            pass
        await self.leases.renew(lease, lease_for=timedelta(0))


@asynccontextmanager
async def workers(platform: Platform, *, processes: int = 1) -> AsyncIterator[Workers]:
    clock, container = MovedClock(), platform.work_container
    async with AsyncExitStack() as stack:
        engine = make_engine(platform.settings.work_database_url, pool_size=4)
        stack.push_async_callback(engine.dispose)
        deliverers = []
        for _ in range(processes):
            session = await stack.enter_async_context(open_connections(container.destinations()))
            queue = PostgresWebhookQueue(engine, connections=4)
            serve = container.serve_endpoint(
                queue=queue,
                sender=HttpWebhookSender(session, clock),
                clock=clock,
                database_clock=MovedDatabaseClock(clock),
            )
            deliverers.append(WebhookDeliverer(queue, serve))
            stack.push_async_callback(deliverers[-1].stop)
        yield Workers(
            platform,
            clock,
            PostgresLeases(engine),
            PostgresSequencer(engine),
            WebhookPlanner(PostgresWebhookPlanner(engine)),
            deliverers,
            WebhookKeeper(PostgresWebhookLog(engine)),
        )


async def an_endpoint(
    client: Client, url: str, *event_types: str
) -> tuple[webhook_pb2.WebhookEndpoint, str]:
    """Create an endpoint; return it and its secret."""
    made = await client.webhooks.CreateWebhookEndpoint(
        pb.CreateWebhookEndpointRequest(url=url, event_types=event_types)
    )
    return made.endpoint, made.secret


async def deliveries_of(
    client: Client,
    endpoint_id: str,
    state: webhook_pb2.WebhookDeliveryState | None = None,
) -> list[webhook_pb2.WebhookDelivery]:
    """Return what an endpoint was to get, in the order of the events."""
    found: list[webhook_pb2.WebhookDelivery] = []
    token = ""
    while True:
        page = await client.webhooks.ListWebhookDeliveries(
            pb.ListWebhookDeliveriesRequest(
                endpoint_id=endpoint_id, state=state, page_size=200, page_token=token
            )
        )
        found += page.deliveries
        if not (token := page.next_page_token):
            return sorted(found, key=lambda delivery: delivery.event_sequence)


async def attempts_at(client: Client, delivery_id: str) -> list[webhook_pb2.WebhookAttempt]:
    page = await client.webhooks.ListWebhookAttempts(
        pb.ListWebhookAttemptsRequest(delivery_id=delivery_id, page_size=200)
    )
    return list(page.attempts)


async def some_deliveries(owner: Any, endpoint_id: str, *, text: str = "no") -> list[str]:
    """Leave three dead letters and two deliveries under way, each of two attempts that failed.

    Return the ids; the endpoint has no worker that sends to it.
    """
    made = await owner.fetch(_SOME_DELIVERIES, endpoint_id, text)
    assert len(made) == 5, "the tenant needs five events"
    return [str(WebhookDeliveryId(row["id"])) for row in made]


@asynccontextmanager
async def a_worker_process(platform: Platform) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `reli work` on the platform's database, without a bus; it is killed at the end."""
    settings = platform.settings
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app", "work"),
        env={
            **os.environ,
            "RELI_WORK_DATABASE_URL": settings.work_database_url,
            "RELI_NATS_URL": "nats://127.0.0.1:1",
            "RELI_SEALING_KEYS": json.dumps(settings.sealing_keys),
            "RELI_WEBHOOK_LOOPBACK": "true",
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
