"""The statements of B2C2, from its orders."""

from adapters.lp.b2c2.client import B2c2Client
from adapters.lp.b2c2.config import B2c2LpConfig
from adapters.lp.b2c2.parse import parse_page
from adapters.lp.http import LpSessions
from adapters.lp.listing import Page, Pages, VenueListing, all_pages
from domain.reconciliation.period import Period
from ports.market import Catalogue


class B2c2Listing(VenueListing[B2c2LpConfig]):
    """Lists orders, which know our id as their trades do not."""

    def __init__(self, config: B2c2LpConfig, sessions: LpSessions) -> None:
        super().__init__(config)
        self._client = B2c2Client(config, sessions)

    def pages(self, period: Period, catalogue: Catalogue) -> Pages:
        async def ask(offset: int) -> Page:
            answer = await self._client.list_orders(*period, offset=offset)
            return parse_page(answer, self._config, catalogue)

        return all_pages(ask)
