"""A price per unit comes to whole minor units, and an order is what its trades say."""

import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.lp.b2c2.config import B2c2LpConfig
from adapters.lp.b2c2.parse import (
    Reference,
    is_not_found,
    parse_order,
    parse_quote,
    quantity_text,
)
from adapters.lp.http import Answer
from adapters.lp.provider import Order
from adapters.lp.reading import BadAnswer, NoPrice
from domain.amount import Amount
from domain.ids import AttemptId, LpQuoteRequestId
from domain.side import Side
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import LpQuoteRequest
from tests.support.builders import BTC, BTC_NGN, ETH_NGN, an_id, btc, ngn

CONFIG: Final = B2c2LpConfig(name="b2c2", url="http://127.0.0.1:1", token="t")
DATE: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ATTEMPT: Final = an_id(AttemptId)
ASK: Final = an_id(LpQuoteRequestId)
STEPS: Final = st.integers(min_value=1, max_value=10**8).map(
    lambda steps: Amount(BTC, steps * 10**4)
)
PRICES: Final = st.decimals(min_value="100", max_value="1e12", places=8).map(str)
SIDES: Final = st.sampled_from(Side)
TRADE: Final = {
    "instrument": "BTCNGN.SPOT",
    "side": "buy",
    "quantity": "0.0200",
    "price": "150000000",
}


def an_order(side: Side = Side.BUY) -> Order:
    return Order(client_order_id=ATTEMPT, reference="", instrument=BTC_NGN, side=side)


def an_answer(status: int = 200, **fields: Any) -> Answer:
    return Answer(status, json.dumps(fields).encode(), DATE)


def an_order_answer(**changed: Any) -> Answer:
    told = {
        "order_id": "order-7",
        "client_order_id": str(ATTEMPT.uuid),
        "instrument": "BTCNGN.SPOT",
        "side": "buy",
        "quantity": "0.0200000000",
        "price": "150000000.00000000",
        "executed_price": "150000000.00000000",
        "trades": [TRADE],
    }
    return an_answer(**{**told, **changed})


def a_quote_answer(side: Side, quantity: str, price: str, **changed: Any) -> Answer:
    told = {
        "rfq_id": "rfq@7",
        "client_rfq_id": str(ASK.uuid),
        "instrument": "BTCNGN.SPOT",
        "side": side.value,
        "quantity": quantity,
        "price": price,
        "valid_until": "2026-03-02T09:30:10.025464Z",
    }
    return an_answer(**{**told, **changed})


def a_request(side: Side, base: Amount) -> LpQuoteRequest:
    return LpQuoteRequest(id=ASK, instrument=BTC_NGN, side=side, fixed=base)


@settings(derandomize=True, deadline=None)
@given(base=STEPS, price=PRICES, side=SIDES)
def test_a_price_comes_to_whole_units_less_than_one_off_and_never_in_our_favor(
    base: Amount, price: str, side: Side
) -> None:
    exact = Fraction(price) * base.units / 10**6

    answer = a_quote_answer(side, quantity_text(base), price)
    quote = parse_quote(answer, a_request(side, base), CONFIG)

    off = quote.quote.units - exact
    assert 0 <= (off if side is Side.BUY else -off) < 1
    assert quote.base == base


@settings(derandomize=True, deadline=None)
@given(base=STEPS, price=PRICES, side=SIDES)
def test_an_order_filled_at_the_price_told_is_filled_for_the_amount_told(
    base: Amount, price: str, side: Side
) -> None:
    quantity = quantity_text(base)
    trades = [{**TRADE, "side": side.value, "quantity": quantity, "price": price}]
    filled = an_order_answer(
        side=side.value, quantity=quantity, executed_price=price, trades=trades
    )

    told = parse_quote(a_quote_answer(side, quantity, price), a_request(side, base), CONFIG)
    outcome = parse_order(filled, an_order(side), CONFIG)

    assert isinstance(outcome, Filled)
    assert (outcome.base, outcome.quote) == (told.base, told.quote)


def test_what_is_sold_for_less_than_a_unit_is_too_small() -> None:
    answer = a_quote_answer(Side.SELL, "0.0001", "99.99")

    with pytest.raises(NoPrice) as refused:
        parse_quote(answer, a_request(Side.SELL, btc("0.0001")), CONFIG)

    assert refused.value.code == "AMOUNT_TOO_SMALL"


