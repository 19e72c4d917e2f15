"""What the venues list is compared with the house's book, day by day and on demand."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

import grpc
import pytest

from adapters.system.clock import SystemClock
from app.stack.postgres import PostgresServer
from app.usecase.reconciliation.fetch_statement import FetchStatement
from app.usecase.reconciliation.reconcile_listing import PATIENCE
from app.worker.reconciler import Reconciler
from domain.amount import Amount
from domain.ids import AttemptId, LpQuoteRequestId
from domain.reconciliation.matching import Rules
from domain.reconciliation.statement import SourceKind, Statement
from domain.side import Side
from domain.trade.outcome import Filled
from ports.clock import Clock
from ports.liquidity import LpQuoteRequest, LpUnavailable
from ports.reconciliation import StatementFeed
from reli.reconciliation.v1 import break_pb2
from reli.reconciliation.v1 import reconciliation_service_pb2 as pb
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.trade.v1 import trade_pb2
from tests.support.audited_books import follow_events
from tests.support.builders import BTC, BTC_NGN, an_id
from tests.support.platform import BUY, SELL, VENUES, Platform, a_platform, refusal_of
from tests.support.reconciled import LEASE
from tests.support.stack import a_database

ADAPTERS: Final = ("okx", "zero-hash", "valr", "binance", "bybit", "b2c2")
DAY: Final = timedelta(days=1)


@dataclass(eq=False)
class ShiftedClock(Clock):
    """The machine's clock, some time ahead or behind."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return SystemClock().now() + self.ahead

    def monotonic(self) -> float:
        return SystemClock().monotonic() + self.ahead.total_seconds()

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@dataclass(frozen=True)
class Desk:
    """Attributes:
    clock: by which it is decided which days are over.
    """

    platform: Platform
    clock: ShiftedClock
    fetch_statement: FetchStatement
    reconciler: Reconciler

    @property
    def today(self) -> date:
        return SystemClock().now().date()

    async def trade(self, lp: str, side: Any) -> None:
        """Have a tenant of its own trade with one LP."""
        tenant_id, client = await self.platform.a_tenant()
        await self.platform.operator.tenant_admin.UpdateTenantTerms(
            tenant_pb.UpdateTenantTermsRequest(tenant_id=tenant_id, lp_order=[lp])
        )
        customer_id = await self.platform.a_funded_customer(client)
        await client.deposit(customer_id, "5.00000000", "BTC")
        quote = await client.quote(customer_id, "0.01", side=side)
        trade = await client.accept(quote.id)
        assert trade.state == trade_pb2.TRADE_STATE_SETTLED
        assert [attempt.lp for attempt in trade.attempts] == [lp]

    async def execute_unasked(self, lp: str) -> None:
        """Have a venue execute an order of which nobody of ours knows."""
        provider = self.platform.container.lps()[lp]
        quote = await provider.request_quote(
            LpQuoteRequest(
                id=an_id(LpQuoteRequestId),
                instrument=BTC_NGN,
                side=Side.SELL,
                fixed=Amount.parse("0.03", BTC),
            )
        )
        outcome = await provider.execute(
            client_order_id=an_id(AttemptId),
            reference=quote.reference,
            instrument=BTC_NGN,
            side=Side.SELL,
            base=quote.base,
            quote=quote.quote,
        )
        assert isinstance(outcome, Filled)

    async def reconcile(self) -> None:
        """Let the house's book see all that happened, and let a worker do all that is due."""
        await follow_events(self.platform)
        while await self.reconciler(LEASE):
            pass

    async def fetch(self, lp: str, day: date) -> Statement:
        return await self.fetch_statement(lp, day, by="an operator", correlation_id="a call")

    async def open_breaks(self) -> list[tuple[str, str, str]]:
        listed = await self.platform.operator.reconciliation_admin.ListBreaks(
            pb.ListBreaksRequest(tenant_id=str(self.platform.environment.house_id), page_size=200)
        )
        return sorted(
            (one.source.name, one.kind, f"{one.amount.value} {one.amount.asset}")
            for one in listed.breaks
            if one.state == break_pb2.BREAK_STATE_OPEN
        )

    async def lines(self, condition: str) -> int:
        counted: int = await self.platform.owner.fetchval(
            "SELECT count(*) FROM core.reconciliation_lines WHERE tenant_id = $1 AND " + condition,
            self.platform.environment.house_id.uuid,
        )
        return counted


