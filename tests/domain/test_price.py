"""Prices: exact ratios inside, twelve significant digits for people."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.amount import MAX_UNITS, Amount
from domain.asset import Asset
from domain.price import Price
from domain.rounding import divide_down, divide_up
from tests.support.builders import BTC, ETH, NGN

UNITS = st.integers(1, MAX_UNITS) | st.integers(1, 10_000)
SCALES = st.integers(0, 18)


@pytest.mark.parametrize(
    ("base", "quote", "value"),
    [
        (Amount(BTC, 10**8), Amount(NGN, 15_000_000_000), "150000000"),
        (Amount(BTC, 1), Amount(NGN, 1), "1000000"),
        (Amount(BTC, 3 * 10**8), Amount(NGN, 100), "0.333333333333"),
        (Amount(BTC, 3 * 10**8), Amount(NGN, 200), "0.666666666667"),
        (Amount(ETH, 10**18), Amount(NGN, 512_345_678), "5123456.78"),
        (Amount(ETH, 10**30), Amount(NGN, 1), "0.00000000000001"),
        (Amount(BTC, 10**8), Amount(NGN, 0), "0"),
        # A thirteenth digit of exactly one half goes to the even neighbor.
        (Amount(Asset("X", 0), 2), Amount(Asset("Y", 0), 200_000_000_001), "100000000000"),
        (Amount(Asset("X", 0), 2), Amount(Asset("Y", 0), 200_000_000_003), "100000000002"),
        # Rounding that carries over makes a digit more before the point, not an odd price.
        (Amount(Asset("X", 0), 10), Amount(Asset("Y", 0), 9_999_999_999_999), "1000000000000"),
        (Amount(Asset("X", 0), 10), Amount(Asset("Y", 0), 123_456_789_012), "12345678901.2"),
        (Amount(Asset("X", 0), 1), Amount(Asset("Y", 0), 1_234_567_890_123), "1234567890120"),
    ],
)
def test_a_price_reads_as_units_of_quote_per_unit_of_base(
    base: Amount, quote: Amount, value: str
) -> None:
    assert Price.of(base, quote).value == value


@given(UNITS, UNITS, SCALES, SCALES)
def test_the_text_is_the_exact_ratio_at_twelve_digits(
    base_units: int, quote_units: int, base_scale: int, quote_scale: int
) -> None:
    base = Amount(Asset("X", base_scale), base_units)
    quote = Amount(Asset("Y", quote_scale), quote_units)
    exact = Fraction(quote_units, 10**quote_scale) / Fraction(base_units, 10**base_scale)

    text = Price.of(base, quote).value

    assert Fraction(text) == _rounded(exact, digits=12)
    assert "e" not in text
    assert "." not in text or text[-1] not in "0."


def test_a_price_needs_something_to_price() -> None:
    with pytest.raises(AssertionError):
        Price.of(Amount(BTC, 0), Amount(NGN, 1))
    with pytest.raises(AssertionError):
        Price.of(Amount(BTC, 1), Amount(NGN, -1))


@given(st.integers(-MAX_UNITS, MAX_UNITS), st.integers(1, MAX_UNITS))
def test_division_rounds_in_the_direction_that_its_name_says(a: int, b: int) -> None:
    assert 0 <= Fraction(a, b) - divide_down(a, b) < 1
    assert 0 <= divide_up(a, b) - Fraction(a, b) < 1


def _rounded(value: Fraction, *, digits: int) -> Fraction:
    """Round half to even at so many significant digits; `round` of a fraction does just that."""
    unit = Fraction(1)
    while value >= unit * 10**digits:
        unit *= 10
    while value < unit * 10 ** (digits - 1):
        unit /= 10
    return round(value / unit) * unit
