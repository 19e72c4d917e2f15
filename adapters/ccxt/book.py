"""Reading an order book as ccxt tells it, and what an amount costs in it.

Source: ccxt manual, "Order Book Structure": `bids` and `asks` are lists of `[price, amount]`, and
`timestamp` is milliseconds since 1970 or None. Opened as in `prices.py`, both are decimal texts.
Their order is not relied on: ccxt sorts texts as texts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from domain.amount import MAX_UNITS, Amount
from domain.asset import Instrument
from domain.rounding import divide_down, divide_up
from domain.side import Side

WHOLE: Final = 10_000
"""One, in basis points."""
MAX_LEVELS: Final = 5_000
_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]{0,29})(\.[0-9]{1,30})?", re.ASCII)
_WIDEST: Final = Fraction(11, 10)
"""How far an ask may be above the best bid before the book is taken for a mistake."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BookUnreadable(Exception):
    """What was told is no order book."""


@dataclass(frozen=True, slots=True)
class Level:
    """One price, in the quote asset per whole base, and how many whole bases are there for it."""

    price: Fraction
    quantity: Fraction


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Attributes:
    asks, bids: the best price first.
    at: of when it is, where that is told.
    """

    asks: Sequence[Level]
    bids: Sequence[Level]
    at: datetime | None

    def cost(
        self, instrument: Instrument, side: Side, fixed: Amount, *, margin_bps: int
    ) -> tuple[Amount, Amount] | None:
        """Return what would be traded of the base and the quote asset, None if too little is there.

        Prices are worse by the margin, and what is not fixed is rounded against who asks.
        """
        is_base = fixed.asset == instrument.base
        levels, margin = (self.asks, margin_bps) if side is Side.BUY else (self.bids, -margin_bps)
        missing = Fraction(fixed.units, 10**fixed.asset.scale)
        other = Fraction()
        for level in levels:
            price = level.price * (WHOLE + margin) / WHOLE
            there = level.quantity if is_base else level.quantity * price
            taken = min(missing, there)
            other += taken * price if is_base else taken / price
            missing -= taken
            if not missing:
                return _amounts(instrument, side, fixed, other)
        return None


def read_book(told: object) -> OrderBook:
    """Read a book, or raise `BookUnreadable`."""
    if not isinstance(told, dict):
        raise BookUnreadable("no object")
    asks, bids = _levels(told.get("asks")), _levels(told.get("bids"))
    asks.sort(key=lambda level: level.price)
    bids.sort(key=lambda level: level.price, reverse=True)
    if not asks and not bids:
        # So ccxt tells a web page, too.
        raise BookUnreadable("nothing in it")
    if asks and bids and not bids[0].price < asks[0].price <= bids[0].price * _WIDEST:
        raise BookUnreadable("the best prices make no sense beside each other")
    return OrderBook(asks, bids, _time(told.get("timestamp")))


def _levels(told: object) -> list[Level]:
    if not isinstance(told, list) or len(told) > MAX_LEVELS:
        raise BookUnreadable("no list of levels, or more than anybody needs")
    return [_level(one) for one in told]


def _level(told: object) -> Level:
    if not isinstance(told, list | tuple) or len(told) < 2:
        raise BookUnreadable("a level is no pair")
    price, quantity = told[0], told[1]
    for text in (price, quantity):
        if not isinstance(text, str) or not _DECIMAL.fullmatch(text) or not text.strip("0."):
            raise BookUnreadable("a number of a level is no positive decimal text")
    return Level(Fraction(price), Fraction(quantity))


def _time(told: object) -> datetime | None:
    if told is None:
        return None
    if type(told) is not int or not 0 < told < 10**14:
        raise BookUnreadable("the timestamp is no time")
    return _EPOCH + timedelta(milliseconds=told)


def _amounts(
    instrument: Instrument, side: Side, fixed: Amount, other: Fraction
) -> tuple[Amount, Amount] | None:
    is_base = fixed.asset == instrument.base
    asset = instrument.quote if is_base else instrument.base
    units = other * 10**asset.scale
    # A buyer pays more or gets less, a seller gets less or gives more.
    divide = divide_up if is_base is (side is Side.BUY) else divide_down
    amount = Amount(asset, divide(units.numerator, units.denominator))
    if not 0 < amount.units <= MAX_UNITS:
        return None
    return (fixed, amount) if is_base else (amount, fixed)
