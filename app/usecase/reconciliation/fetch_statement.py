"""Taking in what an LP lists of a day, as soon as somebody asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from app.usecase.call import Call
from app.usecase.reconciliation.import_statement import ImportStatement, StatementFile
from domain.reconciliation.period import Period, day_so_far
from domain.reconciliation.statement import Statement, StatementFormat
from domain.tenant.errors import UnknownLp
from ports.clock import Clock
from ports.market import Market
from ports.reconciliation import StatementListing
from ports.tenant import TenantDirectory


@dataclass(frozen=True, slots=True)
class FetchStatement:
    """Asks an LP for a day and compares it with the house's book, which mirrors all trades.

    The LP is asked outside of any transaction. A statement tells all of its period, so a day that
    is asked for again adds what it had not told, and takes back what it does not tell any more.

    Attributes:
        listings: of all LPs, by name.
        lag: how long what was executed may take to be listed.
    """

    clock: Clock
    market: Market
    directory: TenantDirectory
    import_statement: ImportStatement
    listings: Mapping[str, StatementListing]
    lag: timedelta

    async def __call__(
        self, lp: str, day: date, *, by: str, correlation_id: str, call: Call | None = None
    ) -> Statement:
        """Return what became of the day, as far as it can be told by now.

        Raises `UnknownLp`, what `StatementListing.fetch` and `ImportStatement` raise, and
        `StatementTimeOutOfRange` of a day that has not begun.
        """
        listing = self.listings.get(lp)
        if listing is None:
            raise UnknownLp("no such liquidity provider", lp=lp)
        period = day_so_far(day, now=self.clock.now(), lag=self.lag)
        return await self.take_in(listing, period, by=by, correlation_id=correlation_id, call=call)

    async def take_in(
        self,
        listing: StatementListing,
        period: Period,
        *,
        by: str,
        correlation_id: str,
        call: Call | None = None,
    ) -> Statement:
        """Take in what a source lists of a period; raises what both halves of that raise.

        `call` is who asked for it; a worker that fetches it itself has none.
        """
        content = await listing.fetch(period, await self.market.catalogue())
        return await self.import_statement(
            self.directory.house_id,
            StatementFile(source=listing.source, format=StatementFormat.JSON, content=content),
            by=by,
            correlation_id=correlation_id,
            call=call,
        )
