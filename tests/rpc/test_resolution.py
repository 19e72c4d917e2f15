"""What no venue will tell, two operators decide on evidence."""

from collections.abc import Awaitable

import grpc
import pytest

from domain.trade.trade import Trade
from ports.trade import TradeLease
from reli.auth.v1 import access_pb2
from reli.trade.v1 import trade_pb2
from reli.trade.v1 import trade_service_pb2 as pb
from tests.support.audit import uuid_of
from tests.support.platform import Client, Platform, amount, new_request_id, refusal_of

UNKNOWN = trade_pb2.TRADE_STATE_OUTCOME_UNKNOWN
SETTLED = trade_pb2.TRADE_STATE_SETTLED
REJECTED = trade_pb2.TRADE_STATE_REJECTED
FILLED = trade_pb2.RESOLUTION_VERDICT_FILLED
NOT_FILLED = trade_pb2.RESOLUTION_VERDICT_NOT_FILLED


@pytest.fixture
async def second_operator(platform: Platform) -> Client:
    house = str(platform.environment.house_id)
    return await platform.a_client(house, [access_pb2.SCOPE_OPERATOR])


async def an_unknown_trade(platform: Platform) -> tuple[str, Client, str, trade_pb2.Trade]:
    """Return tenant, client, customer and a trade that the primary cut off before filling."""
    tenant_id, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client, "5000000.00")
    quote = await client.quote(customer_id, "0.00007761")
    trade = await client.accept(quote.id)
    assert trade.state == UNKNOWN
    return tenant_id, client, customer_id, trade


async def propose(
    operator: Client,
    tenant_id: str,
    trade: trade_pb2.Trade,
    verdict: trade_pb2.ResolutionVerdict,
) -> trade_pb2.Resolution:
    is_filled = verdict == FILLED
    proposed = await operator.trade_admin.ProposeResolution(
        pb.ProposeResolutionRequest(
            tenant_id=tenant_id,
            trade_id=trade.id,
            verdict=verdict,
            venue_order_id=f"statement-{new_request_id()}" if is_filled else "",
            filled_amount=trade.waterfall.lp if is_filled else None,
            evidence="line 7 of the statement of the day",
            request_id=new_request_id(),
        )
    )
    resolution: trade_pb2.Resolution = proposed.resolution
    return resolution


async def approve(
    operator: Client, tenant_id: str, resolution: trade_pb2.Resolution, request_id: str = ""
) -> trade_pb2.Trade:
    approved = await operator.trade_admin.ApproveResolution(
        pb.ApproveResolutionRequest(
            tenant_id=tenant_id,
            trade_id=resolution.trade_id,
            resolution_id=resolution.id,
            request_id=request_id or new_request_id(),
        )
    )
    trade: trade_pb2.Trade = approved.trade
    return trade


async def test_an_unknown_trade_says_since_when_and_who_looks_next(platform: Platform) -> None:
    tenant_id, _, _, trade = await an_unknown_trade(platform)

    listed = await platform.operator.trade_admin.ListStuckTrades(
        pb.ListStuckTradesRequest(tenant_id=tenant_id)
    )

    (stuck,) = listed.stuck_trades
    assert (stuck.tenant_id, stuck.trade.id) == (tenant_id, trade.id)
    assert stuck.trade.unknown_since_time.seconds < stuck.trade.resolve_by_time.seconds
    assert stuck.trade.attempts[0].HasField("next_check_time")


async def test_stuck_trades_of_all_tenants_are_listed_the_longest_first(
    platform: Platform,
) -> None:
    first = await an_unknown_trade(platform)
    second = await an_unknown_trade(platform)
    found: list[str] = []
    token = ""
    while True:
        page = await platform.operator.trade_admin.ListStuckTrades(
            pb.ListStuckTradesRequest(page_size=1, page_token=token)
        )
        found += [stuck.trade.id for stuck in page.stuck_trades]
        token = page.next_page_token
        if not token:
            break

    assert found.index(first[3].id) < found.index(second[3].id)
    assert len(set(found)) == len(found)


