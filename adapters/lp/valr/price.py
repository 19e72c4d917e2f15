"""From an order book to a price that an order with a limit can keep.

The taker's fee is taken of what is received: of the base when buying, of the quote asset when
selling. An amount to be received is therefore ordered with the fee on top, so that exactly it is
left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.worth import worth
from domain.amount import Amount
from domain.asset import Instrument
from domain.rounding import divide_down, divide_up
from domain.side import Side

_BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Level:
    """One price of the book, and how much of the base is there for it."""

    price: Fraction
    quantity: Amount


@dataclass(frozen=True, slots=True)
class LimitOrder:
    """Attributes:
    quantity: of the base to be ordered, the fee included where it is taken of the base.
    limit: the worst price, in the quote asset per whole base.
    cost: what it comes to at the limit at worst, all in, in the quote asset.
    """

    quantity: Amount
    limit: Fraction
    cost: Amount


def order_for(
    base: Amount, instrument: Instrument, side: Side, levels: Sequence[Level], config: ValrLpConfig
) -> LimitOrder | None:
    """Return the order by which `base` is received or given, None where the book has too little.

    `levels` are those of the other side, the best first.
    """
    quantity = _with_fee(base, config) if side is Side.BUY else base
    worst = _worst_price(quantity, levels)
    if worst is None:
        return None
    tick = config.tick_sizes[instrument.code]
    if side is Side.BUY:
        steps = worst * (_BPS + config.price_risk_bps) / _BPS / tick
        limit = tick * divide_up(steps.numerator, steps.denominator)
        total = worth(quantity, limit, instrument)
        cost = divide_up(total.numerator, total.denominator)
    else:
        steps = worst * (_BPS - config.price_risk_bps) / _BPS / tick
        limit = tick * divide_down(steps.numerator, steps.denominator)
        total = worth(quantity, limit, instrument) * (_BPS - config.taker_fee_bps) / _BPS
        cost = divide_down(total.numerator, total.denominator)
    return LimitOrder(quantity, limit, Amount(instrument.quote, cost))


def _with_fee(received: Amount, config: ValrLpConfig) -> Amount:
    """Return the least amount of which the fee, rounded up, leaves what is to be received."""
    units = divide_down(received.units * _BPS, _BPS - config.taker_fee_bps)
    while units - divide_up(units * config.taker_fee_bps, _BPS) < received.units:
        units += 1
    return Amount(received.asset, units)


def _worst_price(quantity: Amount, levels: Sequence[Level]) -> Fraction | None:
    """Return the price of the last level that is needed."""
    missing = quantity.units
    for level in levels:
        missing -= level.quantity.units
        if missing <= 0:
            return level.price
    return None
