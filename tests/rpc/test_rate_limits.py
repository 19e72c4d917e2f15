"""How often a tenant and a key may call, and what they are told."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import pytest
from dependency_injector import providers
from google.rpc import error_details_pb2, status_pb2

from adapters.lp.http import open_lp_sessions
from adapters.postgres.engine import make_engine
from adapters.postgres.rate_limit import PostgresTokenBuckets
from app.container import Container
from app.rpc.server import add_servicers, make_server
from domain.ids import TenantId
from domain.tenant.rate_limit import CostClass, RateLimit
from reli.auth.v1 import access_pb2
from reli.market.v1 import market_service_pb2 as market_pb
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from tests.support.platform import BUY, Client, Platform, amount, refusal_of

GUESSES: Final = 40
LIMITED: Final = (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


@pytest.fixture(scope="module")
async def second(platform: Platform) -> AsyncIterator[grpc.aio.Channel]:
    """A second server on the same database."""
    async with _a_server(platform) as channel:
        yield channel


@asynccontextmanager
async def _a_server(platform: Platform) -> AsyncIterator[grpc.aio.Channel]:
    settings = platform.settings.model_copy(update={"failed_attempts_burst": GUESSES})
    engine = make_engine(platform.settings.app_database_url, pool_size=5, name="test second")
    async with open_lp_sessions() as sessions:
        container = Container(
            settings=providers.Object(settings),
            engine=providers.Object(engine),
            house_id=providers.Object(platform.environment.house_id),
            lp_sessions=providers.Object(sessions),
            actor=providers.Object("serve"),
            is_sandbox=providers.Object(True),
        )
        server = make_server(container.interceptor(), with_reflection=False)
        add_servicers(server, container.servicers())
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
        await server.stop(0)
        await container.interceptor().drain()
    await engine.dispose()


async def a_limited_tenant(
    platform: Platform, cost_class: str = "READ", **limit: int
) -> tuple[str, Client]:
    tenant_id, client = await platform.a_tenant()
    await set_limit(platform, tenant_id, cost_class, **limit)
    return tenant_id, client


async def set_limit(platform: Platform, tenant_id: str, cost_class: str, **limit: int) -> Any:
    made = await platform.operator.tenant_admin.UpdateTenantTerms(
        tenant_pb.UpdateTenantTermsRequest(
            tenant_id=tenant_id,
            rate_limits=[tenant_pb2.RateLimit(cost_class=f"COST_CLASS_{cost_class}", **limit)],
        )
    )
    return made.tenant.settings.rate_limits


async def read(client: Client) -> Any:
    return await client.market.ListAssets(market_pb.ListAssetsRequest())


async def outcomes(clients: Sequence[Client], calls: int) -> Counter[str]:
    """Have all of them read so often, one call after the other for each, and count what came."""
    counted: Counter[str] = Counter()

    async def go_on(client: Client) -> None:
        for _ in range(calls):
            try:
                await read(client)
                counted["OK"] += 1
            except grpc.aio.AioRpcError as error:
                counted[refusal_of(error).reason] += 1

    await asyncio.gather(*(go_on(client) for client in clients))
    return counted


async def refused(client: Client) -> grpc.aio.AioRpcError:
    """Read until it is refused."""
    for _ in range(1_000):
        try:
            await read(client)
        except grpc.aio.AioRpcError as error:
            return error
    raise AssertionError("nothing was refused")


async def test_a_tenant_has_limits_for_every_class_and_the_operator_sets_them(
    platform: Platform,
) -> None:
    tenant_id, client = await platform.a_tenant()

    limits = await set_limit(platform, tenant_id, "QUOTE", per_second=7, burst=21)

    told = (await client.tenants.GetCurrentTenant(tenant_pb.GetCurrentTenantRequest())).tenant
    assert list(told.settings.rate_limits) == list(limits)
    by_class = {access_pb2.CostClass.Name(limit.cost_class): limit for limit in limits}
    assert by_class.keys() == {"COST_CLASS_" + one.name for one in CostClass}
    quote = by_class["COST_CLASS_QUOTE"]
    assert (quote.per_second, quote.burst, quote.key_percent) == (7, 21, 80)
    assert by_class["COST_CLASS_READ"].per_second == 100_000, "what is not named stays"


async def test_a_key_at_its_limit_is_told_which_and_when_to_come_again(platform: Platform) -> None:
    _, client = await a_limited_tenant(platform, per_second=10, burst=20, key_percent=50)

    error = await refused(client)

    refusal = refusal_of(error)
    assert (refusal.code, refusal.reason) == LIMITED
    assert refusal.metadata == {
        "retry": "later",
        "cost_class": "read",
        "limited": "key",
        "per_second": "5",
        "burst": "10",
    }
    metadata: Any = error.trailing_metadata()
    trailers = dict(metadata)
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert 1 <= retry.retry_delay.ToMilliseconds() <= 1_000
    assert trailers["ratelimit-policy"] == '"read-tenant";q=20;w=2, "read-key";q=10;w=2'
    assert trailers["ratelimit"] == '"read-key";r=0;t=2'
    assert (trailers["ratelimit-limit"], trailers["ratelimit-remaining"]) == ("10", "0")
    assert (trailers["ratelimit-reset"], trailers["retry-after"]) == ("2", "1")

    await asyncio.sleep(retry.retry_delay.ToMilliseconds() / 1_000 + 0.3)
    await read(client)


async def test_each_answer_tells_what_is_left(platform: Platform) -> None:
    _, client = await a_limited_tenant(platform, per_second=10, burst=100, key_percent=100)

    told: list[dict[str, str]] = []
    for _ in range(3):
        call = client.market.ListAssets(market_pb.ListAssetsRequest())
        await call
        told.append(dict(await call.trailing_metadata()))

    assert [one["ratelimit-remaining"] for one in told] == ["99", "98", "97"]
    assert told[-1]["ratelimit"] == '"read-tenant";r=97;t=1'
    assert "retry-after" not in told[-1]


async def test_what_one_key_leaves_is_for_the_others_of_the_tenant(platform: Platform) -> None:
    tenant_id, wild = await a_limited_tenant(platform, per_second=20, burst=100, key_percent=50)
    other = await platform.a_client(tenant_id)

    assert (await outcomes([wild], 100))["RATE_LIMITED"] > 30
    assert await outcomes([other], 20) == {"OK": 20}


async def test_one_class_does_not_use_up_another(platform: Platform) -> None:
    _, client = await a_limited_tenant(platform, "READ", per_second=1, burst=2)
    assert refusal_of(await refused(client)).metadata["cost_class"] == "read"

    await client.create_customer()


async def test_a_new_limit_holds_within_two_seconds(platform: Platform) -> None:
    tenant_id, client = await a_limited_tenant(platform, per_second=1, burst=2)
    await refused(client)

    await set_limit(platform, tenant_id, "READ", per_second=1_000, burst=1_000)
    await asyncio.sleep(2)

    assert await outcomes([client], 100) == {"OK": 100}


async def test_two_servers_together_keep_to_the_limit(
    platform: Platform, second: grpc.aio.Channel
) -> None:
    _, client = await a_limited_tenant(platform, per_second=100, burst=100, key_percent=100)
    elsewhere = Client(second, client.secret)
    clients = [client, elsewhere] * 4

    began = time.monotonic()
    counted: Counter[str] = Counter()
    while time.monotonic() - began < 2.5:
        counted += await outcomes(clients, 10)
    seconds = time.monotonic() - began

    allowed = 100 + 100 * seconds
    assert counted["RATE_LIMITED"] > counted["OK"]
    assert counted["OK"] <= 1.1 * allowed
    assert counted["OK"] >= 0.5 * allowed


async def test_a_tenant_at_its_limit_is_refused_from_memory_and_slows_no_other(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood is refused from memory, without asking the database for each call."""
    tenant_id, flooding = await a_limited_tenant(platform, per_second=1, burst=2)
    _, calm = await platform.a_tenant()
    await refused(flooding)
    asked: Counter[str] = Counter()
    lease = PostgresTokenBuckets.lease

    async def counted_lease(buckets: Any, of: TenantId, *what: Any) -> Any:
        asked[str(of)] += 1
        return await lease(buckets, of, *what)

    monkeypatch.setattr(PostgresTokenBuckets, "lease", counted_lease)

    counted, of_calm = await asyncio.gather(outcomes([flooding] * 8, 50), outcomes([calm], 50))

    assert counted["RATE_LIMITED"] >= 395
    assert of_calm == {"OK": 50}
    assert asked.total() > asked[tenant_id]
    assert asked[tenant_id] < 40