async def test_a_fill_that_two_operators_found_settles_the_trade(
    platform: Platform, second_operator: Client
) -> None:
    tenant_id, client, customer_id, trade = await an_unknown_trade(platform)
    resolution = await propose(platform.operator, tenant_id, trade, FILLED)

    settled = await approve(second_operator, tenant_id, resolution)

    assert settled.state == SETTLED
    assert settled.attempts[0].venue_order_id == resolution.venue_order_id
    assert await client.balance(customer_id, "BTC") == ("0.00007761", "0.00000000")
    evidence = await platform.owner.fetchval(
        "SELECT evidence FROM core.trade_transitions WHERE from_state = 'unknown' "
        "AND evidence LIKE $1",
        f"{resolution.id}%",
    )
    assert resolution.proposed_by in evidence
    assert "line 7 of the statement" in evidence


async def test_an_attempt_that_two_operators_found_empty_goes_to_the_backup(
    platform: Platform, second_operator: Client
) -> None:
    tenant_id, client, customer_id, trade = await an_unknown_trade(platform)
    resolution = await propose(platform.operator, tenant_id, trade, NOT_FILLED)

    settled = await approve(second_operator, tenant_id, resolution)

    assert settled.state == SETTLED
    assert [attempt.lp for attempt in settled.attempts] == ["alpha", "beta"]
    assert settled.attempts[0].state == trade_pb2.ATTEMPT_STATE_ABSENT
    assert await client.balance(customer_id, "BTC") == ("0.00007761", "0.00000000")


async def test_one_key_alone_cannot_resolve(platform: Platform) -> None:
    tenant_id, _, _, trade = await an_unknown_trade(platform)
    resolution = await propose(platform.operator, tenant_id, trade, FILLED)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await approve(platform.operator, tenant_id, resolution)

    assert refusal_of(refused.value).reason == "SECOND_KEY_REQUIRED"


async def test_a_second_approval_changes_nothing(
    platform: Platform, second_operator: Client
) -> None:
    tenant_id, client, customer_id, trade = await an_unknown_trade(platform)
    filled = await propose(platform.operator, tenant_id, trade, FILLED)
    empty = await propose(platform.operator, tenant_id, trade, NOT_FILLED)
    settled = await approve(second_operator, tenant_id, filled, request_id="again")

    assert (await approve(second_operator, tenant_id, filled, request_id="again")) == settled
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await approve(second_operator, tenant_id, empty)

    assert refusal_of(refused.value).reason == "OUTCOME_KNOWN"
    assert await client.balance(customer_id, "BTC") == ("0.00007761", "0.00000000")


async def test_only_the_key_that_approved_is_recorded_to_have(
    platform: Platform, second_operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that took the approval dies before it applies it."""
    house = str(platform.environment.house_id)
    third_operator = await platform.a_client(house, [access_pb2.SCOPE_OPERATOR])
    tenant_id, _, _, trade = await an_unknown_trade(platform)
    resolution = await propose(platform.operator, tenant_id, trade, NOT_FILLED)
    runner = platform.container.runner()

    async def die() -> None:
        return None

    def start(lease: TradeLease, _accepted: Trade | None = None) -> Awaitable[None]:
        runner.give_back(lease.tenant_id)
        return die()

    monkeypatch.setattr(runner, "start", start)
    await approve(second_operator, tenant_id, resolution)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await approve(third_operator, tenant_id, resolution)

    assert refusal_of(refused.value).reason == "OUTCOME_KNOWN"
    approved = await platform.owner.fetch(
        "SELECT api_key_id FROM core.audit_records WHERE tenant_id = $1 "
        "AND method LIKE '%ApproveResolution' AND refusal_reason = ''",
        uuid_of(tenant_id),
    )
    assert len(approved) == 1


async def test_a_known_outcome_cannot_be_resolved(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)
    trade = await client.accept((await client.quote(customer_id)).id)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await propose(platform.operator, tenant_id, trade, NOT_FILLED)

    assert refusal_of(refused.value).reason == "OUTCOME_KNOWN"


async def test_a_fill_must_be_in_the_quote_asset(platform: Platform) -> None:
    tenant_id, _, _, trade = await an_unknown_trade(platform)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await platform.operator.trade_admin.ProposeResolution(
            pb.ProposeResolutionRequest(
                tenant_id=tenant_id,
                trade_id=trade.id,
                verdict=FILLED,
                venue_order_id="x",
                filled_amount=amount("1", "USD"),
                evidence="none",
                request_id=new_request_id(),
            )
        )

    assert refusal_of(refused.value).metadata["field"] == "filled_amount"
