"""What the checks at the door cost, beside a call without work, and how well limits are kept.

Over REST, through Envoy, to two servers. The yardstick is a call without database work, whose key
is checked and counted against its limits; the same call signed takes turns with it, with a key pair
and with a shared secret. What key check and limit are of the yardstick is measured apart, as
processor time of the code that a call runs through: without them there is no call to compare with.
"""

import argparse
import asyncio
import base64
import hmac
import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import grpc
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.postgres.credential import PostgresCredentials
from adapters.postgres.engine import make_engine
from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.market import PostgresMarket
from adapters.postgres.rate_limit import PostgresTokenBuckets
from adapters.postgres.settings import PostgresSettings
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from adapters.system.clock import SystemClock
from adapters.system.secrets import SystemSecrets
from app.database_url import APP_ROLE, role_url
from app.rpc.failed_attempts import FailedAttempts
from app.rpc.rate_limit import RateLimiter
from app.stack.stack import ReadyStack
from benchmarks.client import Client, Json, Trader
from benchmarks.ground import Broken, headers_of, post, run, running_stack, trading
from benchmarks.load import Slice, closed_loop, with_cores
from domain.tenant.rate_limit import CostClass

SLICES: Final = 10
WARM_UP_S: Final = 1.0
PATH: Final = "/v1/assets"
WANTED: Final = {
    "key check + limit": 0.10,
    "signing, Ed25519": 0.40,
    "signing, HMAC-SHA256": 0.40,
    "overshoot": 0.10,
}
"""At most: the first three as a share of the yardstick's processor time."""

PARTS: Final = ("serve", "envoy", "postgres")
"""What a call keeps busy on our side; the client's own signing is not ours. What they do while
nobody calls is taken off: fewer calls a second would each have to bear more of it."""

PER_SECOND: Final = 200


class Signer:
    """Makes the headers of a signed GET, with the fewest steps."""

    def __init__(self, rest_url: str, key_id: str, make: Callable[[bytes], bytes]) -> None:
        self._key_id = key_id
        self._make = make
        self._lines = (
            f'"@method": GET\n"@authority": {urlsplit(rest_url).netloc}\n'
            f'"@path": {PATH}\n"@query": ?\n"@signature-params": '
        )

    def headers(self) -> dict[str, str]:
        said = (
            f'("@method" "@authority" "@path" "@query");created={int(time.time())}'
            f';keyid="{self._key_id}";nonce="{secrets.token_urlsafe(16)}"'
        )
        made = base64.b64encode(self._make((self._lines + said).encode())).decode()
        return {"signature-input": f"a={said}", "signature": f"a=:{made}:"}


async def measure(ready: ReadyStack, options: argparse.Namespace) -> Json:
    async with trading(ready, options, connections=options.concurrency * 2) as (client, traders):
        trader = traders[0]
        slices = await _take_turns(client, trader, await _signers(ready, client, trader), options)
        if client.failures:
            raise Broken(f"not every call was answered: {dict(client.failures)}")
        entrance_us = await _entrance_us(ready, trader, options.rounds)
        entrance_us["headers of the answer"] = await _headers_us(
            options.rounds // 4, options.concurrency
        )
        overshoot = await _overshoot(ready, client, options)
    processor_us = {name: median(one["processor_us"] for one in slices[name]) for name in slices}
    yardstick = processor_us["yardstick"]
    return {
        "processor_us": processor_us,
        "entrance_us": entrance_us,
        "overshoot": overshoot,
        "figures": {
            "key check + limit": round(sum(entrance_us.values()) / yardstick, 3),
            **{
                f"signing, {name}": round(_share_beyond(slices, name), 3)
                for name in ("Ed25519", "HMAC-SHA256")
            },
            "overshoot": overshoot["share"],
        },
        "slices": slices,
    }


