"""Workers compare the venues with the house's book, and what differs becomes a break."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from app.stack.postgres import PostgresServer
from domain.reconciliation.statement import Source
from ports.liquidity import LpUnavailable
from ports.reconciliation import FetchedStatement, StatementFeed
from tests.support.platform import SELL
from tests.support.reconciled import (
    LEASE,
    Reconciled,
    a_reconciled_platform,
    execute_unasked,
)


@pytest.fixture(scope="module")
async def house(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Reconciled]:
    home = tmp_path_factory.mktemp("reconciled")
    async with a_reconciled_platform(postgres_server.url, "reconciled", home) as made:
        yield made


async def statements(house: Reconciled) -> int:
    counted: int = await house.platform.owner.fetchval("SELECT count(*) FROM core.statements")
    return counted


async def test_what_was_traded_is_told_by_the_venues_and_matches_line_by_line(
    house: Reconciled,
) -> None:
    await house.trade()
    await house.trade("0.02", side=SELL)
    await house.trade("0.00007721")  # filled by the backup
    await house.trade("0.00007791")  # filled at a price far worse

    await house.reconcile()

    assert await house.breaks() == []
    assert await house.count("side = 'statement' AND match_rule = 'reference'") == 8
    assert await house.count("side = 'book' AND match_rule = 'reference'") == 8
    assert await house.count("match_id IS NULL") == 0


async def test_without_news_no_statement_is_kept(house: Reconciled) -> None:
    await house.trade()
    await house.reconcile()
    before = await statements(house)

    await house.reconcile()

    assert await statements(house) == before


async def test_each_statement_goes_on_where_the_one_before_ended(house: Reconciled) -> None:
    for _ in range(3):
        await house.trade()
        await house.reconcile()

    assert await house.breaks() == []
    assert await house.count("kind IN ('opening', 'correction')") == 0


async def test_what_only_the_venue_knows_is_a_break_in_each_asset(house: Reconciled) -> None:
    await execute_unasked(house.platform.alpha, "nobody-1")

    await house.reconcile()

    found = await house.breaks()
    assert sorted((one.kind, one.amount.asset) for one in found) == [
        ("MISSING_IN_BOOKS", "BTC"),
        ("MISSING_IN_BOOKS", "NGN"),
    ]
    assert {one.source.name for one in found} == {"alpha"}
    await house.reconcile()
    assert await house.breaks() == found


@dataclass(frozen=True)
class Unreachable(StatementFeed):
    """A source that cannot be asked."""

    known: Source

    @property
    def source(self) -> Source:
        return self.known

    async def fetch(self, after: str) -> FetchedStatement:
        raise LpUnavailable("no statement", lp=self.known.name)


async def test_a_venue_that_cannot_be_asked_holds_up_no_other(house: Reconciled) -> None:
    await house.reconcile()
    alpha, beta = house.feeds
    before = await statements(house)
    await house.trade("0.00007721")
    await house.reconcile()
    await execute_unasked(house.platform.beta, "nobody-2")
    reconciler = replace(house.reconciler, feeds=[Unreachable(alpha.source), beta])

    with pytest.raises(LpUnavailable):
        await reconciler(LEASE)

    assert await statements(house) > before
    assert "beta" in {one.source.name for one in await house.breaks()}


async def test_two_who_take_in_the_same_lines_count_them_once(house: Reconciled) -> None:
    await house.reconcile()
    alpha = house.feeds[0]
    await house.trade()
    before = await house.breaks()
    again = await alpha.fetch("")
    await house.reconcile()
    lines = await house.count("side = 'statement'")

    @dataclass(frozen=True)
    class Late(StatementFeed):
        """A worker that asked from the beginning, and comes last."""

        @property
        def source(self) -> Source:
            return alpha.source

        async def fetch(self, after: str) -> FetchedStatement:
            return again

    await house.reconcile_feed(Late())

    assert await house.count("side = 'statement'") == lines
    assert await house.breaks() == before
