"""The statements of Binance Convert, from its trade history."""

from adapters.lp.binance.client import BinanceClient
from adapters.lp.binance.config import BinanceLpConfig
from adapters.lp.binance.parse import parse_flow
from adapters.lp.http import LpSessions
from adapters.lp.listing import MILLISECOND, Pages, VenueListing, stuck
from domain.reconciliation.period import Period
from ports.clock import Clock
from ports.market import Catalogue


class BinanceListing(VenueListing[BinanceLpConfig]):
    """The venue lists a time and says whether it has more of it, but not how to go on.

    So a time of which there is more is asked for in two halves, in whatever order the list is.
    """

    def __init__(self, config: BinanceLpConfig, sessions: LpSessions, clock: Clock) -> None:
        super().__init__(config)
        self._client = BinanceClient(config, sessions, clock)

    async def pages(self, period: Period, catalogue: Catalogue) -> Pages:
        left = [(period.starts_at, period.ends_at - MILLISECOND)]
        while left:
            first_at, last_at = left.pop()
            answer = await self._client.trade_flow(first_at, last_at)
            executions, has_more = parse_flow(answer, self._config, catalogue)
            yield executions
            if has_more:
                if first_at >= last_at:
                    raise stuck("one millisecond has more than one answer lists")
                middle = first_at + (last_at - first_at) // MILLISECOND // 2 * MILLISECOND
                left += [(middle + MILLISECOND, last_at), (first_at, middle)]
