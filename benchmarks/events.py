"""How long after its commit an event is seen: by who asks for it, in a gRPC stream and as SSE.

Customers are created at fixed instants, and each of their events is awaited in three views of each
tenant's log, all past Envoy. The time counts from the row's own time in the outbox, which is an
instant before its commit, by the one clock of the machine. Slices take turns with the yardstick, an
authenticated call that needs no database. Idle streams are open all the while, and what they cost
is measured before anything happens.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median
from typing import Any, Final

import aiohttp
import asyncpg
import grpc
import uvloop

from app.stack.stack import ReadyStack
from benchmarks import machine
from benchmarks.client import Client, Json, Trader
from benchmarks.ground import Broken, run, running_stack, trading
from benchmarks.load import open_loop, quantile_ms
from domain.ids import EventId
from reli.event.v1 import event_service_pb2 as pb
from reli.event.v1 import event_service_pb2_grpc as event_grpc

_EVENTS: Final[Any] = event_grpc

SLICES: Final = 5
VIEWS: Final = ("pull", "stream", "sse")
TYPE: Final = "customer.created"
NEVER: Final = "customer.closed"
SETTLE_S: Final = 3.0
STREAMS_PER_CONNECTION: Final = 50
WANTED_MS: Final = 50.0

_RECORDED: Final = "SELECT id, recorded_at FROM core.outbox WHERE type = $1 AND id = ANY($2)"

Seen = dict[str, dict[str, float]]
"""By view and event: when it was seen, in seconds of the wall clock."""


async def measure(ready: ReadyStack, options: argparse.Namespace) -> Json:
    async with trading(ready, options, connections=0) as (client, traders):
        tenants = {one.headers["authorization"]: one for one in traders}
        await asyncio.sleep(SETTLE_S)
        none = await _busy(options.idle_seconds)
        async with idle_streams(ready, [*tenants], options.streams):
            idle = await _busy(options.idle_seconds)
            seen: Seen = {view: {} for view in VIEWS}
            watchers = [
                asyncio.create_task(watch(ready, client, trader, seen))
                for trader in tenants.values()
                for watch in (_pull, _stream, _listen)
            ]
            await asyncio.sleep(SETTLE_S)
            slices = await _measure(client, [*tenants.values()], options)
            await asyncio.sleep(SETTLE_S)
            for watcher in watchers:
                if watcher.done():
                    watcher.result()
                watcher.cancel()
            await asyncio.wait(watchers)
    if client.failures:
        raise Broken(f"not every call was answered: {dict(client.failures)}")
    latencies = await _latencies(ready.database_url, seen)
    return {
        "views": {
            view: {
                "events": len(found),
                "p50": round(quantile_ms(found, 0.5), 1),
                "p99": round(quantile_ms(found, 0.99), 1),
            }
            for view, found in latencies.items()
        },
        "yardstick": round(median(slices), 2),
        "idle_cores": {"none": none, "streams": idle},
    }


async def _measure(
    client: Client, traders: list[Trader], options: argparse.Namespace
) -> list[float]:
    """Create customers in slices, and return what the yardstick took between them, in ms."""
    yardstick: list[float] = []
    stamp = time.time_ns()
    load: Any = {"seconds": options.seconds / SLICES, "per_second": options.rate}
    for turn in range(SLICES):

        async def create(number: int, turn: int = turn) -> None:
            body = json.dumps({"external_id": f"{stamp}-{turn}-{number}"}).encode()
            headers = traders[number % len(traders)].headers
            await client.call("POST", "/v1/customers", headers, body)

        async def read(number: int) -> float:
            began = time.perf_counter()
            await client.read_assets(traders[number % len(traders)])
            return time.perf_counter() - began

        await open_loop(create, **load)
        reads = await open_loop(read, **load | {"seconds": load["seconds"] / 2})
        yardstick.append(quantile_ms([waited_s for _, waited_s in reads.done], 0.5))
    return yardstick


async def _pull(ready: ReadyStack, client: Client, trader: Trader, seen: Seen) -> None:
    page = await client.call("GET", "/v1/events?after=0&page_size=1", trader.headers)
    after = page["last_sequence"]
    while True:
        page = await client.call("GET", f"/v1/events?after={after}&wait=4s", trader.headers)
        for event in page["events"]:
            seen["pull"].setdefault(event["id"], time.time())
        after = page["position"]


async def _stream(ready: ReadyStack, client: Client, trader: Trader, seen: Seen) -> None:
    async with grpc.aio.insecure_channel(ready.grpc_target, options=_OWN_CONNECTION) as channel:
        stream = _open(channel, trader.headers["authorization"], TYPE)
        async for message in stream:
            if message.HasField("event"):
                seen["stream"].setdefault(message.event.id, time.time())
    raise Broken("a stream ended")


async def _listen(ready: ReadyStack, client: Client, trader: Trader, seen: Seen) -> None:
    timeout = aiohttp.ClientTimeout(total=None)
    url = f"{client.rest_url}/v1/events:stream"
    async with client.session.get(url, headers=trader.headers, timeout=timeout) as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                message = json.loads(line.removeprefix(b"data: "))
                if "event" in message:
                    seen["sse"].setdefault(message["event"]["id"], time.time())
    raise Broken("a stream of server-sent events ended")


@asynccontextmanager
async def idle_streams(
    ready: ReadyStack, authorizations: Sequence[str], number: int
) -> AsyncIterator[None]:
    """Hold so many streams open, of all tenants in turn, in which nothing is told."""
    channels = [
        grpc.aio.insecure_channel(ready.grpc_target, options=_OWN_CONNECTION)
        for _ in range(-(-number // STREAMS_PER_CONNECTION))
    ]
    streams = [
        _open(channels[one % len(channels)], authorizations[one % len(authorizations)], NEVER)
        for one in range(number)
    ]
    readers = [asyncio.create_task(_read_on(stream)) for stream in streams]
    await asyncio.sleep(SETTLE_S)
    try:
        yield
    finally:
        for reader in readers:
            reader.cancel()
        for channel in channels:
            await channel.close(None)


def _open(channel: grpc.aio.Channel, authorization: str, type: str) -> Any:
    stub = _EVENTS.EventServiceStub(channel)
    request = pb.StreamEventsRequest(types=[type])
    return stub.StreamEvents(request, metadata=(("authorization", authorization),))


_OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)


async def _read_on(stream: Any) -> None:
    async for _ in stream:
        pass


async def _busy(seconds: float) -> Json:
    """Return how many cores each part was busy with."""
    before, began = machine.cpu_seconds(), time.monotonic()
    await asyncio.sleep(seconds)
    return machine.cores(before, machine.cpu_seconds(), time.monotonic() - began)


async def _latencies(database_url: str, seen: Seen) -> dict[str, list[float]]:
    """Return how long after its row's time each event was seen, in seconds."""
    connection = await asyncpg.connect(database_url)
    try:
        ids = {EventId.parse(id, field="id").uuid: id for found in seen.values() for id in found}
        rows = await connection.fetch(_RECORDED, TYPE, list(ids))
    finally:
        await connection.close()
    recorded = {ids[row["id"]]: row["recorded_at"].timestamp() for row in rows}
    latencies = {
        view: [at - recorded[id] for id, at in found.items() if id in recorded]
        for view, found in seen.items()
    }
    if len({len(found) for found in latencies.values()}) != 1 or not latencies["pull"]:
        raise Broken(f"not all views told the same: { {v: len(f) for v, f in latencies.items()} }")
    return latencies


