"""The parts of a price: what the LP gets, the platform's fee, the tenant's markup, the total."""

from dataclasses import dataclass

from domain.amount import Amount
from domain.side import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """Four amounts in the quote asset.

    A buyer pays the total, which is LP plus fee plus markup; a seller receives the total, which is
    LP less fee less markup.
    """

    side: Side
    lp: Amount
    fee: Amount
    markup: Amount
    total: Amount

    def __post_init__(self) -> None:
        parts = self.fee + self.markup
        assert self.fee.units >= 0
        assert self.markup.units >= 0
        assert self.total == (self.lp + parts if self.side is Side.BUY else self.lp - parts)
