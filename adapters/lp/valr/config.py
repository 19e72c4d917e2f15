"""What the adapter knows of VALR before it asks anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction

from adapters.lp.config import LpConfig
from domain.asset import Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class ValrLpConfig(LpConfig):
    """Attributes:
    api_key, secret: of an API key with the permission to trade.
    tick_sizes: the step of prices by instrument code, as the venue lists it; what is not here is
        not traded.
    price_risk_bps: how much worse than the book's price we quote, and how far the book may
        move before an order is not filled.
    taker_fee_bps: what the venue takes of what we receive.
    quote_life: how long a price stands for which nobody but the margin above vouches.
    """

    is_firm: bool = False
    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    tick_sizes: Mapping[str, Fraction]
    price_risk_bps: int
    taker_fee_bps: int
    quote_life: timedelta = timedelta(seconds=10)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.api_key, self.secret)

    def pair_of(self, instrument: Instrument) -> str:
        return self.code_of(instrument.base) + self.code_of(instrument.quote)
