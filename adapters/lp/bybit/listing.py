"""The statements of Bybit Convert, from its history."""

from datetime import datetime
from itertools import count

from adapters.lp.bybit.client import BybitClient
from adapters.lp.bybit.config import BybitLpConfig
from adapters.lp.bybit.parse import parse_page
from adapters.lp.http import LpSessions
from adapters.lp.listing import Page, Pages, VenueListing, newest_first
from domain.reconciliation.period import Period
from ports.clock import Clock
from ports.market import Catalogue


class BybitListing(VenueListing[BybitLpConfig]):
    """The history knows no times: it is read from its newest page back to the period's start.

    What is executed meanwhile moves everything towards later pages, so it can be told twice but
    not be missed.
    """

    def __init__(self, config: BybitLpConfig, sessions: LpSessions, clock: Clock) -> None:
        super().__init__(config)
        self._client = BybitClient(config, sessions, clock)

    async def pages(self, period: Period, catalogue: Catalogue) -> Pages:
        seen: list[datetime] = []
        for index in count(1):
            answer = await self._client.convert_history(index)
            page = parse_page(answer, period, self._config, catalogue)
            newest_first(Page((), [*seen[-1:], *page.times]))
            yield page.executions
            if not page.times or page.times[-1] < period.starts_at:
                return
            seen = [page.times[-1]]
