"""How one price compares with others: the median of several, and by how many basis points.

Prices are ratios of whole numbers and stay exact; only what is shown to people is rounded.
"""

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Final

from domain.price import Price
from domain.rounding import divide_down
from domain.side import Side

_HUNDREDTHS_OF_A_BP: Final = 10_000 * 100


def median(prices: Sequence[Price]) -> Price:
    """Return the price in the middle of at least one; of an even number the mean of the two."""
    ordered = sorted(prices, key=cmp_to_key(_compare))
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    if low is high:
        return low
    return Price(
        low.base,
        low.quote,
        quote_units=low.quote_units * high.base_units + high.quote_units * low.base_units,
        base_units=2 * low.base_units * high.base_units,
    )


def better_bps(side: Side, price: Price, beside: Price) -> str:
    """Return how much better for the customer a price is than another, such as `-1.25`.

    In basis points of the other one, rounded down to a hundredth, so that it never flatters.
    """
    ours = price.quote_units * beside.base_units
    theirs = beside.quote_units * price.base_units
    better_by = theirs - ours if side is Side.BUY else ours - theirs
    hundredths = divide_down(better_by * _HUNDREDTHS_OF_A_BP, theirs)
    whole, rest = divmod(abs(hundredths), 100)
    return f"{'-' if hundredths < 0 else ''}{whole}.{rest:02d}"


def _compare(one: Price, other: Price) -> int:
    return one.quote_units * other.base_units - other.quote_units * one.base_units