@settings(derandomize=True, deadline=None)
@given(base=STEPS)
def test_an_amount_is_asked_for_whole_and_with_no_more_than_four_decimals(base: Amount) -> None:
    text = quantity_text(base)

    assert Amount.parse(text, BTC) == base
    assert len(text.partition(".")[2]) <= 4


def test_what_is_kept_of_a_price_is_read_as_it_was() -> None:
    quote = parse_quote(
        a_quote_answer(Side.BUY, "0.02", "150000000.25"), a_request(Side.BUY, btc("0.02")), CONFIG
    )

    kept = Reference.read(quote.reference)
    assert kept == Reference("rfq@7", "150000000.25", "2026-03-02T09:30:10.025464Z")
    assert quote.expires_at == DATE + timedelta(seconds=9, microseconds=25_464)


def test_an_order_of_several_trades_comes_to_their_sum_and_not_to_its_rounded_price() -> None:
    trades = [
        {**TRADE, "quantity": "0.0100", "price": "150000010.2"},
        {**TRADE, "quantity": "0.0100", "price": "150000012.7"},
    ]

    outcome = parse_order(
        an_order_answer(executed_price="150000011", trades=trades), an_order(), CONFIG
    )

    assert isinstance(outcome, Filled)
    assert outcome.quote == ngn("3000000.23")  # of 3000000.229; the price would make it 3000000.22


def test_an_order_without_an_executed_price_and_without_trades_was_rejected() -> None:
    outcome = parse_order(an_order_answer(executed_price=None, trades=[]), an_order(), CONFIG)

    assert isinstance(outcome, Rejected)
    assert not outcome.lp_quote_expired


def test_a_fill_need_not_list_its_trades() -> None:
    assert isinstance(parse_order(an_order_answer(trades=None), an_order(), CONFIG), Filled)


@pytest.mark.parametrize(
    "changed",
    [
        {"executed_price": None},
        {"executed_price": None, "trades": None},
        {"trades": []},
        {"trades": [{**TRADE, "quantity": "0.0100"}]},
        {"trades": [TRADE, TRADE]},
        {"trades": [{**TRADE, "price": "150100000"}]},
        {"executed_price": "150100000"},
        {"trades": [{**TRADE, "side": "sell"}]},
        {"trades": [{**TRADE, "instrument": "ETHNGN.SPOT"}]},
        {"executed_price": "9" * 30},
        {"errors": [], "executed_price": "0"},
    ],
)
def test_an_order_that_contradicts_itself_proves_nothing(changed: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        parse_order(an_order_answer(**changed), an_order(), CONFIG)


def test_a_missing_executed_price_is_no_rejection() -> None:
    told = json.loads(an_order_answer(trades=[]).body)
    del told["executed_price"]

    with pytest.raises(BadAnswer):
        parse_order(an_answer(**told), an_order(), CONFIG)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1010, "AMOUNT_TOO_LARGE"), (1015, "TOO_MANY_DIGITS"), (1019, "AMOUNT_TOO_SMALL")],
)
def test_a_size_that_the_venue_does_not_trade_is_named_as_ours_is(code: int, reason: str) -> None:
    refusal = an_answer(400, errors=[{"message": "no", "code": code}])

    with pytest.raises(NoPrice) as refused:
        parse_quote(refusal, a_request(Side.BUY, btc("0.02")), CONFIG)

    assert refused.value.code == reason


def test_only_an_error_of_the_venue_says_that_there_is_no_such_order() -> None:
    assert is_not_found(an_answer(404, errors=[{"message": "not found", "code": 1100}]))
    assert not is_not_found(an_order_answer())
    for body in (b"<html>", b"{}", b'{"errors": []}'):
        with pytest.raises(BadAnswer):
            is_not_found(Answer(404, body, DATE))


def test_the_venues_own_name_of_an_instrument_goes_before_the_usual_one() -> None:
    renamed = B2c2LpConfig(
        name="b2c2",
        url="http://127.0.0.1:1",
        token="t",
        asset_codes={"NGN": "NGX"},
        instruments={"ETH-NGN": "ETHERNGX.SPOT"},
    )

    assert CONFIG.name_of(BTC_NGN) == "BTCNGN.SPOT"
    assert renamed.name_of(BTC_NGN) == "BTCNGX.SPOT"
    assert renamed.name_of(ETH_NGN) == "ETHERNGX.SPOT"
