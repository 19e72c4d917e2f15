"""What a benchmark stands on: a stack of its own, tenants, and customers with money."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote, urlsplit

import aiohttp
import asyncpg

from adapters.lp.sandbox.face import OWN
from app.settings import Settings
from app.stack.process import StackFailure
from app.stack.stack import ReadyStack, Stack, StackOptions
from benchmarks import machine
from benchmarks.client import Client, Failed, Json, Trader
from benchmarks.wire import CALL_TIMEOUT_S
from domain.ids import ApiKeyId

SETUP_CONCURRENCY: Final = 8
SIZE: Final = "0.00100000"
NAIRA: Final = "1000000000000.00"
BITCOIN: Final = "1000000.00000000"
VENUES: Final = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")

UNREACHED: Final = [
    {
        "cost_class": f"COST_CLASS_{name}",
        "per_second": 100_000,
        "burst": 1_000_000,
        "key_percent": 100,
    }
    for name in ("READ", "QUOTE", "EXECUTE", "BULK")
]
"""Limits that are kept and never met."""

LIABILITIES_EVERY_MS: Final[int] = Settings.model_fields["liabilities_every_ms"].default

EVENTS_WAITING: Final = """
SELECT (SELECT count(*) FROM core.outbox WHERE sequence IS NULL)
    + coalesce((SELECT sum(last - published) FROM core.event_heads), 0)::bigint
"""
"""SQL for the events that the bus does not have yet."""


_OPERATOR: Final = """
SELECT id FROM core.api_keys WHERE tenant_id = (SELECT house_id FROM core.environment) LIMIT 1
"""


class Broken(Exception):
    """Something was wrong that no figure makes good."""


@contextmanager
def running_stack(*, serve: int = 1, work: int = 1, venues: int = 2) -> Iterator[ReadyStack]:
    """Run a stack of its own in a temporary directory."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    # As a worker has it that is told nothing. `up` says ten seconds, so that there is something to
    # look at; with a thousand tenants these sheets were half of what the worker did.
    os.environ.setdefault("RELI_LIABILITIES_EVERY_MS", str(LIABILITIES_EVERY_MS))
    with TemporaryDirectory(prefix="reli-bench-") as directory:
        home = Path(directory, "home")
        options = StackOptions(
            home=home,
            serve_processes=serve,
            work_processes=work,
            venues=dict.fromkeys(VENUES[:venues], OWN),
        )
        with Stack(options) as stack:
            try:
                yield stack.start()
            finally:
                # The parts are stopped in order; impatience must not cut it short.
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)


def run(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], Json],
    report: Callable[[Json], str],
) -> Json | None:
    """Parse the options, measure and print; return nothing when there is no figure."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    options = parser.parse_args()
    about = {name: value for name, value in vars(options).items() if name != "json"}
    result: Json = {"options": about, "machine": machine.facts()}
    try:
        result |= measure(options)
    except (Broken, StackFailure) as e:
        print(f"✗ {e}", file=sys.stderr)
        return None
    result["load_average_after"] = machine.facts()["load_average"]
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(report(result))
    return result


@asynccontextmanager
async def trading(
    ready: ReadyStack, options: argparse.Namespace, *, connections: int
) -> AsyncIterator[tuple[Client, list[Trader]]]:
    """Make the traders that the options ask for; `connections` of zero are any number."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        client = Client(session, ready.rest_url)
        traders = await make_traders(
            client,
            ready.operator_key,
            tenants=options.tenants,
            customers=options.customers,
            venues=options.venues,
        )
        yield client, traders


async def make_traders(
    client: Client, operator_key: str, *, tenants: int, customers: int, venues: int
) -> list[Trader]:
    """Make tenants and funded customers, interleaved so that neighbors differ in their tenant.

    Each tenant asks the first `venues` venues; each has `customers` customers.
    """
    operator = headers_of(operator_key)
    keys: list[str] = []
    for number in range(tenants):
        settings = {
            "platform_fee_bps": 20,
            "markups": [{"instrument": "BTC-NGN", "bps": 50}],
            "lp_order": VENUES[:venues],
            "rate_limits": UNREACHED,
        }
        tenant = {"slug": f"bench-{number}", "display_name": "Bench", "settings": settings}
        made = await post(client, "/v1/tenants", operator, tenant)
        path = f"/v1/tenants/{made['tenant']['id']}/apiKeys"
        keys.append((await post(client, path, operator, {"name": "bench"}))["secret"])
    places = asyncio.Semaphore(SETUP_CONCURRENCY)

    async def make(number: int) -> Trader:
        async with places:
            return await _make_trader(client, keys[number % len(keys)], number)

    return await asyncio.gather(*(make(n) for n in range(tenants * customers)))


async def _make_trader(client: Client, key: str, number: int) -> Trader:
    headers = headers_of(key)
    made = await post(client, "/v1/customers", headers, {"external_id": f"customer-{number}"})
    customer = made["customer"]["id"]
    for value, asset in ((NAIRA, "NGN"), (BITCOIN, "BTC")):
        deposit = {"customer_id": customer, "amount": {"value": value, "asset": asset}}
        once = headers | {"idempotency-key": f"deposit-{number}-{asset}"}
        await post(client, "/v1/sandbox/deposits", once, deposit)
    order = {
        "customer_id": customer,
        "base_asset": "BTC",
        "quote_asset": "NGN",
        "base_amount": {"value": SIZE, "asset": "BTC"},
    }
    sides = ("SIDE_BUY", "SIDE_SELL")
    return Trader(headers, [json.dumps(order | {"side": side}).encode() for side in sides])


async def post(client: Client, path: str, headers: dict[str, str], body: Json) -> Json:
    try:
        return await client.call("POST", path, headers, json.dumps(body).encode())
    except Failed as e:
        raise Broken(f"{path} was refused: {e}") from e


def headers_of(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "content-type": "application/json"}


async def operator_of(url: str) -> ApiKeyId:
    """Return the key that an operator's entries name."""
    connection = await asyncpg.connect(url)
    try:
        return ApiKeyId(await connection.fetchval(_OPERATOR))
    finally:
        await connection.close()


async def over_socket(url: str) -> str:
    """Return the URL by which the stack's own parts reach the same server, if it has a socket."""
    connection = await asyncpg.connect(url)
    try:
        directory = await connection.fetchval("SHOW unix_socket_directories")
    finally:
        await connection.close()
    if not directory:
        return url
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    query = f"host={quote(directory)}&port={parts.port}"
    return parts._replace(netloc=f"{login}@", query=query).geturl()


def say(what: str) -> None:
    print(f"· {what}", file=sys.stderr, flush=True)
