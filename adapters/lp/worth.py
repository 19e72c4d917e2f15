"""For venues that tell a price and not what it comes to."""

from fractions import Fraction

from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.rounding import divide_down, divide_up
from domain.side import Side


def worth(base: Amount, price: Fraction, instrument: Instrument) -> Fraction:
    """Return the base's worth in minor units of the quote asset."""
    units_per_unit = Fraction(10**instrument.quote.scale, 10**instrument.base.scale)
    return price * base.units * units_per_unit


def against_us(exact: Fraction, quote: Asset, side: Side) -> Amount:
    """Return what is paid at most or received at least, in whole minor units."""
    divide = divide_up if side is Side.BUY else divide_down
    return Amount(quote, divide(exact.numerator, exact.denominator))