async def _signers(ready: ReadyStack, client: Client, trader: Trader) -> dict[str, Signer]:
    """Return who signs with either algorithm."""
    pair = Ed25519PrivateKey.generate()
    public_key = base64.b64encode(pair.public_key().public_bytes_raw()).decode()

    async def register(algorithm: str, **fields: str) -> Json:
        body = {"name": "bench", "algorithm": f"SIGNATURE_ALGORITHM_{algorithm}", **fields}
        return await post(client, "/v1/requestSigningKeys", trader.headers, body)

    own = await register("ED25519", public_key=public_key)
    shared = await register("HMAC_SHA256")
    secret = base64.b64decode(shared["secret"].removeprefix("reqsec_"))
    return {
        name: Signer(ready.rest_url, made["request_signing_key"]["id"], make)
        for name, made, make in (
            ("Ed25519", own, pair.sign),
            ("HMAC-SHA256", shared, lambda base: hmac.digest(secret, base, "sha256")),
        )
    }


async def _take_turns(
    client: Client, trader: Trader, signers: Mapping[str, Signer], options: argparse.Namespace
) -> dict[str, list[Json]]:
    async def plain(_number: int) -> None:
        await client.call("GET", PATH, trader.headers)

    async def signed(signer: Signer, _number: int) -> None:
        await client.call("GET", PATH, trader.headers | signer.headers())

    operations: dict[str, Callable[[int], Awaitable[None]]] = {"yardstick": plain}
    operations |= {name: partial(signed, signer) for name, signer in signers.items()}
    load: Any = {"seconds": options.seconds / SLICES, "concurrency": options.concurrency}
    for operation in operations.values():
        await closed_loop(operation, **load | {"seconds": WARM_UP_S})

    async def idle() -> Slice[None]:
        await asyncio.sleep(WARM_UP_S)
        return Slice(WARM_UP_S, [])

    slices: dict[str, list[Json]] = {name: [] for name in operations}
    for _ in range(SLICES):
        at_rest = _busy((await with_cores(idle()))[1])
        for name, operation in operations.items():
            done, cores = await with_cores(closed_loop(operation, **load))
            busy = _busy(cores) - at_rest
            slices[name].append(
                {
                    "per_s": round(done.per_second, 1),
                    "processor_us": round(busy / done.per_second * 1e6, 1),
                    "at_rest": at_rest,
                    "cores": cores,
                }
            )
    return slices


def _share_beyond(slices: Mapping[str, list[Json]], name: str) -> float:
    """Return what an operation costs beyond the yardstick, as a share of it, in the same round: the
    machine's neighbors slow down both."""
    shares: list[float] = [
        one["processor_us"] / yardstick["processor_us"] - 1
        for one, yardstick in zip(slices[name], slices["yardstick"], strict=True)
    ]
    return median(shares)


def _busy(cores: Mapping[str, float]) -> float:
    return sum(cores.get(part, 0) for part in PARTS)


async def _entrance_us(ready: ReadyStack, trader: Trader, rounds: int) -> dict[str, float]:
    """Return what a call's key check and its limit take, in microseconds of this processor."""
    engine = make_engine(role_url(ready.database_url, APP_ROLE), pool_size=2, name="bench edge")
    clock, hashes = SystemClock(), SystemSecrets()
    units_of_work = PostgresUnitOfWorkFactory(
        engine, PostgresMarket(engine, clock), AccountIdCache()
    )
    credentials = PostgresCredentials(engine, clock)
    attempts = FailedAttempts(clock, burst=50)
    limiter = RateLimiter(
        PostgresTokenBuckets(engine), PostgresSettings(units_of_work, clock), clock
    )
    secret = trader.headers["authorization"].removeprefix("Bearer ")
    found = await credentials.find(hashes.hash(secret))
    assert found is not None
    credential = found

    async def check_key() -> None:
        secret_hash = hashes.hash(secret)
        if not attempts.is_good(secret_hash):
            attempts.require_patience("127.0.0.1")
        await credentials.find(secret_hash)
        attempts.note_success(secret_hash)

    async def limit() -> None:
        refusal, _ = await limiter.admit(
            credential.tenant_id, credential.api_key_id, CostClass.READ
        )
        assert refusal is None

    try:
        return {"key check": await _us(check_key, rounds), "limit": await _us(limit, rounds)}
    finally:
        await engine.dispose()


