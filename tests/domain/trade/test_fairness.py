"""How one price compares with others, by the ratios themselves."""

from decimal import Decimal
from fractions import Fraction
from math import floor
from statistics import median as median_of_fractions

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.price import Price
from domain.side import Side
from domain.trade.fairness import better_bps, median
from tests.support.builders import BTC, NGN

UNITS = st.integers(1, 10**30)
PRICES = st.builds(lambda quote, base: Price(BTC, NGN, quote, base), UNITS, UNITS)


def naira(units: int) -> Price:
    """Return a price in kobo for a whole bitcoin."""
    return Price(BTC, NGN, units, 10**8)


def ratio(price: Price) -> Fraction:
    return Fraction(price.quote_units, price.base_units)


@given(st.lists(PRICES, min_size=1, max_size=9))
def test_the_median_is_exact(prices: list[Price]) -> None:
    assert ratio(median(prices)) == median_of_fractions(map(ratio, prices))


def test_of_an_even_number_it_is_the_mean_of_the_two_in_the_middle() -> None:
    prices = [naira(400), naira(100), naira(300), naira(201)]

    assert ratio(median(prices)) == Fraction(501, 2 * 10**8)
    assert median(prices).value == "2.505"


def test_of_an_odd_number_it_is_one_of_them() -> None:
    assert median([naira(3), naira(1), naira(2)]) == naira(2)


@given(PRICES, PRICES)
def test_what_is_better_for_a_buyer_costs_less_and_is_never_flattered(
    price: Price, beside: Price
) -> None:
    buyers = (ratio(beside) - ratio(price)) / ratio(beside)

    bought = Decimal(better_bps(Side.BUY, price, beside))
    sold = Decimal(better_bps(Side.SELL, price, beside))

    assert Fraction(bought) == Fraction(floor(buyers * 1_000_000), 100)
    assert Fraction(sold) == Fraction(floor(-buyers * 1_000_000), 100)


@pytest.mark.parametrize(
    ("side", "price", "told"),
    [
        (Side.BUY, 9_990, "10.00"),
        (Side.BUY, 10_010, "-10.00"),
        (Side.SELL, 10_010, "10.00"),
        (Side.SELL, 9_999, "-1.00"),
        (Side.BUY, 10_000, "0.00"),
    ],
)
def test_basis_points_are_written_with_two_digits(side: Side, price: int, told: str) -> None:
    assert better_bps(side, naira(price), naira(10_000)) == told


def test_a_fraction_of_a_hundredth_is_rounded_down_on_both_sides_of_zero() -> None:
    beside = naira(3_000_000_000)

    assert better_bps(Side.SELL, naira(3_000_000_001), beside) == "0.00"
    assert better_bps(Side.SELL, naira(2_999_999_999), beside) == "-0.01"
