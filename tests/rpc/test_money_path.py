"""A quote becomes a settled trade, over gRPC and on real PostgreSQL."""

import pytest

from reli.trade.v1 import trade_pb2
from tests.support.platform import Platform


async def test_an_accepted_quote_settles_at_exactly_its_two_amounts(platform: Platform) -> None:
    _, client = await platform.a_tenant(fee_bps=20, markup_bps=50)
    customer_id = await platform.a_funded_customer(client, "5000000.00")

    quote = await client.quote(customer_id, "0.01")
    trade = await client.accept(quote.id)

    assert trade.state == trade_pb2.TRADE_STATE_SETTLED
    assert (trade.base_amount, trade.quote_amount) == (quote.base_amount, quote.quote_amount)
    assert await client.balance(customer_id, "BTC") == ("0.01000000", "0.00000000")
    assert await client.balance(customer_id, "NGN") == ("3486479.00", "0.00")


@pytest.mark.parametrize(
    ("base_amount", "lps"),
    [("0.00007721", ["alpha", "beta"]), ("0.00007751", ["alpha"]), ("0.00007741", ["beta"])],
)
async def test_a_trade_fills_where_it_can(
    platform: Platform, base_amount: str, lps: list[str]
) -> None:
    _, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)

    trade = await client.accept((await client.quote(customer_id, base_amount)).id)

    assert trade.state == trade_pb2.TRADE_STATE_SETTLED
    assert [attempt.lp for attempt in trade.attempts] == lps
