"""How many deliveries a second one worker makes, beside a bare client loop to the same receiver.

The bare loop posts one signed delivery again and again from one process, as fast as it can and as
many at once as the worker sends to one endpoint. The worker is that of a whole stack: it takes
deliveries that wait in the database, makes and signs their bodies, sends them, and writes down what
came of each, while fifty endpoints of other tenants that never answer, or refuse every connection,
are retried. The receiver is a process of its own that does what a partner's must: it verifies each
signature with the library of the specification and keeps the ids. Both take turns.

Where others use the machine, rates say who got how much of it. Processor time then says more: what
the bare loop and the receiver take for a post, beside what the whole stack takes for a delivery.
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

import aiohttp
import asyncpg
import uvloop
from aiohttp import web
from standardwebhooks import Webhook

from app.stack.stack import ReadyStack
from app.usecase.webhook.serve_endpoint import MOST
from benchmarks import machine
from benchmarks.client import Client, Json
from benchmarks.ground import EVENTS_WAITING, Broken, post, run, running_stack, say, trading

WANTED: Final = 0.5
HOST: Final = "127.0.0.1"
ENDPOINTS_OF_A_TENANT: Final = 10
DEAD_LANES: Final = 100
REPLAYED_AT_ONCE: Final = 1_000
PATIENCE_S: Final = 120.0
LOOK_EVERY_S: Final = 0.05
"""Seldom enough that looking takes nothing from what is looked at."""

_EVENTS: Final = """
INSERT INTO core.outbox (tenant_id, id, type, subject, payload, recorded_at)
SELECT t.tenant_id, uuidv7(), e.type, 'trade_' || n, e.payload, core.now()
FROM (SELECT type, payload FROM core.outbox WHERE type = 'trade.accepted' LIMIT 1) AS e,
    unnest($1::uuid[]) AS t (tenant_id), generate_series(1, $2) AS n
"""

_TENANT_OF: Final = "SELECT tenant_id FROM core.webhook_endpoints WHERE name = $1"

_ATTEMPTS_AT_THE_DEAD: Final = "SELECT count(*) FROM core.webhook_attempts WHERE status IS NULL"


# Otherwise they would be asked less and less, and in later rounds hardly at all.
_RETRY_THE_DEAD: Final = """
UPDATE core.webhook_deliveries SET due_at = core.now() WHERE due_at > core.now();
UPDATE core.webhook_queues SET failures = 0, is_slow = false, held_until = '-infinity',
    due_at = core.now() WHERE due_at > core.now()
