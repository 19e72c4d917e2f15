"""Calls that are given up at any moment: what they began is finished or was never there."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Any

import grpc
import pytest

from app.rpc.caller import CALLER, Caller
from domain.ids import ApiKeyId, TenantId
from domain.tenant.api_key import TENANT_SCOPES
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.sandbox.v1 import sandbox_service_pb2 as sandbox_pb
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from tests.support.audit import assert_books_balance, uuid_of
from tests.support.platform import Client, Platform, amount, refusal_of

CALLS = 1_000
AT_ONCE = 10
LONGEST_S = (0.01, 0.06)
"""A deposit and an accept take about so long: some calls are given up before they are read, some
when all is done but the answer."""

FUNDS = "1000000000.00"

IDLE = """
SELECT pid, query FROM pg_stat_activity
WHERE application_name IN ('test serve', 'test work') AND state LIKE 'idle in transaction%'
"""

Start = Callable[[], Awaitable[Any]]


async def test_a_thousand_calls_given_up_leave_whole_effects_and_no_connection(
    platform: Platform,
) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = await platform.a_funded_customer(client, FUNDS)
    random = Random(1)
    deposits, accepts = _deposits(customer_id, 500), []

    async def accept() -> bool:
        # Quoted for here: a quote does not live for as long as the test.
        quote_id = await _quote(client, customer_id)
        accepts.append(_accept(quote_id))
        return await _give_up(partial(client.quotes.AcceptQuote, accepts[-1]), random)

    starts: list[Start] = [
        *(partial(client.sandbox.CreateDeposit, each) for each in deposits),
        *[accept] * 300,
        *[partial(client.quote, customer_id, "0.001")] * 100,
        *[partial(client.balance, customer_id, "NGN")] * 100,
    ]
    assert len(starts) == CALLS
    random.shuffle(starts)

    given_up = 0
    for chunk in _chunks(starts, AT_ONCE):
        ended = await asyncio.gather(
            *(accept() if start is accept else _give_up(start, random) for start in chunk)
        )
        given_up += sum(ended)

    assert given_up > CALLS / 10, "too few calls were caught in the middle"
    await platform.container.interceptor().drain()
    await platform.container.runner().drain()
    await _assert_nothing_is_left_open(platform)
    await _assert_whole_effects(platform, client, tenant_id, customer_id, deposits, accepts)


async def test_a_call_given_up_before_its_key_was_found_is_over_and_brings_nobody_down(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes on for it asks nothing of a call that is no longer there."""
    _, client = await platform.a_tenant()
    interceptor: Any = platform.container.interceptor()
    find, found = interceptor._credentials.find, asyncio.Event()

    async def find_late(secret_hash: bytes) -> Any:
        await found.wait()
        return await find(secret_hash)

    with monkeypatch.context() as patch:
        patch.setattr(interceptor._credentials, "find", find_late)
        calls: list[Any] = [
            client.tenants.GetCurrentTenant(
                tenant_pb.GetCurrentTenantRequest(),
                metadata=(("x-envoy-original-path", "/v1/tenants/current"),),
                timeout=0.05,
            )
            for _ in range(20)
        ]
        ended: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
        assert {error.code() for error in ended} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        await asyncio.sleep(0.2)
        found.set()
        await interceptor.drain()

    assert await client.tenants.GetCurrentTenant(tenant_pb.GetCurrentTenantRequest())


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_work_canceled_at_any_await_is_all_or_nothing(platform: Platform, seed: int) -> None:
    """Deeper than a client can reach: the task of the servicer itself is canceled."""
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = await platform.a_funded_customer(client, FUNDS)
    random = Random(seed)
    key_id = await platform.owner.fetchval(
        "SELECT id FROM core.api_keys WHERE tenant_id = $1", uuid_of(tenant_id)
    )
    CALLER.set(
        Caller(
            tenant_id=TenantId.parse(tenant_id),
            api_key_id=ApiKeyId(key_id),
            scopes=frozenset(TENANT_SCOPES),
            rpc="reli.sandbox.v1.SandboxService/CreateDeposit",
            idempotency_key="",
            correlation_id="canceled",
        )
    )
    servicer: Any = platform.container.sandbox_servicer()
    deposits = _deposits(customer_id, 100)

    async def one(request: sandbox_pb.CreateDepositRequest) -> None:
        task = asyncio.ensure_future(servicer.CreateDeposit(request, None))
        # Turns of the loop, not seconds: every await is as likely as another.
        for _ in range(random.randint(0, 40)):
            await asyncio.sleep(0)
        if random.random() < 0.5:
            await asyncio.sleep(random.uniform(0, 0.02))
        task.cancel()
        await asyncio.wait({task})

    for chunk in _chunks(deposits, AT_ONCE):
        await asyncio.gather(*(one(request) for request in chunk))

    await _assert_nothing_is_left_open(platform)
    await _assert_whole_effects(platform, client, tenant_id, customer_id, deposits, [])


