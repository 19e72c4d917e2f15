"""Halts: what an operator stops is stopped everywhere within a second, and nothing half done."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from app.stack.postgres import PostgresServer
from domain.ids import TenantId
from reli.event.v1 import event_pb2
from reli.liquidity.v1 import liquidity_service_pb2 as liquidity_pb
from reli.market.v1 import market_service_pb2 as market_pb
from reli.quote.v1 import quote_pb2
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.trade.v1 import trade_pb2
from reli.type.v1 import trading_state_pb2
from tests.support.audited_books import a_database
from tests.support.platform import (
    BUY,
    SELL,
    Client,
    Platform,
    Refusal,
    a_platform,
    amount,
    new_request_id,
    refusal_of,
)

WITHIN_S: Final = 1.0
"""A halt is heard in every process by then."""

Set = Callable[[str], Awaitable[trading_state_pb2.TradingStateChange]]


@pytest.fixture(scope="module")
async def desk(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """A platform of its own: what is halted here is halted for everybody."""
    url = await a_database(postgres_server.url, "halts")
    async with a_platform(url, tmp_path_factory.mktemp("halts")) as platform:
        yield platform


@pytest.fixture(scope="module")
async def second(desk: Platform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """The same tenant at another process of the same platform."""
    home: Path = tmp_path_factory.mktemp("second")
    async with a_platform(str(desk.settings.database_url), home) as other:
        yield Client(other.channel, desk.operator.secret)


async def refused(call: Awaitable[Any]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


def setter(platform: Platform, what: str, tenant_id: str) -> Set:
    """Return what sets the trading state of BTC-NGN, of alpha and beta, or of the tenant."""

    async def set_state(state: str) -> trading_state_pb2.TradingStateChange:
        fields: dict[str, Any] = {
            "trading_state": f"TRADING_STATE_{state}",
            "reason": f"{what} is under review",
        }
        match what:
            case "instrument":
                made = await platform.operator.market_admin.SetInstrumentTradingState(
                    market_pb.SetInstrumentTradingStateRequest(instrument="BTC-NGN", **fields)
                )
            case "tenant":
                made = await platform.operator.tenant_admin.SetTenantTradingState(
                    tenant_pb.SetTenantTradingStateRequest(tenant_id=tenant_id, **fields)
                )
            case _:
                for lp in ("alpha", "beta"):
                    made = await platform.operator.liquidity_admin.SetLpTradingState(
                        liquidity_pb.SetLpTradingStateRequest(lp=lp, **fields)
                    )
        change: trading_state_pb2.TradingStateChange = made.change
        return change

    return set_state


@asynccontextmanager
async def in_state(set_state: Set, state: str) -> AsyncIterator[None]:
    await set_state(state)
    await asyncio.sleep(WITHIN_S)
    try:
        yield
    finally:
        await set_state("ACTIVE")
        await asyncio.sleep(WITHIN_S)


REASON: Final = {"instrument": "INSTRUMENT_HALTED", "tenant": "TENANT_HALTED", "lp": "LP_HALTED"}


@pytest.mark.parametrize("what", REASON)
async def test_what_is_halted_is_neither_quoted_nor_accepted_and_the_caller_is_told_to_wait(
    desk: Platform, what: str
) -> None:
    tenant_id, client = await desk.a_tenant()
    customer_id = await desk.a_funded_customer(client)
    quote = await client.quote(customer_id)
    request_id = new_request_id()

    async with in_state(setter(desk, what, tenant_id), "HALTED"):
        accept = await refused(client.accept(quote.id, request_id))
        ask = await refused(client.quote(customer_id))

    assert (accept.code, accept.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, REASON[what])
    assert (accept.retry, accept.metadata["trading_state"]) == ("later", "halted")
    if what == "lp":
        # Nobody else could be asked.
        assert (ask.reason, ask.retry) == ("NO_LIQUIDITY", "same_request")
        assert ask.metadata["answers"] == "alpha: LP_HALTED; beta: LP_HALTED"
    else:
        assert (ask.reason, ask.retry) == (REASON[what], "later")
    assert await client.balance(customer_id, "NGN") == ("100000000.00", "0.00")
    # That it was refused is no outcome of the request: sent again, it is accepted.
    trade = await client.accept(quote.id, request_id)
    assert trade.state == trade_pb2.TRADE_STATE_SETTLED


@pytest.mark.parametrize("what", REASON)
async def test_while_something_is_reducing_customers_may_sell_only(
    desk: Platform, what: str
) -> None:
    tenant_id, client = await desk.a_tenant()
    customer_id = await desk.a_funded_customer(client)
    await client.deposit(customer_id, "1.00000000", "BTC")
    buying = await client.quote(customer_id, side=BUY)

    async with in_state(setter(desk, what, tenant_id), "REDUCING"):
        sold = await client.accept((await client.quote(customer_id, side=SELL)).id)
        accept = await refused(client.accept(buying.id))
        ask = await refused(client.quote(customer_id, side=BUY))

    assert sold.state == trade_pb2.TRADE_STATE_SETTLED
    assert (accept.reason, accept.metadata["trading_state"]) == (REASON[what], "reducing")
    assert ask.reason in (REASON[what], "NO_LIQUIDITY")


@pytest.mark.parametrize("what", REASON)
async def test_a_halt_is_heard_by_every_process_within_a_second(
    desk: Platform, second: Client, what: str
) -> None:
    tenant_id, client = await desk.a_tenant()
    customer_id = await desk.a_funded_customer(client)
    elsewhere = Client.__new__(Client)
    elsewhere.__init__(second.quotes._stub_channel, client.secret)  # type: ignore[misc]
    set_state = setter(desk, what, tenant_id)
    await elsewhere.quote(customer_id)  # by now both have read the states
    await client.quote(customer_id)
    await set_state("HALTED")
    try:
        await asyncio.sleep(WITHIN_S)
        refusals = [await refused(one.quote(customer_id)) for one in (client, elsewhere)]
    finally:
        await set_state("ACTIVE")
    await asyncio.sleep(WITHIN_S)

    assert {one.reason for one in refusals} <= {REASON[what], "NO_LIQUIDITY"}
    for one in (client, elsewhere):
        assert (await one.quote(customer_id)).state == quote_pb2.QUOTE_STATE_OPEN
