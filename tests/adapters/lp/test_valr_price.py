"""A price made of an order book is kept by an order with its limit, whatever the fee."""

import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapters.lp.http import Answer
from adapters.lp.provider import Order
from adapters.lp.reading import UNREADABLE, BadAnswer
from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.valr.parse import parse_quote, parse_summary, read_reference, reference_of
from adapters.lp.valr.price import Level, order_for
from domain.amount import MAX_UNITS, Amount
from domain.asset import Asset
from domain.ids import AttemptId, LpQuoteRequestId
from domain.side import Side
from domain.trade.outcome import ORDER_WORKING, Filled
from ports.liquidity import LpQuoteRequest
from tests.support.builders import BTC, BTC_NGN, NGN, an_id, btc

UNITS: Final = st.integers(min_value=1, max_value=10**12)
PRICES: Final = st.integers(min_value=1, max_value=10**12).map(lambda cents: Fraction(cents, 100))
BPS: Final = st.integers(min_value=0, max_value=1_000)
TICKS: Final = st.sampled_from([Fraction(1), Fraction("0.01"), Fraction(5), Fraction("0.0025")])


def a_config(tick: Fraction = Fraction(1), *, risk: int = 20, fee: int = 10) -> ValrLpConfig:
    return ValrLpConfig(
        name="valr",
        url="http://127.0.0.1:1",
        api_key="k",
        secret="s",
        tick_sizes={BTC_NGN.code: tick},
        price_risk_bps=risk,
        taker_fee_bps=fee,
    )