async def _give_up(start: Start, random: Random) -> bool:
    """Start a call and hang up at some moment; return whether it was still under way."""
    task = asyncio.ensure_future(start())
    done, _ = await asyncio.wait({task}, timeout=random.uniform(0, random.choice(LONGEST_S)))
    if done:
        task.exception()
        return False
    task.cancel()
    await asyncio.wait({task})
    return task.cancelled()


async def _assert_nothing_is_left_open(platform: Platform) -> None:
    for container in (platform.container, platform.work_container):
        pool: Any = container.engine().pool
        assert pool.checkedout() == 0
    # Whose connection was dropped, the server may still be about to hear of it.
    for _ in range(50):
        if not await platform.owner.fetch(IDLE):
            break
        await asyncio.sleep(0.1)
    assert await platform.owner.fetch(IDLE) == []


async def _assert_whole_effects(
    platform: Platform,
    client: Client,
    tenant_id: str,
    customer_id: str,
    deposits: Sequence[sandbox_pb.CreateDepositRequest],
    accepts: Sequence[quote_pb.AcceptQuoteRequest],
) -> None:
    """Every request sent again finds its one effect, or has it now; and all of it adds up."""
    before = await _effects(platform, tenant_id)
    assert before["requests"] == before["deposits"] + before["trades"] + before["refusals"]
    await assert_books_balance(platform.owner, tenant_id)

    for deposit in deposits:
        await _decided(partial(client.sandbox.CreateDeposit, deposit))
    trades = 0
    for accept in accepts:
        trades += await _is_accepted(client, accept)
    await platform.container.runner().drain()

    after = await _effects(platform, tenant_id)
    assert after["deposits"] == len(deposits) + 1  # the first funds
    assert after["trades"] == trades >= before["trades"]
    assert after["requests"] == len(deposits) + 1 + len(accepts)
    assert await client.balance(customer_id, "NGN") == await _expected(platform, tenant_id)
    await assert_books_balance(platform.owner, tenant_id)


async def _effects(platform: Platform, tenant_id: str) -> dict[str, int]:
    row = await platform.owner.fetchrow(
        """SELECT
            (SELECT count(*) FROM core.requests WHERE tenant_id = $1) AS requests,
            (SELECT count(*) FROM core.requests WHERE tenant_id = $1 AND refusal IS NOT NULL)
                AS refusals,
            (SELECT count(*) FROM core.sandbox_deposits WHERE tenant_id = $1) AS deposits,
            (SELECT count(*) FROM core.trades WHERE tenant_id = $1) AS trades""",
        uuid_of(tenant_id),
    )
    return dict(row)


async def _expected(platform: Platform, tenant_id: str) -> tuple[str, str]:
    units = await platform.owner.fetchval(
        """SELECT (SELECT sum(units) FROM core.sandbox_deposits WHERE tenant_id = $1)
            - (SELECT coalesce(sum(quote_units), 0) FROM core.trades
                WHERE tenant_id = $1 AND state = 'settled')""",
        uuid_of(tenant_id),
    )
    return f"{units / 100:.2f}", "0.00"


async def _is_accepted(client: Client, accept: quote_pb.AcceptQuoteRequest) -> bool:
    """Send the accept again; a quote that nobody had accepted has expired meanwhile."""
    try:
        await _decided(partial(client.quotes.AcceptQuote, accept))
    except grpc.aio.AioRpcError as error:
        reason = refusal_of(error).reason
    else:
        return True
    assert reason == "QUOTE_EXPIRED"
    return False


async def _decided(send: Start) -> Any:
    """Send the same request until something was decided."""
    for _ in range(20):
        try:
            return await send()
        except grpc.aio.AioRpcError as error:
            if refusal_of(error).retry == "never":
                raise
    raise AssertionError("nothing was decided in twenty calls")


async def _a_tenant_of_alpha(platform: Platform) -> tuple[str, Client]:
    tenant_id, client = await platform.a_tenant()
    await platform.operator.tenant_admin.UpdateTenantTerms(
        tenant_pb.UpdateTenantTermsRequest(tenant_id=tenant_id, lp_order=["alpha"])
    )
    return tenant_id, client


async def _quote(client: Client, customer_id: str) -> str:
    request = quote_pb.CreateQuoteRequest(
        customer_id=customer_id,
        side="SIDE_BUY",
        base_asset="BTC",
        quote_asset="NGN",
        base_amount=amount("0.001", "BTC"),
    )
    made = await _decided(partial(client.quotes.CreateQuote, request))
    return str(made.quote.id)


def _deposits(customer_id: str, count: int) -> list[sandbox_pb.CreateDepositRequest]:
    return [
        sandbox_pb.CreateDepositRequest(
            customer_id=customer_id, amount=amount("1.00", "NGN"), request_id=f"deposit-{number}"
        )
        for number in range(count)
    ]


def _accept(quote_id: str) -> quote_pb.AcceptQuoteRequest:
    return quote_pb.AcceptQuoteRequest(quote_id=quote_id, request_id=f"accept-{quote_id[-20:]}")


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
