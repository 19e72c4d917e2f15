"""Who can be asked for a price: an LP, or something that stands before it."""

from typing import Protocol

from ports.liquidity import LpQuote, LpQuoteRequest


class PriceSource(Protocol):
    """The half of an LP that has no effect there."""

    @property
    def name(self) -> str: ...

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        """Ask for a firm price, or raise `LpRefused` or `LpUnavailable`."""
        ...