def _on_stack(options: argparse.Namespace) -> Json:
    with running_stack() as ready:
        return uvloop.run(measure(ready, options))


def report(result: Json) -> str:
    """Return the figures as a table."""
    lines = [f"{'ms after the commit':<22}{'events':>8}{'p50':>8}{'p99':>8}{'wanted p50':>12}"]
    for view, found in result["views"].items():
        lines.append(
            f"{view:<22}{found['events']:>8}{found['p50']:>8}{found['p99']:>8}{WANTED_MS:>12}"
        )
    lines += [f"{'yardstick call':<22}{'':>8}{result['yardstick']:>8}", ""]
    idle = result["idle_cores"]
    parts = sorted({*idle["none"], *idle["streams"]})
    lines.append(f"{'cores of':<22}" + "".join(f"{part:>10}" for part in parts))
    for name, busy in idle.items():
        lines.append(f"{name:<22}" + "".join(f"{busy.get(part, 0):>10.3f}" for part in parts))
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.events", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="of creating customers")
    parser.add_argument("--rate", type=float, default=20, help="customers a second")
    parser.add_argument("--streams", type=int, default=100, help="idle ones")
    parser.add_argument("--idle-seconds", type=float, default=10)
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--customers", type=int, default=1, help="per tenant, to begin with")
    parser.add_argument("--venues", type=int, default=1)
    return parser


def main() -> int:
    return 0 if run(_parser(), _on_stack, report) else 1


if __name__ == "__main__":
    sys.exit(main())
