"""Halts: what an operator stops is stopped everywhere within a second, and nothing half done."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import pytest

from domain.ids import ApiKeyId, TenantId, TradeId
from reli.event.v1 import event_pb2
from reli.liquidity.v1 import liquidity_service_pb2 as liquidity_pb
from reli.market.v1 import market_service_pb2 as market_pb
from reli.quote.v1 import quote_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.trade.v1 import trade_pb2
from reli.type.v1 import trading_state_pb2
from tests.support.platform import (
    BUY,
    SELL,
    Client,
    Platform,
    Refusal,
    a_platform,
    new_request_id,
    refusal_of,
)

WITHIN_S: Final = 1.0
"""A halt is heard in every process by then."""

HIDDEN_S: Final = 2.0
"""How long alpha does not show a fill, which is longer than the call waits."""

REJECTED_BY_ALPHA: Final = "0.00007721"

ACTIVE: Final = trading_state_pb2.TRADING_STATE_ACTIVE
REDUCING: Final = trading_state_pb2.TRADING_STATE_REDUCING
HALTED: Final = trading_state_pb2.TRADING_STATE_HALTED

Set = Callable[[str], Awaitable[trading_state_pb2.TradingStateChange]]


@pytest.fixture(scope="module")
def desk(own_platform: Platform) -> Platform:
    """A platform where what is halted is halted for everybody."""
    return own_platform


@pytest.fixture(scope="module")
async def second(
    desk: Platform, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """Another process of the same platform."""
    home = tmp_path_factory.mktemp("second")
    async with a_platform(desk.settings.database_url, home) as other:
        yield other


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
                admin = platform.operator.liquidity_admin
                await admin.SetLpTradingState(
                    liquidity_pb.SetLpTradingStateRequest(lp="beta", **fields)
                )
                made = await admin.SetLpTradingState(
                    liquidity_pb.SetLpTradingStateRequest(lp="alpha", **fields)
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
    desk: Platform, second: Platform, what: str
) -> None:
    tenant_id, client = await desk.a_tenant()
    customer_id = await desk.a_funded_customer(client)
    both = (client, Client(second.channel, client.secret))
    set_state = setter(desk, what, tenant_id)
    quotes = [await one.quote(customer_id) for one in both]  # both have just read the states

    async with in_state(set_state, "HALTED"):
        refusals = [await refused(one.quote(customer_id)) for one in both]
        accepts = [
            await refused(one.accept(quote.id)) for one, quote in zip(both, quotes, strict=True)
        ]

    assert {one.reason for one in refusals} <= {REASON[what], "NO_LIQUIDITY"}
    assert {one.reason for one in accepts} == {REASON[what]}
    for one in both:
        assert (await one.quote(customer_id)).state == quote_pb2.QUOTE_STATE_OPEN


async def test_another_tenant_and_another_instrument_go_on(desk: Platform) -> None:
    tenant_id, client = await desk.a_tenant()
    _, other = await desk.a_tenant()
    customer_id, other_id = (
        await desk.a_funded_customer(client),
        await desk.a_funded_customer(other),
    )

    async with in_state(setter(desk, "tenant", tenant_id), "HALTED"):
        await other.quote(other_id)
        assert (await refused(client.quote(customer_id))).reason == "TENANT_HALTED"
        # Everything but trading goes on.
        await client.create_customer()
    async with in_state(setter(desk, "instrument", tenant_id), "HALTED"):
        await client.quote(customer_id, base="ETH", quote="NGN")


async def test_a_live_trade_finishes_although_its_lp_was_halted(desk: Platform) -> None:
    tenant_id, client = await desk.a_tenant()
    customer_id = await desk.a_funded_customer(client)
    quote = await client.quote(customer_id, REJECTED_BY_ALPHA)
    await desk.alpha.behave("late_fill", 1, late_ms=int(HIDDEN_S * 1000))
    trade = await client.accept(quote.id)
    assert trade.state == trade_pb2.TRADE_STATE_OUTCOME_UNKNOWN

    async with in_state(setter(desk, "lp", tenant_id), "HALTED"):
        await asyncio.sleep(HIDDEN_S - WITHIN_S)
        await _make_due(desk, trade.id)
        await desk.run_due_trades()
        trade = await client.trade(trade.id)

    assert trade.state == trade_pb2.TRADE_STATE_SETTLED
    assert [attempt.lp for attempt in trade.attempts] == ["alpha"]


async def test_a_halted_backup_gets_no_order(desk: Platform) -> None:
    _, client = await desk.a_tenant()
    customer_id = await desk.a_funded_customer(client)
    quote = await client.quote(customer_id, REJECTED_BY_ALPHA)
    assert quote.lp == "alpha"

    await _set_lp(desk, "beta", "HALTED")
    await asyncio.sleep(WITHIN_S)
    try:
        trade = await client.accept(quote.id)
    finally:
        await _set_lp(desk, "beta", "ACTIVE")
        await asyncio.sleep(WITHIN_S)

    assert trade.state == trade_pb2.TRADE_STATE_REJECTED
    assert [(one.lp, one.state) for one in trade.attempts] == [
        ("alpha", trade_pb2.ATTEMPT_STATE_REJECTED),
        ("beta", trade_pb2.ATTEMPT_STATE_NOT_SENT),
    ]
    assert await client.balance(customer_id, "NGN") == ("100000000.00", "0.00")


async def test_every_decision_is_kept_with_who_when_and_why_and_told(desk: Platform) -> None:
    tenant_id, _ = await desk.a_tenant()
    set_state = setter(desk, "tenant", tenant_id)

    made = [await set_state(state) for state in ("REDUCING", "HALTED", "ACTIVE")]

    listed = await desk.operator.market_admin.ListTradingStateChanges(
        market_pb.ListTradingStateChangesRequest(tenant_id=tenant_id)
    )
    assert list(listed.changes) == list(reversed(made))
    assert [(one.from_state, one.to_state) for one in made] == [
        (ACTIVE, REDUCING),
        (REDUCING, HALTED),
        (HALTED, ACTIVE),
    ]
    operator_key = await desk.owner.fetchval(
        "SELECT id FROM core.api_keys WHERE tenant_id = $1 ORDER BY id LIMIT 1",
        desk.environment.house_id.uuid,
    )
    for one in made:
        assert one.changed_by == str(ApiKeyId(operator_key))
        assert (one.kind, one.name) == (trading_state_pb2.TRADED_KIND_TENANT, tenant_id)
        assert one.reason == "tenant is under review"
        assert one.change_time.seconds > 0
    assert await _told(desk, TenantId.parse(tenant_id)) == made


async def test_what_is_decided_about_lps_and_instruments_is_the_houses(desk: Platform) -> None:
    tenant_id, _ = await desk.a_tenant()
    made = [
        await setter(desk, what, tenant_id)(state)
        for what in ("instrument", "lp")
        for state in ("HALTED", "ACTIVE")
    ]

    listed = await desk.operator.market_admin.ListTradingStateChanges(
        market_pb.ListTradingStateChangesRequest(tenant_id=str(desk.environment.house_id))
    )
    of_tenant = await desk.operator.market_admin.ListTradingStateChanges(
        market_pb.ListTradingStateChangesRequest(tenant_id=tenant_id)
    )

    assert [one for one in listed.changes if one in made] == list(reversed(made))
    assert list(of_tenant.changes) == []
    told = await _told(desk, desk.environment.house_id)
    assert [one for one in told if one in made] == made


async def test_a_halt_repeated_under_its_request_id_is_the_same_halt(desk: Platform) -> None:
    request = liquidity_pb.SetLpTradingStateRequest(
        lp="alpha", trading_state="TRADING_STATE_HALTED", reason="a drill", request_id="halt-1"
    )

    first = await desk.operator.liquidity_admin.SetLpTradingState(request)
    await _set_lp(desk, "alpha", "ACTIVE")
    again = await desk.operator.liquidity_admin.SetLpTradingState(request)
    listed = await desk.operator.liquidity_admin.ListLps(liquidity_pb.ListLpsRequest())

    assert again == first
    assert {lp.name: lp.trading_state for lp in listed.lps}["alpha"] == ACTIVE


async def test_partners_see_what_is_halted(desk: Platform) -> None:
    tenant_id, client = await desk.a_tenant()

    async with in_state(setter(desk, "instrument", tenant_id), "REDUCING"):
        listed = await client.market.ListInstruments(market_pb.ListInstrumentsRequest())
        [instrument] = [one for one in listed.instruments if one.code == "BTC-NGN"]
        others = [one for one in listed.instruments if one.code != "BTC-NGN"]
    async with in_state(setter(desk, "tenant", tenant_id), "HALTED"):
        current = await client.tenants.GetCurrentTenant(tenant_pb.GetCurrentTenantRequest())

    assert (instrument.trading_state, instrument.open) == (REDUCING, False)
    assert {(one.trading_state, one.open) for one in others} == {(ACTIVE, True)}
    assert current.tenant.trading_state == HALTED


async def _set_lp(platform: Platform, lp: str, state: str) -> None:
    await platform.operator.liquidity_admin.SetLpTradingState(
        liquidity_pb.SetLpTradingStateRequest(
            lp=lp, trading_state=f"TRADING_STATE_{state}", reason="a drill"
        )
    )


async def _make_due(platform: Platform, trade_id: str) -> None:
    await platform.container.runner().drain()
    for statement in (
        "UPDATE core.attempts SET next_check_at = core.now() WHERE trade_id = $1",
        "UPDATE core.trade_queue SET due_at = core.now(), leased_until = core.now()"
        " WHERE trade_id = $1",
    ):
        await platform.owner.execute(statement, TradeId.parse(trade_id).uuid)


async def _told(
    platform: Platform, tenant_id: TenantId
) -> list[trading_state_pb2.TradingStateChange]:
    rows = await platform.owner.fetch(
        "SELECT payload FROM core.outbox WHERE tenant_id = $1 AND type = $2 ORDER BY id",
        tenant_id.uuid,
        "trading_state.changed",
    )
    return [event_pb2.Event.FromString(row["payload"]).trading_state_change for row in rows]
