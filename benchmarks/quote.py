"""What the platform adds to the slowest LP of a quote, its durable commit included.

Quotes are asked for over gRPC, or with --rest over REST through Envoy, at fixed instants and
whatever became of the ones before. From the time that the caller waited is taken the longest time
that an LP took, as stored with the quote in whole milliseconds.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import aiohttp
import asyncpg
import grpc
import uvloop
from google.protobuf import json_format

from app.stack.stack import ReadyStack
from benchmarks.client import Client, Json, Trader
from benchmarks.ground import Broken, make_traders, run, running_stack
from benchmarks.load import open_loop, quantile_ms
from domain.ids import QuoteId
from reli.quote.v1 import quote_service_pb2
from reli.quote.v1.quote_service_pb2_grpc import QuoteServiceStub

WARM_UP_S: Final = 5.0
CALL_TIMEOUT_S: Final = 30.0

_SLOWEST: Final = """
SELECT quote_id, max(latency_ms) AS ms FROM core.lp_answers WHERE quote_id = ANY($1) GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One quote and how long its caller waited, in seconds."""

    quote_id: UUID
    waited_s: float


async def measure(ready: ReadyStack, options: argparse.Namespace) -> Json:
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        client = Client(session, ready.rest_url)
        traders = await make_traders(
            client,
            ready.operator_key,
            tenants=options.tenants,
            customers=options.customers,
            venues=options.venues,
        )

        async with grpc.aio.insecure_channel(ready.grpc_target) as channel:
            stub: Any = QuoteServiceStub(channel)  # type: ignore[no-untyped-call]

            async def ask(number: int) -> Asked:
                trader, turn = traders[number % len(traders)], number // len(traders)
                if options.rest:
                    return await _ask_rest(client, trader, turn)
                return await _ask_grpc(stub, trader, turn)

            await open_loop(ask, seconds=WARM_UP_S, per_second=options.rate)
            load = await open_loop(ask, seconds=options.seconds, per_second=options.rate)
    asked = [one for _, one in load.done]
    if client.failures or not asked:
        raise Broken(f"not every quote was given: {dict(client.failures)}")
    slowest = await _slowest(ready.database_url, asked)
    overheads = [one.waited_s - slowest[one.quote_id] for one in asked]
    return {
        "quotes_per_s": round(load.per_second, 1),
        "quotes": len(asked),
        "overhead": _quantiles(overheads),
        "waited": _quantiles([one.waited_s for one in asked]),
        "slowest_lp": _quantiles(list(slowest.values())),
    }


def _on_stack(options: argparse.Namespace) -> Json:
    with running_stack() as ready:
        return uvloop.run(measure(ready, options))


async def _ask_grpc(stub: Any, trader: Trader, number: int) -> Asked:
    request = json_format.Parse(
        trader.orders[number % len(trader.orders)], quote_service_pb2.CreateQuoteRequest()
    )
    metadata = (("authorization", trader.headers["authorization"]),)
    began = time.perf_counter()
    quoted = await stub.CreateQuote(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    waited = time.perf_counter() - began
    return Asked(QuoteId.parse(quoted.quote.id).uuid, waited)


async def _ask_rest(client: Client, trader: Trader, number: int) -> Asked:
    order = trader.orders[number % len(trader.orders)]
    began = time.perf_counter()
    quoted = await client.call("POST", "/v1/quotes", trader.headers, order)
    waited = time.perf_counter() - began
    return Asked(QuoteId.parse(quoted["quote"]["id"]).uuid, waited)


async def _slowest(url: str, asked: list[Asked]) -> dict[UUID, float]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(_SLOWEST, [one.quote_id for one in asked])
    finally:
        await connection.close()
    return {row["quote_id"]: row["ms"] / 1000 for row in rows}


def _quantiles(seconds: list[float]) -> dict[str, float]:
    shares = {"p50_ms": 0.50, "p90_ms": 0.90, "p99_ms": 0.99}
    return {name: round(quantile_ms(seconds, share), 1) for name, share in shares.items()}


def report(result: Json) -> str:
    """Return the figures as a table."""
    lines = [f"{'ms':<22}{'p50':>8}{'p90':>8}{'p99':>8}"]
    for name, label in (
        ("waited", "a quote took"),
        ("slowest_lp", "its slowest LP"),
        ("overhead", "overhead"),
    ):
        cells = "".join(f"{figure:>8.1f}" for figure in result[name].values())
        lines.append(f"{label:<22}{cells}")
    lines.append("")
    lines.append(f"{result['quotes']} quotes at {result['quotes_per_s']} a second, no failure")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.quote", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=50, help="quotes a second")
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--customers", type=int, default=50, help="per tenant")
    parser.add_argument("--venues", type=int, default=2, help="asked for each quote, 1 or 2")
    parser.add_argument("--rest", action="store_true", help="through Envoy instead of over gRPC")
    return parser


def main() -> int:
    return 0 if run(_parser(), _on_stack, report) else 1


if __name__ == "__main__":
    sys.exit(main())
