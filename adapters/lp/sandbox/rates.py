"""The venue's prices: a reference rate per instrument, and its own spread around it."""

import re
from dataclasses import dataclass
from math import gcd
from typing import Final

from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.rounding import divide_down, divide_up
from domain.side import Side

BPS: Final = 10_000
"""One, in basis points."""

ASSETS: Final = {
    asset.code: asset
    for asset in (
        Asset("NGN", 2),
        Asset("KES", 2),
        Asset("ZAR", 2),
        Asset("USD", 2),
        Asset("USDT", 6),
        Asset("BTC", 8),
        Asset("ETH", 18),
    )
}

REFERENCE_RATES: Final = {
    "BTC-NGN": "150000000.00",
    "BTC-KES": "12900000.00",
    "BTC-ZAR": "1800000.00",
    "BTC-USD": "100000.00",
    "BTC-USDT": "100000.00",
    "ETH-NGN": "5400000.00",
    "ETH-KES": "464400.00",
    "ETH-ZAR": "64800.00",
    "ETH-USD": "3600.00",
    "ETH-USDT": "3600.00",
    "USDT-NGN": "1500.00",
    "USDT-KES": "129.00",
    "USDT-ZAR": "18.00",
    "USDT-USD": "1.00",
}
"""Quote asset per one whole base, where every venue starts."""

_PRICE: Final = re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?", re.ASCII)


def half_spread_bps(position: int) -> int:
    """Return how far the venue of that position stands from the reference on either side.

    Four basis points lie between neighbors, so a backup's price for a trade that was quoted by
    the venue before it is inside an instrument's usual tolerance of ten.
    """
    return 16 + 4 * position


@dataclass(frozen=True, slots=True)
class _Ratio:
    """Quote units per base unit, exactly."""

    numerator: int
    denominator: int

    def scaled(self, numerator: int, denominator: int) -> "_Ratio":
        top, bottom = self.numerator * numerator, self.denominator * denominator
        divisor = gcd(top, bottom)
        return _Ratio(top // divisor, bottom // divisor)


@dataclass(frozen=True, slots=True)
class Rate:
    """What one instrument costs here.

    Attributes:
        price: the reference, in decimal digits of the quote asset per whole base.
        ask: what a buyer pays.
        bid: what a seller receives.
    """

    instrument: Instrument
    price: str
    ask: _Ratio
    bid: _Ratio

    def quote_for(self, base: Amount, side: Side) -> Amount:
        """Price a base amount; rounding is against the asker."""
        if side is Side.BUY:
            units = divide_up(base.units * self.ask.numerator, self.ask.denominator)
        else:
            units = divide_down(base.units * self.bid.numerator, self.bid.denominator)
        return Amount(self.instrument.quote, units)

    def base_for(self, quote: Amount, side: Side) -> Amount:
        """Return the base that a quote amount buys or takes; rounding is against the asker."""
        if side is Side.BUY:
            units = divide_down(quote.units * self.ask.denominator, self.ask.numerator)
        else:
            units = divide_up(quote.units * self.bid.denominator, self.bid.numerator)
        return Amount(self.instrument.base, units)


class Rates:
    """All instruments of the venue; a reference may be moved while it runs."""

    def __init__(self, half_spread: int) -> None:
        assert 0 <= half_spread < BPS
        self._half_spread = half_spread
        self._rates: dict[tuple[str, str], Rate] = {}
        for code, price in REFERENCE_RATES.items():
            base, _, quote = code.partition("-")
            self._put(Instrument(ASSETS[base], ASSETS[quote]), price)

    def find(self, base: str, quote: str) -> Rate | None:
        return self._rates.get((base, quote))

    def move(self, code: str, price: str) -> bool:
        """Set the reference of an instrument; say no to an unknown one or to what is no price."""
        base, _, quote = code.partition("-")
        rate = self.find(base, quote)
        if rate is None or not _PRICE.fullmatch(price) or not price.strip("0."):
            return False
        self._put(rate.instrument, price)
        return True

    def prices(self) -> dict[str, str]:
        """Return the reference price by instrument code."""
        return {rate.instrument.code: rate.price for rate in self._rates.values()}

    def _put(self, instrument: Instrument, price: str) -> None:
        whole, _, fraction = price.partition(".")
        per_whole = _Ratio(int(whole + fraction), 10 ** len(fraction))
        per_unit = per_whole.scaled(10**instrument.quote.scale, 10**instrument.base.scale)
        self._rates[instrument.base.code, instrument.quote.code] = Rate(
            instrument=instrument,
            price=price,
            ask=per_unit.scaled(BPS + self._half_spread, BPS),
            bid=per_unit.scaled(BPS - self._half_spread, BPS),
        )