@pytest.fixture(scope="module")
async def desk(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Desk]:
    """Venues of six wire formats; a line gets no grace, and what was executed is listed at once."""
    url = await a_database(postgres_server.url, "listings")
    home = tmp_path_factory.mktemp("listings")
    async with a_platform(url, home, adapters=ADAPTERS) as platform:
        container, clock = platform.work_container, ShiftedClock()
        rules = {SourceKind.LP: Rules(window=timedelta(minutes=15), grace=timedelta())}
        fetch_statement = replace(
            container.fetch_statement(),
            clock=clock,
            lag=timedelta(),
            import_statement=replace(container.import_statement(), rules=rules),
        )
        feeds: tuple[StatementFeed, ...] = container.feeds()
        yield Desk(
            platform=platform,
            clock=clock,
            fetch_statement=fetch_statement,
            reconciler=Reconciler(
                feeds,
                container.reconcile_feed(),
                container.daily_listings(),
                replace(container.reconcile_listing(), fetch_statement=fetch_statement),
            ),
        )


async def test_a_day_at_six_venues_is_fetched_once_it_is_over_and_matches_line_by_line(
    desk: Desk,
) -> None:
    sides = {"epsilon": (SELL, SELL)}  # which prices amounts that are given
    for lp in VENUES:
        for side in sides.get(lp, (BUY, SELL)):
            await desk.trade(lp, side)
    await desk.reconcile()
    assert await desk.lines("side = 'book' AND match_id IS NOT NULL") == 0  # the day is not over

    desk.clock.ahead = DAY
    await desk.reconcile()

    assert await desk.open_breaks() == []
    assert await desk.lines("side = 'statement' AND match_rule = 'reference'") == 4 * len(VENUES)
    assert await desk.lines("side = 'book' AND match_rule = 'reference'") == 4 * len(VENUES)
    assert await desk.lines("match_id IS NULL") == 0


async def test_a_day_is_fetched_once(desk: Desk) -> None:
    before = await desk.platform.owner.fetchval("SELECT count(*) FROM core.statements")

    await desk.reconcile()

    assert await desk.platform.owner.fetchval("SELECT count(*) FROM core.statements") == before


@pytest.mark.parametrize("lp", VENUES)
async def test_a_day_that_is_fetched_again_tells_what_only_the_venue_knows(
    desk: Desk, lp: str
) -> None:
    again = await desk.fetch(lp, desk.today)
    assert again.is_repeat

    await desk.execute_unasked(lp)
    told = await desk.fetch(lp, desk.today)

    assert (told.lines, told.known, told.breaks_raised) == (2, 4, 2)
    found = [one for one in await desk.open_breaks() if one[0] == lp]
    assert [kind for _, kind, _ in found] == ["MISSING_IN_BOOKS", "MISSING_IN_BOOKS"]
    assert (lp, "MISSING_IN_BOOKS", "-0.03000000 BTC") in found
    assert await desk.lines("kind = 'correction'") == 0


async def test_a_venue_that_tells_no_whole_listing_raises_no_break_and_holds_up_no_other(
    desk: Desk,
) -> None:
    before, statements = await desk.open_breaks(), "SELECT count(*) FROM core.statements"
    counted = await desk.platform.owner.fetchval(statements)
    desk.clock.ahead = 2 * DAY
    await desk.platform.alpha.behave("short_body")

    with pytest.raises(LpUnavailable):
        await desk.reconciler(LEASE)
    assert await desk.platform.owner.fetchval(statements) == counted + len(VENUES) - 1
    assert await desk.open_breaks() == before

    await desk.platform.alpha.behave_well()
    with pytest.raises(LpUnavailable):
        await desk.reconciler(LEASE)  # which leaves it alone for a while
    assert await desk.platform.owner.fetchval(statements) == counted + len(VENUES) - 1
    desk.clock.ahead += PATIENCE
    await desk.reconcile()
    assert await desk.platform.owner.fetchval(statements) == counted + len(VENUES)
    assert await desk.open_breaks() == before


async def test_an_operator_fetches_a_day_over_the_api(desk: Desk) -> None:
    admin = desk.platform.operator.reconciliation_admin
    day = (desk.today - 2 * DAY).isoformat()

    fetched = await admin.FetchStatement(pb.FetchStatementRequest(lp="alpha", day=day))
    again = await admin.FetchStatement(pb.FetchStatementRequest(lp="alpha", day=day))

    assert (fetched.statement.source.name, fetched.statement.is_repeat) == ("alpha", False)
    assert fetched.statement.end_time.ToSeconds() % 86_400 == 0
    assert again.statement.is_repeat
    await desk.platform.alpha.behave("unavailable", 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.FetchStatement(pb.FetchStatementRequest(lp="alpha", day=day))
    assert (refusal_of(caught.value).reason, refusal_of(caught.value).retry) == (
        "LP_UNAVAILABLE",
        "same_request",
    )
