"""An order book is read from decimal texts, and costs against whoever asks."""

from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ccxt.book import BookUnreadable, read_book
from domain.amount import Amount
from domain.side import Side
from tests.support.builders import BTC, BTC_NGN, NGN, btc, ngn

BOOK: Final[dict[str, Any]] = {
    "symbol": "BTC/NGN",
    # Sorted as texts, as ccxt sorts them.
    "asks": [["1000", "1"], ["900", "0.5"]],
    "bids": [["890", "1"], ["88.5", "1"]],
    "timestamp": 1772443800123,
    "datetime": "2026-03-02T09:30:00.123Z",
    "nonce": None,
}


def cost(side: Side, fixed: Amount, margin_bps: int = 0) -> tuple[str, str] | None:
    found = read_book(BOOK).cost(BTC_NGN, side, fixed, margin_bps=margin_bps)
    return None if found is None else (found[0].value, found[1].value)


def test_the_best_price_is_taken_first_whatever_the_order() -> None:
    assert cost(Side.BUY, btc("0.5")) == ("0.50000000", "450.00")
    assert cost(Side.BUY, btc("1")) == ("1.00000000", "950.00")
    assert cost(Side.SELL, btc("1")) == ("1.00000000", "890.00")
    assert cost(Side.SELL, btc("2")) == ("2.00000000", "978.50")


def test_an_amount_of_the_quote_asset_buys_and_takes_the_base() -> None:
    assert cost(Side.BUY, ngn("450.00")) == ("0.50000000", "450.00")
    assert cost(Side.BUY, ngn("950.00")) == ("1.00000000", "950.00")
    assert cost(Side.SELL, ngn("890.00")) == ("1.00000000", "890.00")


def test_what_is_not_fixed_is_rounded_against_who_asks() -> None:
    assert cost(Side.BUY, btc("0.00001001")) == ("0.00001001", "0.01")
    assert cost(Side.SELL, btc("0.00001999")) == ("0.00001999", "0.01")
    assert cost(Side.BUY, ngn("0.07")) == ("0.00007777", "0.07")
    assert cost(Side.SELL, ngn("0.07")) == ("0.00007866", "0.07")


def test_a_margin_makes_both_sides_worse() -> None:
    assert cost(Side.BUY, btc("0.5"), 100) == ("0.50000000", "454.50")
    assert cost(Side.SELL, btc("1"), 100) == ("1.00000000", "881.10")


def test_what_is_more_than_the_book_has_has_no_price() -> None:
    assert cost(Side.BUY, btc("1.50000001")) is None
    assert cost(Side.SELL, ngn("978.51")) is None
    assert cost(Side.SELL, btc("0.00000001")) is None  # worth nothing


@given(units=st.integers(1, 150_000_000), side=st.sampled_from(Side), bps=st.integers(0, 1_000))
def test_no_amount_is_cheaper_than_the_best_level(units: int, side: Side, bps: int) -> None:
    found = read_book(BOOK).cost(BTC_NGN, side, Amount(BTC, units), margin_bps=bps)
    if found is None:
        return
    price = Fraction(found[1].units, 100) / Fraction(units, 10**8)
    assert price >= 900 if side is Side.BUY else price <= 890


def test_a_book_says_of_when_it_is_or_nothing() -> None:
    at = read_book(BOOK).at
    assert at is not None
    assert at.isoformat() == "2026-03-02T09:30:00.123000+00:00"
    assert read_book({**BOOK, "timestamp": None}).at is None


@pytest.mark.parametrize(
    "level",
    [
        [900.0, "1"],
        ["900", 1],
        ["nan", "1"],
        ["1e3", "1"],
        ["-900", "1"],
        ["0", "1"],
        ["900", "0.0"],
        ["9" * 31, "1"],
        ["900"],
        [None, None],
        {"price": "900", "amount": "1"},
        "900",
    ],
)
def test_a_level_that_is_no_pair_of_decimal_texts_makes_no_book(level: object) -> None:
    with pytest.raises(BookUnreadable):
        read_book({**BOOK, "asks": [level]})


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {},
        {**BOOK, "asks": None},
        {**BOOK, "asks": [["900", "1"]] * 5_001},
        {**BOOK, "timestamp": "1772443800123"},
        {**BOOK, "timestamp": 10**15},
        {**BOOK, "asks": [], "bids": []},
        {**BOOK, "asks": [["889", "1"]]},
        {**BOOK, "asks": [["980", "1"]]},
    ],
)
def test_what_makes_no_sense_is_no_book(told: object) -> None:
    with pytest.raises(BookUnreadable):
        read_book(told)


def test_an_empty_side_is_a_book_without_a_price() -> None:
    book = read_book({**BOOK, "asks": []})

    assert book.cost(BTC_NGN, Side.BUY, ngn("1.00"), margin_bps=0) is None
    assert book.cost(BTC_NGN, Side.SELL, Amount(NGN, 100), margin_bps=0) is not None
