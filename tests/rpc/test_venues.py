"""Trades through adapters of real wire formats, from quote to books."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reli.trade.v1 import trade_pb2
from reli.type.v1 import side_pb2
from tests.support.audit import assert_books_balance
from tests.support.platform import BUY, SELL, Platform, a_platform
from tests.support.stack import migrate, running_postgres

FILLED = trade_pb2.ATTEMPT_STATE_FILLED
REJECTED = trade_pb2.ATTEMPT_STATE_REJECTED
SETTLED = trade_pb2.TRADE_STATE_SETTLED


@pytest.fixture(scope="module")
async def venues(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """The platform with OKX as alpha and Zero Hash as beta."""
    with running_postgres() as server:
        migrate(server.url)
        home: Path = tmp_path_factory.mktemp("venues")
        async with a_platform(server.url, home, adapters=("okx", "zero-hash")) as platform:
            yield platform


async def traded(platform: Platform, *behaviors: str, side: side_pb2.Side = BUY) -> trade_pb2.Trade:
    """Trade while the venues behave so, each for one order, and return what came of it."""
    tenant_id, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)
    await client.deposit(customer_id, "1.00000000", "BTC")
    quote = await client.quote(customer_id, "0.01", side=side)
    for venue, behavior in zip((platform.alpha, platform.beta), behaviors, strict=False):
        await venue.behave(behavior, 1)
    trade = await client.accept(quote.id)
    await platform.container.runner().drain()
    trade = await client.trade(trade.id)
    for venue in (platform.alpha, platform.beta):
        await venue.behave_well()
    await assert_books_balance(platform.owner, tenant_id)
    assert (trade.base_amount, trade.quote_amount) == (quote.base_amount, quote.quote_amount)
    return trade


def attempts(trade: trade_pb2.Trade) -> list[tuple[str, int]]:
    return [(attempt.lp, attempt.state) for attempt in trade.attempts]


@pytest.mark.parametrize("side", [BUY, SELL], ids=["buy", "sell"])
async def test_a_trade_settles_at_the_quoted_amounts(venues: Platform, side: side_pb2.Side) -> None:
    trade = await traded(venues, side=side)

    assert trade.state == SETTLED
    assert attempts(trade) == [("alpha", FILLED)]


async def test_an_order_that_okx_rejects_is_filled_by_zero_hash(venues: Platform) -> None:
    trade = await traded(venues, "reject")

    assert trade.state == SETTLED
    assert attempts(trade) == [("alpha", REJECTED), ("beta", FILLED)]


@pytest.mark.parametrize("behavior", ["cut_after_fill", "short_body", "garbage", "server_error"])
async def test_a_fill_whose_answer_is_lost_is_found_and_no_other_venue_is_asked(
    venues: Platform, behavior: str
) -> None:
    trade = await traded(venues, behavior)

    assert trade.state == SETTLED
    assert attempts(trade) == [("alpha", FILLED)]


@pytest.mark.parametrize("behavior", ["cut_after_fill", "short_body", "garbage", "server_error"])
async def test_zero_hash_is_asked_for_its_trade_by_the_quotes_id(
    venues: Platform, behavior: str
) -> None:
    trade = await traded(venues, "reject", behavior)

    assert trade.state == SETTLED
    assert attempts(trade) == [("alpha", REJECTED), ("beta", FILLED)]
