"""The statements of VALR, from its order history."""

from adapters.lp.http import LpSessions
from adapters.lp.listing import MILLISECOND, Page, Pages, VenueListing, all_pages
from adapters.lp.valr.client import ValrClient
from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.valr.parse import parse_page
from domain.reconciliation.period import Period
from ports.clock import Clock
from ports.market import Catalogue


class ValrListing(VenueListing[ValrLpConfig]):
    """Asks for a little more than the period, as nobody says whether its ends are listed."""

    def __init__(self, config: ValrLpConfig, sessions: LpSessions, clock: Clock) -> None:
        super().__init__(config)
        self._client = ValrClient(config, sessions, clock)

    def pages(self, period: Period, catalogue: Catalogue) -> Pages:
        async def ask(skip: int) -> Page:
            answer = await self._client.order_history(
                period.starts_at - MILLISECOND, period.ends_at, skip=skip
            )
            return parse_page(answer, self._config, catalogue)

        return all_pages(ask)
