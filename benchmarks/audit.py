"""What the check of an API key and the audit record add to a call, in processor time.

Slices take turns, so that whatever else the machine does slows all of them: calls without work and
quotes, as a service inside makes them, and in this very process checks of a real key, and units of
work that tell an event, with an audit record and without. A key check is a share of what the server
needs for a call without work, a record of what the server and the database need for a quote.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import uvloop
from google.protobuf import json_format

from app.container import Container
from app.process import open_process
from app.rpc.interceptor import Interceptor
from app.settings import Settings
from app.stack.stack import ReadyStack
from app.usecase.call import Call
from benchmarks import machine
from benchmarks.client import Json, Trader
from benchmarks.ground import run, running_stack, trading
from benchmarks.load import closed_loop
from benchmarks.wire import Wire
from domain.ids import QuoteId
from domain.quote.quote import Quote
from ports.tenant import Credential
from ports.unit_of_work import UnitOfWork
from reli.quote.v1.quote_service_pb2 import CreateQuoteRequest, CreateQuoteResponse

SLICES: Final = 5
CONCURRENCY: Final = 16
FIGURES: Final = {
    "key_check": "check of a key",
    "guarded_key_check": "… that has 32 ranges",
    "yardstick": "yardstick call, server",
    "record": "audit record, both",
    "quote": "quote, server and database",
}
_READ: Final = "reli.market.v1.MarketService/ListAssets"
_QUOTE: Final = "reli.quote.v1.QuoteService/CreateQuote"
_RANGES: Final = [*(f"10.{number}.0.0/17" for number in range(31)), "203.0.113.0/24"]
_CHECKS: Final = 5_000
_UNITS: Final = 1_024
_TOGETHER: Final = 32


class _Metadata:
    """Of a call what the check of its key asks for."""

    def __init__(self, secret: str, address: str) -> None:
        self._metadata = (
            ("authorization", f"Bearer {secret}"),
            ("user-agent", "grpc-python/1.85.1"),
            ("x-request-id", "01890a5d-ac96-774b-bcce-b302099a8057"),
            ("x-reli-client-address", address),
            ("x-reli-listener", "internal"),
        )

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"


@dataclass(frozen=True, slots=True)
class _Bench:
    container: Container
    wire: Wire
    traders: list[Trader]
    guarded_secret: str
    seconds: float

    async def slice(self) -> Mapping[str, float]:
        """Return the processor time of one of each, in microseconds."""
        quote_id, quote = await self._quotes()
        without, with_record = await self._units(quote_id)
        return {
            "key_check": await self._key_check(_secret_of(self.traders[0])),
            "guarded_key_check": await self._key_check(self.guarded_secret),
            "yardstick": await self._yardstick(),
            "record": with_record - without,
            "quote": quote,
        }

    async def _yardstick(self) -> float:
        async def read(number: int) -> None:
            await self.wire.call(_READ, b"", self._authorization(number))

        before = machine.cpu_seconds()
        done = await closed_loop(read, seconds=self.seconds, concurrency=CONCURRENCY)
        return _us(before, len(done.done), "serve")

    async def _quotes(self) -> tuple[QuoteId, float]:
        order = json_format.Parse(self.traders[0].orders[0], CreateQuoteRequest())
        request = order.SerializeToString()

        async def ask(_number: int) -> bytes:
            _, answer = await self.wire.call(_QUOTE, request, self._authorization(0))
            return answer

        before = machine.cpu_seconds()
        done = await closed_loop(ask, seconds=self.seconds, concurrency=CONCURRENCY)
        spent = _us(before, len(done.done), "serve", "postgres")
        return QuoteId.parse(CreateQuoteResponse.FromString(done.done[-1]).quote.id), spent

    async def _key_check(self, secret: str) -> float:
        interceptor: Interceptor = self.container.interceptor()
        authenticate = interceptor._authenticator(_READ)
        call: Any = _Metadata(secret, "203.0.113.9")
        began = time.process_time()
        for _ in range(_CHECKS):
            await authenticate(call)
        return (time.process_time() - began) / _CHECKS * 1e6

    async def _units(self, quote_id: QuoteId) -> tuple[float, float]:
        credential = await self._credential()
        call = Call(
            tenant_id=credential.tenant_id,
            api_key_id=credential.api_key_id,
            scopes=credential.scopes,
            method=_QUOTE,
            correlation_id="bench",
        )
        async with self.container.units_of_work().begin(call.tenant_id) as uow:
            quote = await uow.quotes.get(quote_id)
        return (
            await self._unit(call, quote, is_recorded=False),
            await self._unit(call, quote, is_recorded=True),
        )

    async def _unit(self, call: Call, quote: Quote, *, is_recorded: bool) -> float:
        announce, audit_trail = self.container.announce(), self.container.audit_trail()

        async def work(uow: UnitOfWork) -> None:
            await announce(
                uow, "quote.created", quote, correlation_id="bench", now=quote.created_at
            )
            if is_recorded:
                await uow.audit_log.add(audit_trail.record(call, quote))

        units = self.container.units_of_work()
        before = machine.cpu_seconds()
        for _ in range(_UNITS // _TOGETHER):
            await asyncio.gather(*(units.run(call.tenant_id, work) for _ in range(_TOGETHER)))
        return _us(before, _UNITS, "client", "postgres")

    async def _credential(self) -> Credential:
        secret_hash = self.container.secrets().hash(_secret_of(self.traders[0]))
        credential = await self.container.credentials().find(secret_hash)
        assert credential is not None
        return credential

    def _authorization(self, number: int) -> str:
        return self.traders[number % len(self.traders)].headers["authorization"]


def _secret_of(trader: Trader) -> str:
    return trader.headers["authorization"].removeprefix("Bearer ")


def _us(before: Mapping[str, float], operations: int, *parts: str) -> float:
    spent = machine.cpu_seconds()
    return sum(spent[part] - before[part] for part in parts) / operations * 1e6


async def measure(ready: ReadyStack, options: argparse.Namespace) -> Json:
    settings = Settings(database_url=ready.database_url)
    async with (
        trading(ready, options, connections=0) as (client, traders),
        open_process(settings, settings.app_database_url, actor="bench", pool_size=8) as process,
    ):
        key = {"name": "guarded", "scopes": ["SCOPE_READ"], "allowed_ip_ranges": _RANGES}
        made = await client.call(
            "POST", "/v1/apiKeys", traders[0].headers, json.dumps(key).encode()
        )
        wire = await Wire.connect(ready.serve_targets[0])
        try:
            bench = _Bench(
                process.container, wire, traders, made["secret"], options.seconds / SLICES
            )
            await bench.slice()
            slices = [await bench.slice() for _ in range(SLICES)]
        finally:
            wire.close()
    return {
        **{name: round(median(one[name] for one in slices), 1) for name in FIGURES},
        "key_check_share": median(one["key_check"] / one["yardstick"] for one in slices),
        "record_share": median(one["record"] / one["quote"] for one in slices),
        "slices": slices,
    }


def report(result: Json) -> str:
    """Return the figures as a table."""
    lines = [f"{'processor µs':<30}{'median':>8}   slices"]
    for name, label in FIGURES.items():
        slices = "  ".join(f"{one[name]:.1f}" for one in result["slices"])
        lines.append(f"{label:<30}{result[name]:>8.1f}   {slices}")
    lines += [
        "",
        f"a key check is {result['key_check_share']:.1%} of a call without work",
        f"an audit record is {result['record_share']:.1%} of a quote",
    ]
    return "\n".join(lines)


def _on_stack(options: argparse.Namespace) -> Json:
    with running_stack(venues=1) as ready:
        return uvloop.run(measure(ready, options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.audit", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of calls and of quotes each")
    parser.set_defaults(tenants=1, customers=4, venues=1)
    return parser


def main() -> int:
    return 0 if run(_parser(), _on_stack, report) else 1


if __name__ == "__main__":
    sys.exit(main())