"""

_HOLD: Final = """
UPDATE core.webhook_queues AS q SET leased_until = 'infinity', token = token + 1
FROM core.webhook_endpoints AS e
WHERE e.name = $1 AND q.tenant_id = e.tenant_id AND q.endpoint_id = e.id
"""

_LET_GO: Final = """
UPDATE core.webhook_queues SET leased_until = '-infinity' WHERE leased_until = 'infinity'
"""

_UNDELIVERED: Final = """
SELECT count(*) FROM core.webhook_deliveries AS d
JOIN core.webhook_endpoints AS e ON e.tenant_id = d.tenant_id AND e.id = d.endpoint_id
WHERE e.name = $1 AND d.state <> 'delivered'
"""


def measure(options: argparse.Namespace) -> Json:
    with running_stack(work=1) as ready, _receiver() as (port, black_hole):
        return uvloop.run(_measure(ready, options, port, black_hole))


async def _measure(
    ready: ReadyStack, options: argparse.Namespace, port: int, black_hole: int
) -> Json:
    async with trading(ready, options, connections=0) as (client, (*others, partner)):
        owner = await asyncpg.connect(ready.database_url)
        await client.trade(partner, 0)
        say(f"{options.dead} endpoints that are dead, and their events")
        dead = [
            await _endpoint(client, other.headers, f"http://{HOST}:{hole}/")
            for place in range(options.dead)
            for other in [others[place % len(others)]]
            for hole in [black_hole if place % 2 else _closed_port()]
        ]
        await owner.execute(_EVENTS, await _tenants(owner, dead), DEAD_LANES)
        receiver = f"http://{HOST}:{port}"
        made = await _create(client, partner.headers, f"{receiver}/deliveries")
        endpoint, secret = made["endpoint"]["id"], made["secret"]
        async with client.session.post(f"{receiver}/secret", data=secret.encode()) as response:
            assert response.status == 200
        tenants = await _tenants(owner, [endpoint])
        path = f"/v1/webhookEndpoints/{endpoint}"
        await post(client, f"{path}:disable", partner.headers, {})
        await owner.execute(_EVENTS, tenants, options.deliveries)
        await _until_published(owner)
        await post(client, f"{path}:enable", partner.headers, {})
        last = await owner.fetchval(
            "SELECT last FROM core.event_heads WHERE tenant_id = $1", tenants[0]
        )
        events = range(last - options.deliveries + 1, last + 1)
        shown = await _one_delivery(client, partner.headers, path, events[0])
        await _replay(client, partner.headers, path, events[:REPLAYED_AT_ONCE])
        await _until_delivered(owner, endpoint)
        # As the database does by itself within a minute of a table's growth.
        await owner.execute("ANALYZE core.webhook_deliveries, core.webhook_attempts, core.outbox")
        async with _bare_session() as session:
            rounds = []
            for number in range(options.rounds):
                say(f"round {number + 1}")
                bare = await _bare_rate(
                    session, f"{receiver}/bare", shown, _signed(secret, shown), options.seconds
                )
                await owner.execute(_HOLD, endpoint)
                await _replay(client, partner.headers, path, events)
                await _reset(session, receiver)
                await owner.execute(_RETRY_THE_DEAD)
                tried = await owner.fetchval(_ATTEMPTS_AT_THE_DEAD)
                before = machine.cpu_seconds()
                await owner.execute(_LET_GO)
                rate = await _delivery_rate(session, receiver, len(events))
                await _until_delivered(owner, endpoint)
                processor_us = _processor_us(before, len(events))
                rounds.append(
                    {
                        "bare": round(bare.rate),
                        "deliveries": round(rate),
                        "ratio": round(rate / bare.rate, 3),
                        "bare_us": bare.processor_us,
                        "delivery_us": processor_us,
                        "processor_ratio": round(
                            sum(bare.processor_us[part] for part in ("client", "receiver"))
                            / sum(processor_us.values()),
                            3,
                        ),
                        "attempts_at_the_dead": await owner.fetchval(_ATTEMPTS_AT_THE_DEAD) - tried,
                    }
                )
        await owner.close()
    return {
        "wanted": WANTED,
        "body_bytes": len(shown),
        "ratio": median(one["ratio"] for one in rounds),
        "processor_ratio": median(one["processor_ratio"] for one in rounds),
        "rounds": rounds,
    }


@dataclass(frozen=True, slots=True)
class _Bare:
    """What the bare loop did.

    Attributes:
        rate: posts a second.
        processor_us: of one post, by part.
    """

    rate: float
    processor_us: dict[str, int]


async def _endpoint(client: Client, headers: dict[str, str], url: str) -> str:
    return str((await _create(client, headers, url))["endpoint"]["id"])


async def _create(client: Client, headers: dict[str, str], url: str) -> Json:
    wanted = {"url": url, "event_types": ["trade.accepted"]}
    return await post(client, "/v1/webhookEndpoints", headers, wanted)


def _signed(secret: str, body: bytes) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "content-type": "application/cloudevents+json",
        "webhook-id": "bare",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("bare", now, body.decode()),
    }


async def _tenants(owner: Any, endpoints: list[str]) -> list[Any]:
    return list({await owner.fetchval(_TENANT_OF, endpoint) for endpoint in endpoints})


async def _until_published(owner: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if not await owner.fetchval(EVENTS_WAITING):
                return
            await asyncio.sleep(0.2)


async def _until_delivered(owner: Any, endpoint: str) -> None:
    """Wait until the database says that all was received, or raise `Broken`."""
    for _ in range(int(PATIENCE_S / 0.2)):
        if not await owner.fetchval(_UNDELIVERED, endpoint):
            return
        await asyncio.sleep(0.2)
    raise Broken("not every delivery was made")


async def _one_delivery(client: Client, headers: dict[str, str], path: str, sequence: int) -> bytes:
    """Have one delivery made; return its body."""
    one = {"first_sequence": sequence, "last_sequence": sequence}
    await post(client, f"{path}:replayEvents", headers, one)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await client.call("GET", f"{path}/deliveries?page_size=1", headers)
            delivery = found["deliveries"][0]
            if delivery["state"] == "WEBHOOK_DELIVERY_STATE_DELIVERED":
                break
            await asyncio.sleep(0.1)
    shown = await client.call("GET", f"/v1/webhookDeliveries/{delivery['id']}", headers)
    return str(shown["request_body"]).encode()


async def _replay(client: Client, headers: dict[str, str], path: str, events: range) -> None:
    for first in range(events.start, events.stop, REPLAYED_AT_ONCE):
        part = {
            "first_sequence": first,
            "last_sequence": min(first + REPLAYED_AT_ONCE, events.stop) - 1,
        }
        await post(client, f"{path}:replayEvents", headers, part)


@asynccontextmanager
async def _bare_session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def _bare_rate(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str], seconds: float
) -> _Bare:
    """Post in one loop, `MOST` at once."""
    before = machine.cpu_seconds()
    ends_at = time.perf_counter() + seconds
    made = 0

    async def go_on() -> None:
        nonlocal made
        while time.perf_counter() < ends_at:
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                assert response.status == 200
            made += 1

    began = time.perf_counter()
    await asyncio.gather(*(go_on() for _ in range(MOST)))
    return _Bare(made / (time.perf_counter() - began), _processor_us(before, made))


def _processor_us(before: Counter[str], count: int) -> dict[str, int]:
    """Return how many microseconds of a processor each part took for one of `count`."""
    after = machine.cpu_seconds()
    return {part: round((after[part] - before[part]) / count * 1e6) for part in sorted(after)}


async def _reset(session: aiohttp.ClientSession, receiver: str) -> None:
    async with session.post(f"{receiver}/reset", data=b"") as response:
        assert response.status == 200


async def _delivery_rate(session: aiohttp.ClientSession, receiver: str, count: int) -> float:
    """Return how many deliveries a second came between the first and the last tenth."""
    skipped, wanted = count // 10, count - count // 10
    began, first = 0.0, 0
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with session.get(f"{receiver}/count") as response:
                got = int(await response.text())
            now = time.perf_counter()
            if not began and got >= skipped:
                began, first = now, got
            if got >= wanted:
                return (got - first) / (now - began)
            await asyncio.sleep(LOOK_EVERY_S)


def _closed_port() -> int:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port: int = unused.getsockname()[1]
        return port


@contextmanager
def _receiver() -> Iterator[tuple[int, int]]:
    """Run a receiver; yield its port, and one on which nobody is ever answered."""
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.webhooks", "--receive"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        port, black_hole = map(int, child.stdout.readline().split())
        yield port, black_hole
    finally:
        child.terminate()
        child.wait(5)
        child.stdout.close()


class _Partner:
    """Does what a partner's receiver must: verifies, drops what it has seen, and answers."""

    def __init__(self) -> None:
        self._webhook: Webhook | None = None
        self._seen: set[str] = set()
        self._deliveries = 0

    async def bare(self, request: web.Request) -> web.Response:
        return await self._take(request)

    async def deliveries(self, request: web.Request) -> web.Response:
        self._deliveries += 1
        return await self._take(request)

    async def set_secret(self, request: web.Request) -> web.Response:
        self._webhook = Webhook(await request.text())
        return web.Response()

    async def reset(self, request: web.Request) -> web.Response:
        self._deliveries = 0
        self._seen.clear()
        return web.Response()

    async def count(self, request: web.Request) -> web.Response:
        return web.Response(text=str(self._deliveries))

    async def _take(self, request: web.Request) -> web.Response:
        assert self._webhook is not None
        self._webhook.verify(await request.read(), dict(request.headers))
        self._seen.add(request.headers["webhook-id"])
        return web.Response()


