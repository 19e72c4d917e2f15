"""Where quotes and the answers behind them are kept."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.ids import CustomerId, QuoteId, TradeId
from domain.quote.quote import LpAnswer, Quote
from ports.page import Page, PageRequest


class QuoteRepository(Protocol):
    """Quotes of one tenant; the scope was fixed when the unit of work began."""

    async def get(self, quote_id: QuoteId, *, lock: bool = False) -> Quote:
        """Return the quote, locked until commit if asked, or raise `QuoteNotFound`.

        Another tenant's quote is not found either: that it exists is a secret.
        """
        ...

    async def get_with_answers(
        self, quote_ids: Sequence[QuoteId]
    ) -> Mapping[QuoteId, tuple[Quote, Sequence[LpAnswer]]]:
        """Return those quotes, each with what every LP answered, the used one first.

        Raises `QuoteNotFound` for the first that does not exist.
        """
        ...

    async def add(self, quote: Quote, answers: Sequence[LpAnswer]) -> None:
        """Store a new quote with every LP's answer."""
        ...

    async def save(self, quote: Quote, *, trade_id: TradeId | None = None) -> None:
        """Replace version `quote.version - 1`, or raise `VersionConflict`."""
        ...

    async def trade_of(self, quote_id: QuoteId) -> TradeId | None:
        """Return the trade that an accepted quote became."""
        ...

    async def answers(self, quote_id: QuoteId) -> Sequence[LpAnswer]:
        """Return what every LP answered, the used one first."""
        ...

    async def list(self, page: PageRequest, *, customer_id: CustomerId | None) -> Page[Quote]:
        """Return a page of quotes, the newest first."""
        ...