async def test_an_open_stream_of_prices_takes_one_token(platform: Platform) -> None:
    """Whether its reader still may is looked at twice a second, which is no call of his."""
    _, client = await a_limited_tenant(platform, "QUOTE", per_second=1, burst=2)
    request = _a_price_stream()

    stream = client.quotes.StreamQuotes(request)
    async with asyncio.timeout(5):
        await stream.read()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await stream.read()


def _a_price_stream() -> Any:
    return quote_pb.StreamQuotesRequest(
        side=BUY, base_asset="BTC", quote_asset="NGN", base_amount=amount("0.01", "BTC")
    )


async def test_keys_that_are_none_of_ours_are_soon_not_looked_up_any_more(
    platform: Platform, second: grpc.aio.Channel
) -> None:
    _, good = await platform.a_tenant()
    good = Client(second, good.secret)
    await read(good)

    guesses: Counter[str] = Counter()
    for number in range(60):
        guesses += await outcomes([Client(second, f"reli_{number}")], 1)

    assert GUESSES <= guesses["API_KEY_UNKNOWN"] <= GUESSES + 3
    assert guesses["TOO_MANY_FAILED_ATTEMPTS"] == 60 - guesses["API_KEY_UNKNOWN"]
    assert await outcomes([good], 1) == {"OK": 1}, "who was known to be good goes on"


def test_a_key_has_a_share_of_its_tenants_limit_and_a_call_a_second_at_least() -> None:
    assert RateLimit(per_second=100, burst=250, key_percent=80).of_key() == RateLimit(
        per_second=80, burst=200, key_percent=80
    )
    assert RateLimit(per_second=1, burst=2, key_percent=1).of_key() == RateLimit(
        per_second=1, burst=2, key_percent=1
    )
