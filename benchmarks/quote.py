"""What the platform adds to the slowest LP of a quote, its durable commit included.

Quotes are asked for at fixed instants and whatever became of the ones before: over gRPC at the
server itself, as a service inside asks, or with --through as a partner does, past Envoy. From the
time that the caller waited is taken the longest time that an LP took, as stored with the quote in
whole milliseconds. Slices of quotes alternate with slices of the yardstick, an authenticated call
that needs no database; its median is what transport and the caller's own library take, and what is
left without it is the engine's. What is printed are the medians over the slices.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import Any, Final
from uuid import UUID

import asyncpg
import uvloop
from google.protobuf import json_format

from app.stack.stack import ReadyStack
from benchmarks.client import Client, Failed, Json, Trader
from benchmarks.ground import Broken, run, running_stack, trading
from benchmarks.load import open_loop, quantile_ms, with_cores
from benchmarks.wire import Wire
from domain.ids import QuoteId
from reli.quote.v1.quote_service_pb2 import CreateQuoteRequest, CreateQuoteResponse

SLICES: Final = 5
FIGURES: Final = {
    "waited": "a quote took",
    "slowest_lp": "its slowest LP",
    "overhead": "overhead",
    "yardstick": "yardstick call",
    "engine": "overhead of the engine",
}
_READ: Final = "reli.market.v1.MarketService/ListAssets"
_QUOTE: Final = "reli.quote.v1.QuoteService/CreateQuote"

_SLOWEST: Final = """
SELECT quote_id, max(latency_ms) AS ms FROM core.lp_answers WHERE quote_id = ANY($1) GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One quote and how long its caller waited, in seconds."""

    quote_id: UUID
    waited_s: float


async def measure(ready: ReadyStack, options: argparse.Namespace) -> Json:
    async with trading(ready, options, connections=0) as (client, traders):
        if options.through == "rest":
            return await _measure(_Caller(client, traders), options, ready.database_url)
        target = ready.serve_targets[0] if options.through == "serve" else ready.grpc_target
        wire = await Wire.connect(target)
        try:
            return await _measure(_Caller(client, traders, wire), options, ready.database_url)
        finally:
            wire.close()


async def _measure(caller: "_Caller", options: argparse.Namespace, database_url: str) -> Json:
    load: Any = {"seconds": options.seconds / SLICES, "per_second": options.rate}
    await open_loop(caller.quote, **load)
    slices: list[Json] = []
    for _ in range(SLICES):
        reads = await open_loop(caller.read, **load | {"seconds": load["seconds"] / 2})
        quotes, cores = await with_cores(open_loop(caller.quote, **load))
        asked = [one for _, one in quotes.done]
        if caller.client.failures or not asked:
            raise Broken(f"not every quote was given: {dict(caller.client.failures)}")
        slowest = await _slowest(database_url, asked)
        overhead = [one.waited_s - slowest[one.quote_id] for one in asked]
        call_s = median(waited_s for _, waited_s in reads.done)
        slices.append(
            {
                "quotes": len(asked),
                "quotes_per_s": round(quotes.per_second, 1),
                "overhead": _quantiles(overhead),
                "engine": _quantiles([seconds - call_s for seconds in overhead]),
                "waited": _quantiles([one.waited_s for one in asked]),
                "slowest_lp": _quantiles(list(slowest.values())),
                "yardstick": _quantiles([waited_s for _, waited_s in reads.done]),
                "processor_ms": {
                    part: round(busy * 1000 / quotes.per_second, 2) for part, busy in cores.items()
                },
            }
        )
    return {
        "quotes": sum(one["quotes"] for one in slices),
        "quotes_per_s": median(one["quotes_per_s"] for one in slices),
        **{figure: _medians(slices, figure) for figure in (*FIGURES, "processor_ms")},
        "slices": slices,
    }


def _medians(slices: list[Json], figure: str) -> dict[str, float]:
    return {name: median(one[figure][name] for one in slices) for name in slices[0][figure]}


@dataclass(frozen=True, slots=True)
class _Caller:
    """Calls over gRPC where there is a wire, and over REST where there is none."""

    client: Client
    traders: list[Trader]
    wire: Wire | None = None

    async def read(self, number: int) -> float:
        """Return how long an authenticated call took that needs no database."""
        trader = self.traders[number % len(self.traders)]
        if self.wire is not None:
            waited_s, _ = await self._call(trader, _READ, b"")
            return waited_s
        began = time.perf_counter()
        await self.client.read_assets(trader)
        return time.perf_counter() - began

    async def quote(self, number: int) -> Asked:
        trader = self.traders[number % len(self.traders)]
        order = trader.orders[number // len(self.traders) % len(trader.orders)]
        if self.wire is None:
            began = time.perf_counter()
            quoted = await self.client.call("POST", "/v1/quotes", trader.headers, order)
            waited_s = time.perf_counter() - began
            return Asked(QuoteId.parse(quoted["quote"]["id"]).uuid, waited_s)
        request = json_format.Parse(order, CreateQuoteRequest()).SerializeToString()
        waited_s, answer = await self._call(trader, _QUOTE, request)
        return Asked(QuoteId.parse(CreateQuoteResponse.FromString(answer).quote.id).uuid, waited_s)

    async def _call(self, trader: Trader, method: str, message: bytes) -> tuple[float, bytes]:
        assert self.wire is not None
        try:
            return await self.wire.call(method, message, trader.headers["authorization"])
        except Failed as failure:
            self.client.failures[str(failure)] += 1
            raise


def _on_stack(options: argparse.Namespace) -> Json:
    with running_stack(venues=options.venues) as ready:
        return uvloop.run(measure(ready, options))


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
    lines = [f"{'ms':<22}{'p50':>8}{'p90':>8}{'p99':>8}   p50 of the slices"]
    for figure, label in FIGURES.items():
        cells = "".join(f"{ms:>8.1f}" for ms in result[figure].values())
        slices = "  ".join(f"{one[figure]['p50_ms']:.1f}" for one in result["slices"])
        lines.append(f"{label:<22}{cells}   {slices}")
    busy = "  ".join(f"{part} {ms:.1f}" for part, ms in result["processor_ms"].items())
    lines += [
        "",
        f"processor ms of one   {busy}",
        f"{result['quotes']} quotes at {result['quotes_per_s']} a second, no failure",
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.quote", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=50, help="quotes a second")
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--customers", type=int, default=50, help="per tenant")
    parser.add_argument("--venues", type=int, default=2, help="asked for each quote, 1 to 6")
    parser.add_argument(
        "--through",
        choices=("serve", "envoy", "rest"),
        default="serve",
        help="gRPC at the server itself, gRPC past Envoy, or REST",
    )
    return parser


def main() -> int:
    return 0 if run(_parser(), _on_stack, report) else 1


if __name__ == "__main__":
    sys.exit(main())
