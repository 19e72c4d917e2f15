"""The statements of OKX Convert, from its history."""

from adapters.lp.http import LpSessions
from adapters.lp.listing import MILLISECOND, Pages, VenueListing, stuck
from adapters.lp.okx.client import PAGE, OkxClient
from adapters.lp.okx.config import OkxLpConfig
from adapters.lp.okx.parse import parse_page
from adapters.lp.reading import WRONG_ECHO, BadAnswer
from domain.reconciliation.period import Period
from ports.clock import Clock
from ports.market import Catalogue


class OkxListing(VenueListing[OkxLpConfig]):
    """Reads back from the period's end until a page is older than its start, or empty.

    A page ends between two trades and not between two instants: what else was of its oldest
    millisecond is asked for again.
    """

    def __init__(self, config: OkxLpConfig, sessions: LpSessions, clock: Clock) -> None:
        super().__init__(config)
        self._client = OkxClient(config, sessions, clock)

    async def pages(self, period: Period, catalogue: Catalogue) -> Pages:
        before = period.ends_at
        while True:
            answer = await self._client.list_history(before)
            page = parse_page(answer, period, self._config, catalogue)
            if page.times and page.times[0] > before:
                raise BadAnswer(WRONG_ECHO, "the history is not of before what was asked")
            yield page.executions
            if not page.times or page.times[-1] < period.starts_at:
                return
            again = page.times[-1] + MILLISECOND
            if again < before:
                before = again
            elif len(page.times) < PAGE:
                before -= MILLISECOND
            else:
                raise stuck("a page is full of what one millisecond has")
