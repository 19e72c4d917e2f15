"""Pricing: what to ask an LP, and what its answer means for the customer.

Fee and markup are in the quote asset and rounding is against the customer, who chose the size:
the customer's other amount is rounded first, the fee down, and the markup is the exact remainder,
so the parts always add up.
"""

from dataclasses import dataclass
from typing import Final

from domain.amount import MAX_UNITS, Amount, AmountTooLarge
from domain.errors import DomainError
from domain.rounding import divide_down, divide_up
from domain.side import Side
from domain.waterfall import Waterfall

WHOLE: Final = 10_000
"""One, in basis points."""

MAX_MARKUP_BPS: Final = 1_000
MAX_FEE_BPS: Final = 1_000


class AmountTooSmall(DomainError):
    """After fee and markup nothing is left to trade."""

    reason = "AMOUNT_TOO_SMALL"


@dataclass(frozen=True, slots=True)
class Rates:
    """The platform's fee and the tenant's markup, both in basis points of the LP's amount."""

    fee_bps: int
    markup_bps: int

    def __post_init__(self) -> None:
        assert 0 <= self.fee_bps <= MAX_FEE_BPS
        assert 0 <= self.markup_bps <= MAX_MARKUP_BPS

    @property
    def total_bps(self) -> int:
        return self.fee_bps + self.markup_bps


@dataclass(frozen=True, slots=True)
class Terms:
    """The customer's two exact amounts and how the quote asset is shared out."""

    base: Amount
    quote: Amount
    waterfall: Waterfall


def lp_amount(side: Side, fixed: Amount, *, is_base: bool, rates: Rates) -> Amount:
    """Return the amount an LP is asked for, in the asset that the customer fixed.

    Raises `AmountTooSmall` when nothing is left.
    """
    if is_base:
        return fixed
    if side is Side.BUY:
        units = divide_down(fixed.units * WHOLE, WHOLE + rates.total_bps)
    else:
        units = divide_up(fixed.units * WHOLE, WHOLE - rates.total_bps)
    return _tradable(Amount(fixed.asset, units))


def price(
    side: Side, fixed: Amount, *, is_base: bool, rates: Rates, lp_base: Amount, lp_quote: Amount
) -> Terms:
    """Price an LP's answer for the customer.

    Raises `AmountTooSmall` or `AmountTooLarge` when an amount leaves the range of a transfer.
    """
    if not is_base:
        total = fixed
    elif side is Side.BUY:
        total = Amount(lp_quote.asset, divide_up(lp_quote.units * (WHOLE + rates.total_bps), WHOLE))
    else:
        total = Amount(
            lp_quote.asset, divide_down(lp_quote.units * (WHOLE - rates.total_bps), WHOLE)
        )
    fee = Amount(lp_quote.asset, divide_down(lp_quote.units * rates.fee_bps, WHOLE))
    parts = total - lp_quote if side is Side.BUY else lp_quote - total
    for amount in (lp_base, lp_quote, total):
        _tradable(amount)
    return Terms(
        base=lp_base,
        quote=total,
        waterfall=Waterfall(side=side, lp=lp_quote, fee=fee, markup=parts - fee, total=total),
    )


def is_better(side: Side, one: Terms, other: Terms) -> bool:
    """Say whether the customer is better off with `one`."""
    if side is Side.BUY:
        return one.quote.units * other.base.units < other.quote.units * one.base.units
    return one.quote.units * other.base.units > other.quote.units * one.base.units


def _tradable(amount: Amount) -> Amount:
    if amount.units <= 0:
        raise AmountTooSmall("after fee and markup nothing is left to trade", asset=amount.asset)
    if amount.units > MAX_UNITS:
        raise AmountTooLarge("the trade is more than 10^30 minor units", asset=amount.asset)
    return amount
