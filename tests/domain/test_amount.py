"""Amounts: exact decimal text in, exact decimal text out."""

import operator
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.amount import MAX_UNITS, Amount
from domain.asset import Asset
from domain.errors import DomainError, Kind
from tests.support.builders import BTC, NGN, USD

ASSETS = st.builds(Asset, st.just("X"), st.integers(0, 18))
UNITS = st.integers(-MAX_UNITS, MAX_UNITS)
AMOUNTS = st.builds(Amount, ASSETS, UNITS)


@pytest.mark.parametrize(
    ("text", "asset", "units"),
    [
        ("0", NGN, 0),
        ("0.00", NGN, 0),
        ("-0.00", NGN, 0),
        ("1", NGN, 100),
        ("1.5", NGN, 150),
        ("1.05", NGN, 105),
        ("-0.01", NGN, -1),
        ("-12.3", NGN, -1230),
        ("0.00000001", BTC, 1),
        ("7", Asset("X", 0), 7),
        ("10000000000000000000000000000.00", NGN, MAX_UNITS),
        ("-10000000000000000000000000000.00", NGN, -MAX_UNITS),
    ],
)
def test_a_decimal_is_read_to_the_unit(text: str, asset: Asset, units: int) -> None:
    assert Amount.parse(text, asset) == Amount(asset, units)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "-", "+1", "--1", ".", "1.", ".5", "01", "00", "-01.00", "1.2.3"),
        *("1e3", "1E3", "1_000", "1,000", " 1", "1 ", "1\n", "0x1", "NaN", "Infinity", "∞"),
        *("١", "1٠", "¹", "１", "−1"),
        "1." + "0" * 63,
    ],
)
def test_text_that_is_no_plain_decimal_is_malformed(text: str) -> None:
    assert _refusal(lambda: Amount.parse(text, NGN, field="base_amount")) == (
        "MALFORMED_AMOUNT",
        {"field": "base_amount"},
    )


@pytest.mark.parametrize(
    ("text", "asset"), [("0.001", NGN), ("1.000", NGN), ("0.1", Asset("X", 0))]
)
def test_a_digit_more_than_the_asset_has_is_refused(text: str, asset: Asset) -> None:
    assert _refusal(lambda: Amount.parse(text, asset)) == (
        "TOO_MANY_DIGITS",
        {"field": "amount", "asset": asset.code, "scale": str(asset.scale)},
    )


@pytest.mark.parametrize("sign", ["", "-"])
def test_one_unit_more_than_the_largest_amount_is_refused(sign: str) -> None:
    text = f"{sign}10000000000000000000000000000.01"

    assert _refusal(lambda: Amount.parse(text, NGN)) == (
        "AMOUNT_TOO_LARGE",
        {"field": "amount", "asset": "NGN"},
    )


def test_text_longer_than_any_amount_is_not_even_read() -> None:
    assert _refusal(lambda: Amount.parse("9" * 64, NGN))[0] == "AMOUNT_TOO_LARGE"
    assert _refusal(lambda: Amount.parse("9" * 65, NGN))[0] == "MALFORMED_AMOUNT"


@pytest.mark.parametrize("text", ["0", "0.00", "-0", "-0.01", "-5"])
def test_zero_and_less_are_refused_where_something_must_move(text: str) -> None:
    assert _refusal(lambda: Amount.parse_positive(text, NGN, field="amount")) == (
        "AMOUNT_NOT_POSITIVE",
        {"field": "amount", "asset": "NGN"},
    )


def test_the_smallest_positive_amount_is_one_unit() -> None:
    assert Amount.parse_positive("0.01", NGN) == Amount(NGN, 1)


def test_a_refused_amount_is_the_callers_mistake_and_never_worth_a_retry() -> None:
    with pytest.raises(DomainError) as caught:
        Amount.parse("x", NGN)

    assert (caught.value.kind, caught.value.retry) == (Kind.INVALID, "never")


@pytest.mark.parametrize(
    ("units", "asset", "value"),
    [
        (0, NGN, "0.00"),
        (1, NGN, "0.01"),
        (-1, NGN, "-0.01"),
        (-100, NGN, "-1.00"),
        (1500000, BTC, "0.01500000"),
        (7, Asset("X", 0), "7"),
        (-7, Asset("X", 0), "-7"),
    ],
)
def test_the_text_has_exactly_the_digits_of_the_asset(units: int, asset: Asset, value: str) -> None:
    assert Amount(asset, units).value == value


def test_an_amount_reads_with_its_asset() -> None:
    assert str(Amount(BTC, 1500000)) == "0.01500000 BTC"


@given(AMOUNTS)
def test_an_amount_survives_the_round_trip_through_its_text(amount: Amount) -> None:
    assert Amount.parse(amount.value, amount.asset) == amount
    assert re.fullmatch(rf"-?\d+(\.\d{{{amount.asset.scale}}})?", amount.value)


@given(ASSETS, UNITS, UNITS)
def test_sums_and_differences_are_those_of_the_units(asset: Asset, one: int, other: int) -> None:
    a, b = Amount(asset, one), Amount(asset, other)

    assert a + b == Amount(asset, one + other)
    assert a - b == Amount(asset, one - other)
    assert -a == Amount(asset, -one)
    assert (a < b, a <= b, a.is_positive) == (one < other, one <= other, one > 0)


@pytest.mark.parametrize("act", [operator.add, operator.sub, operator.lt, operator.le])
def test_amounts_of_different_assets_never_meet(act: Callable[[Amount, Amount], object]) -> None:
    with pytest.raises(AssertionError, match="NGN is not USD"):
        act(Amount(NGN, 1), Amount(USD, 1))


def test_an_amount_has_no_product_and_no_quotient() -> None:
    assert not {"__mul__", "__rmul__", "__truediv__", "__floordiv__"} & set(dir(Amount))


def _refusal(act: Callable[[], object]) -> tuple[str, dict[str, str]]:
    with pytest.raises(DomainError) as caught:
        act()
    return caught.value.reason, caught.value.metadata