async def _receive() -> None:
    partner = _Partner()
    app = web.Application()
    app.add_routes(
        [
            web.post("/bare", partner.bare),
            web.post("/deliveries", partner.deliveries),
            web.post("/secret", partner.set_secret),
            web.post("/reset", partner.reset),
            web.get("/count", partner.count),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    black_hole = await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, 0)
    print(runner.addresses[0][1], black_hole.sockets[0].getsockname()[1], flush=True)
    await black_hole.serve_forever()


def report(result: Json) -> str:
    lines = ["deliveries a second from one worker, beside a bare loop to the same receiver"]
    for one in result["rounds"]:
        lines.append(
            f"  bare {one['bare']:>6}  deliveries {one['deliveries']:>6}  ratio {one['ratio']:.2f}"
            f"  by processor time {one['processor_ratio']:.2f}"
            f"  attempts at the dead {one['attempts_at_the_dead']}"
        )
        for name in ("bare_us", "delivery_us"):
            parts = ", ".join(f"{part} {used}" for part, used in one[name].items())
            lines.append(f"    processor us of a {name.removesuffix('_us')}: {parts}")
    lines.append(
        f"  ratio {result['ratio']:.2f}, by processor time {result['processor_ratio']:.2f},"
        f" wanted: at least {result['wanted']:.2f}"
    )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.webhooks", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a slice of the bare loop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dead", type=int, default=50)
    parser.set_defaults(tenants=6, customers=1, venues=1)
    return parser


def main() -> int:
    if sys.argv[1:] == ["--receive"]:
        uvloop.run(_receive())
        return 0
    return 0 if run(_parser(), measure, report) else 1


if __name__ == "__main__":
    sys.exit(main())
