"""Who can be asked for a price: an LP, or something that stands before it or beside all."""

from dataclasses import dataclass
from typing import Protocol

from domain.amount import Amount
from domain.asset import Instrument
from domain.side import Side
from ports.liquidity import LpQuote, LpQuoteRequest


class PriceSource(Protocol):
    """The half of an LP that has no effect there."""

    @property
    def name(self) -> str: ...

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        """Ask for a firm price, or raise `LpRefused` or `LpUnavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Indication:
    """What an amount costs somewhere: no reference, no expiry, so nothing that could be executed.

    Attributes:
        base, quote: all in; the amount asked for comes back unchanged.
    """

    base: Amount
    quote: Amount


class IndicativeSource(Protocol):
    """Somebody who tells what is paid elsewhere, and sells nothing.

    It has no half in common with an LP, so that a price of its can never stand where a firm one
    is meant.
    """

    @property
    def name(self) -> str: ...

    async def look(self, instrument: Instrument, side: Side, fixed: Amount) -> Indication:
        """Return what `fixed`, of the base or the quote asset, costs there now.

        Raises `LpRefused` or `LpUnavailable`.
        """
        ...
