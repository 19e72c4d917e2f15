"""The statements of Zero Hash, from its trades."""

from adapters.lp.http import LpSessions
from adapters.lp.listing import Pages, VenueListing
from adapters.lp.reading import BadAnswer
from adapters.lp.zero_hash.client import ZeroHashClient
from adapters.lp.zero_hash.config import ZeroHashLpConfig
from adapters.lp.zero_hash.parse import parse_page
from domain.reconciliation.period import Period
from ports.clock import Clock
from ports.market import Catalogue


class ZeroHashListing(VenueListing[ZeroHashLpConfig]):
    """Every page says how many there are; all of them have to say the same."""

    def __init__(self, config: ZeroHashLpConfig, sessions: LpSessions, clock: Clock) -> None:
        super().__init__(config)
        self._client = ZeroHashClient(config, sessions, clock)

    async def pages(self, period: Period, catalogue: Catalogue) -> Pages:
        first_total, number = 0, 1
        while True:
            answer = await self._client.list_trades(*period, page=number)
            executions, total = parse_page(answer, number, self._config, catalogue)
            first_total = first_total or total
            if total != first_total or (number > total if executions else number < total):
                raise BadAnswer("LP_LISTING_CHANGED", "the pages are not those of before")
            yield executions
            if number >= total:
                return
            number += 1