async def _headers_us(rounds: int, concurrency: int) -> float:
    """Return what it takes to send six headers before an answer, in microseconds.

    As many calls are under way as in the slices with which it is compared: what wakes the loop for
    one of them wakes it for others too.
    """
    headers = tuple((f"ratelimit-{number}", '"read-key";r=799;t=1') for number in range(6))
    server = grpc.aio.server()

    async def bare(request: bytes, context: Any) -> bytes:
        return request

    async def telling(request: bytes, context: Any) -> bytes:
        await context.send_initial_metadata(headers)
        return request

    methods = {
        name: grpc.unary_unary_rpc_method_handler(method)
        for name, method in (("bare", bare), ("telling", telling))
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        calling: Any = channel.unary_unary

        async def call_at_once(method: str) -> None:
            call = calling(f"/bench/{method}")
            await asyncio.gather(*(call(b"") for _ in range(concurrency)))

        turns = rounds // SLICES // concurrency
        bare_us: list[float] = []
        telling_us: list[float] = []
        for _ in range(SLICES):
            for name, taken in (("bare", bare_us), ("telling", telling_us)):
                taken.append(await _us(partial(call_at_once, name), turns) / concurrency)
    await server.stop(0)
    # The client reads them in the same process; half is what sending takes.
    return round(max(median(telling_us) - median(bare_us), 0) / 2, 1)


async def _us(operation: Callable[[], Awaitable[object]], rounds: int) -> float:
    """Return the processor time of an operation in this process, in microseconds."""
    for _ in range(rounds // 10):
        await operation()
    began = time.process_time()
    for _ in range(rounds):
        await operation()
    return round((time.process_time() - began) / rounds * 1e6, 2)


async def _overshoot(ready: ReadyStack, client: Client, options: argparse.Namespace) -> Json:
    """Ask two servers for much more than a tenant may have."""
    operator = headers_of(ready.operator_key)
    limit = {
        "cost_class": "COST_CLASS_READ",
        "per_second": PER_SECOND,
        "burst": PER_SECOND,
        "key_percent": 100,
    }
    body = {
        "slug": "bench-limited",
        "display_name": "Bench",
        "settings": {"rate_limits": [limit]},
    }
    made = await post(client, "/v1/tenants", operator, body)
    path = f"/v1/tenants/{made['tenant']['id']}/apiKeys"
    headers = headers_of((await post(client, path, operator, {"name": "bench"}))["secret"])
    counted: Counter[int] = Counter()

    async def go_on(session: aiohttp.ClientSession, until: float) -> None:
        while time.perf_counter() < until:
            async with session.get(client.rest_url + PATH, headers=headers) as response:
                await response.read()
                counted[response.status] += 1

    began = time.perf_counter()
    until = began + options.seconds / 4
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(go_on(session, until) for _ in range(options.concurrency)))
    seconds = time.perf_counter() - began
    allowed = PER_SECOND + PER_SECOND * seconds
    if counted.keys() - {200, 429}:
        raise Broken(f"other answers than yes and later: {dict(counted)}")
    return {
        "admitted": counted[200],
        "refused": counted[429],
        "allowed": round(allowed, 1),
        "share": round(counted[200] / allowed - 1, 3),
    }


def _on_stack(options: argparse.Namespace) -> Json:
    with running_stack(serve=2) as ready:
        return uvloop.run(measure(ready, options))


def report(result: Json) -> str:
    """Return the figures as a table."""
    lines = [f"{'share of the yardstick':<28}{'measured':>10}{'wanted':>10}"]
    for name, figure in result["figures"].items():
        lines.append(f"{name:<28}{figure:>10}{'<= ' + str(WANTED[name]):>10}")
    lines += ["", f"{'processor µs of a call':<28}{'median':>10}   slices"]
    for name, figure in result["processor_us"].items():
        slices = "  ".join(f"{one['processor_us']:.0f}" for one in result["slices"][name])
        lines.append(f"{name:<28}{figure:>10.1f}   {slices}")
    lines += [f"  {name:<26}{figure:>10.1f}" for name, figure in result["entrance_us"].items()]
    told = result["overshoot"]
    lines += ["", f"admitted {told['admitted']} of {told['allowed']}, refused {told['refused']}"]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.edge", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of each of the three loads")
    parser.add_argument("--concurrency", type=int, default=32, help="calls under way")
    parser.add_argument("--rounds", type=int, default=20_000, help="of what is measured apart")
    parser.set_defaults(tenants=1, customers=1, venues=1)
    return parser


def main() -> int:
    return 0 if run(_parser(), _on_stack, report) else 1


if __name__ == "__main__":
    sys.exit(main())