def fee_of(units: int, bps: int) -> int:
    """Return the venue's fee, which it rounds up."""
    return -(-units * bps // 10_000)


@settings(derandomize=True, deadline=None)
@given(units=UNITS, price=PRICES, tick=TICKS, risk=BPS, fee=BPS)
def test_who_buys_receives_exactly_what_was_asked_for_at_no_more_than_the_price(
    units: int, price: Fraction, tick: Fraction, risk: int, fee: int
) -> None:
    levels = [Level(price, Amount(BTC, 10**14))]

    order = order_for(
        Amount(BTC, units), BTC_NGN, Side.BUY, levels, a_config(tick, risk=risk, fee=fee)
    )

    assert order is not None
    assert order.quantity.units - fee_of(order.quantity.units, fee) == units
    assert order.limit >= price * (10_000 + risk) / 10_000
    assert (order.limit / tick).denominator == 1
    assert order.cost.units >= order.limit * order.quantity.units * 100 / 10**8


@settings(derandomize=True, deadline=None)
@given(units=UNITS, price=PRICES, tick=TICKS, risk=BPS, fee=BPS)
def test_who_sells_gives_exactly_that_and_receives_no_less_than_the_price(
    units: int, price: Fraction, tick: Fraction, risk: int, fee: int
) -> None:
    levels = [Level(price, Amount(BTC, 10**14))]

    order = order_for(
        Amount(BTC, units), BTC_NGN, Side.SELL, levels, a_config(tick, risk=risk, fee=fee)
    )

    assert order is not None
    assert order.quantity.units == units
    assert order.limit <= price * (10_000 - risk) / 10_000
    received = order.limit * units * 100 / 10**8
    assert order.cost.units <= received * (10_000 - fee) / 10_000


@settings(derandomize=True, deadline=None)
@given(sizes=st.lists(UNITS, min_size=1, max_size=5), units=UNITS)
def test_the_price_is_that_of_the_last_level_which_is_needed(sizes: list[int], units: int) -> None:
    levels = [Level(Fraction(n + 1), Amount(BTC, size)) for n, size in enumerate(sizes)]
    config = a_config(risk=0, fee=0)

    order = order_for(Amount(BTC, units), BTC_NGN, Side.BUY, levels, config)

    if sum(sizes) < units:
        assert order is None
    else:
        assert order is not None
        before = int(order.limit) - 1
        assert sum(sizes[:before]) < units <= sum(sizes[: before + 1])


@settings(derandomize=True, deadline=None)
@given(units=UNITS, steps=UNITS, tick=TICKS)
def test_what_is_kept_of_a_price_is_read_as_it_was(units: int, steps: int, tick: Fraction) -> None:
    quantity, limit = read_reference(reference_of(Amount(BTC, units), steps * tick, tick))

    assert Amount.parse(quantity, BTC) == Amount(BTC, units)
    assert Fraction(limit) == steps * tick


@settings(derandomize=True, deadline=None)
@given(units=st.integers(min_value=1_000_000, max_value=10**12), side=st.sampled_from(Side))
def test_a_fill_is_told_without_the_fee_that_was_taken_of_it(units: int, side: Side) -> None:
    total = units * 1500 // 1000
    assume(total > 0)
    gross = (units, BTC) if side is Side.BUY else (total, NGN)
    fee = Amount(gross[1], fee_of(gross[0], 10))
    order = Order(client_order_id=an_id(AttemptId), reference="", instrument=BTC_NGN, side=side)
    body = f"""{{"orderId": "o-1", "customerOrderId": "{order.client_order_id.uuid}",
        "currencyPair": "BTCNGN", "orderSide": "{side}", "orderStatusType": "Filled",
        "averagePrice": "1500000",
        "totalExecutedQuantity": "{Amount(BTC, units).value}",
        "total": "{Amount(NGN, total).value}",
        "totalFee": "{fee.value}", "feeCurrency": "{fee.asset}"}}"""

    said = parse_summary(Answer(200, body.encode()), order, a_config())

    assert isinstance(said, Filled)
    if side is Side.BUY:
        assert (said.base.units, said.quote.units) == (units - fee.units, total)
    else:
        assert (said.base.units, said.quote.units) == (units, total - fee.units)


@pytest.mark.parametrize("side", Side)
def test_a_level_at_an_absurd_price_makes_no_amount_that_cannot_be_kept(side: Side) -> None:
    price = f"{'9' * 30}.5"
    levels = {
        name: [
            {"side": taken, "currencyPair": "BTCNGN", "price": price, "quantity": "2000000"},
        ]
        for name, taken in (("Asks", "sell"), ("Bids", "buy"))
    }
    levels["Bids"][0]["price"] = f"{'9' * 30}.4"
    request = LpQuoteRequest(
        id=an_id(LpQuoteRequestId), instrument=BTC_NGN, side=side, fixed=btc("1000000")
    )
    now = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

    with pytest.raises(BadAnswer) as bad:
        parse_quote(Answer(200, json.dumps(levels).encode()), request, a_config(), now=now)

    assert bad.value.reason == UNREADABLE


@pytest.mark.parametrize(("side", "asset"), [(Side.BUY, NGN), (Side.SELL, BTC)])
def test_a_fee_makes_no_amount_that_cannot_be_kept(side: Side, asset: Asset) -> None:
    order = Order(client_order_id=an_id(AttemptId), reference="", instrument=BTC_NGN, side=side)
    told = {
        "orderId": "o-1",
        "customerOrderId": str(order.client_order_id.uuid),
        "currencyPair": "BTCNGN",
        "orderSide": side,
        "orderStatusType": "Filled",
        "averagePrice": "1000000",
        "totalExecutedQuantity": Amount(BTC, MAX_UNITS).value,
        "total": Amount(NGN, MAX_UNITS).value,
        "totalFee": Amount(asset, 1).value,
        "feeCurrency": asset.code,
    }

    with pytest.raises(BadAnswer, match="larger than any") as bad:
        parse_summary(Answer(200, json.dumps(told).encode()), order, a_config())

    assert bad.value.reason == ORDER_WORKING


def test_a_book_with_too_little_gives_no_price() -> None:
    levels = [Level(Fraction(1), Amount(BTC, 5))]

    assert order_for(Amount(BTC, 6), BTC_NGN, Side.SELL, levels, a_config()) is None
