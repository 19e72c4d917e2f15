"""A price is an exact ratio of two amounts."""

from dataclasses import dataclass
from typing import Final

from domain.amount import Amount
from domain.asset import Asset

_DIGITS: Final = 12
"""Significant digits of a price shown to people; the two amounts stay exact."""


@dataclass(frozen=True, slots=True)
class Price:
    """How much of the quote asset one base unit costs, as `quote_units` per `base_units`."""

    base: Asset
    quote: Asset
    quote_units: int
    base_units: int

    @classmethod
    def of(cls, base: Amount, quote: Amount) -> "Price":
        assert base.is_positive
        assert quote.units >= 0
        return cls(base.asset, quote.asset, quote.units, base.units)

    @property
    def value(self) -> str:
        """The price in decimal digits, rounded half to even at 12 significant digits."""
        numerator = self.quote_units * 10**self.base.scale
        denominator = self.base_units * 10**self.quote.scale
        # The lengths tell the number of places but for one, which the loop settles.
        places = _DIGITS - 1 - (len(str(numerator)) - len(str(denominator))) if numerator else 0
        if places > 0:
            numerator *= 10**places
        else:
            denominator *= 10**-places
        if numerator and numerator < denominator * 10 ** (_DIGITS - 1):
            numerator *= 10
            places += 1
        scaled, rest = divmod(numerator, denominator)
        if 2 * rest > denominator or (2 * rest == denominator and scaled % 2):
            scaled += 1
        if places <= 0:
            return str(scaled * 10**-places)
        digits = str(scaled).rjust(places + 1, "0")
        whole, fraction = digits[:-places], digits[-places:].rstrip("0")
        return f"{whole}.{fraction}" if fraction else whole
