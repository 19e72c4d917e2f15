"""What a sandbox venue executed, by its list of orders."""

from adapters.lp.http import LpSessions
from adapters.lp.listing import Page, Pages, VenueListing, all_pages
from adapters.lp.sandbox.client import SandboxClient
from adapters.lp.sandbox.config import SandboxLpConfig
from adapters.lp.sandbox.parse import parse_page
from domain.reconciliation.period import Period
from ports.market import Catalogue


class SandboxListing(VenueListing[SandboxLpConfig]):
    """For who asks for a day; workers go on with `SandboxStatements` where it ended."""

    def __init__(self, config: SandboxLpConfig, sessions: LpSessions) -> None:
        super().__init__(config)
        self._client = SandboxClient(config, sessions)

    def pages(self, period: Period, catalogue: Catalogue) -> Pages:
        async def ask(skip: int) -> Page:
            return parse_page(await self._client.list_orders(*period, skip=skip), catalogue)

        return all_pages(ask)
