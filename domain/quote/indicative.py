"""An indicative quote says what a firm one would have cost; nobody promises it."""

from dataclasses import dataclass
from datetime import datetime

from domain.amount import Amount
from domain.asset import Instrument
from domain.price import Price
from domain.side import Side
from domain.waterfall import Waterfall


@dataclass(frozen=True, slots=True, kw_only=True)
class IndicativeQuote:
    """Attributes:
    lp: the LP whose answer was priced, or the price source where no LP gave one.
    priced_at: the database's clock when its answer was there.
    """

    side: Side
    instrument: Instrument
    base_amount: Amount
    quote_amount: Amount
    waterfall: Waterfall
    lp: str
    priced_at: datetime

    @property
    def price(self) -> Price:
        return Price.of(self.base_amount, self.quote_amount)

    def says_the_same(self, other: "IndicativeQuote") -> bool:
        """Whether only time has passed between the two."""
        return (self.waterfall, self.base_amount, self.lp) == (
            other.waterfall,
            other.base_amount,
            other.lp,
        )
