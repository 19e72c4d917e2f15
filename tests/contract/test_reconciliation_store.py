"""What every store of statements and lines does, whatever database is behind it.

A database joins by one more parameter of the fixture `rig`.
"""

import hashlib
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import pytest

from domain.amount import Amount
from domain.ids import (
    BreakId,
    BreakResolutionId,
    EntryId,
    LineId,
    MatchId,
    StatementId,
    TenantId,
)
from domain.ledger.account import AccountKey, AccountKind
from domain.reconciliation.break_ import Break, BreakKind
from domain.reconciliation.errors import BreakResolved
from domain.reconciliation.matching import Line, LineSide, MatchRule
from domain.reconciliation.resolution import BreakResolution, ResolutionKind
from domain.reconciliation.statement import (
    LineKind,
    Source,
    SourceKind,
    Statement,
    StatementFormat,
)
from ports.ids import IdSource
from ports.reconciliation import (
    BookOrigin,
    NotedLine,
    SourceState,
    StatementOrigin,
    Tie,
    Told,
)
from ports.unit_of_work import UnitOfWork
from tests.support.builders import NGN
from tests.support.platform import Platform

BANK: Final = Source(SourceKind.RAIL, "first-bank")
NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
HASH: Final = hashlib.sha256(b"a file").digest()


@dataclass(frozen=True)
class Rig:
    """A tenant of its own."""

    platform: Platform
    tenant_id: TenantId

    @property
    def ids(self) -> IdSource:
        return self.platform.ids

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self.platform.container.units_of_work().begin(self.tenant_id)

    def statement(self, *, position: str = "", days: int = 0) -> Statement:
        starts_at = NOON + timedelta(days=days)
        return Statement(
            id=self.ids.new(StatementId),
            tenant_id=self.tenant_id,
            source=BANK,
            format=StatementFormat.CSV,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(days=1),
            imported_by="somebody",
            imported_at=NOON,
            lines=2,
            known=3,
            matched=4,
            waiting=5,
            breaks_raised=6,
            breaks_resolved=7,
            position=position,
        )

    def line(self, units: int, reference: str, *others: str, minutes: int = 0) -> Line:
        return Line(
            self.ids.new(LineId),
            LineSide.STATEMENT,
            "NGN",
            units,
            NOON + timedelta(minutes=minutes),
            (reference, *others),
            LineKind.PAYMENT,
        )

    async def note(self, *lines: Line) -> None:
        statement = self.statement()
        noted = [
            NotedLine(line, StatementOrigin(statement.id, number))
            for number, line in enumerate(lines, start=1)
        ]
        content_hash = hashlib.sha256(statement.id.bytes).digest()
        async with self.begin() as uow:
            await uow.reconciliation.add_statement(statement, content_hash, {}, noted)
            await uow.reconciliation.note(BANK, noted, now=NOON)

    async def a_break(self, units: int = 5) -> Break:
        found = Break(
            id=self.ids.new(BreakId),
            tenant_id=self.tenant_id,
            kind=BreakKind.MISSING_IN_BOOKS,
            trade_id=None,
            amount=Amount(NGN, units),
            detail="it is not there",
            raised_at=NOON,
            source=BANK,
        )
        async with self.begin() as uow:
            await uow.breaks.add(found)
        return found


@pytest.fixture(params=["postgres"])
async def rig(platform: Platform) -> Rig:
    tenant_id, _ = await platform.a_tenant()
    return Rig(platform, TenantId.parse(tenant_id))


async def test_a_statement_is_found_by_the_file_it_came_as(rig: Rig) -> None:
    statement = rig.statement(position="alpha-7")
    async with rig.begin() as uow:
        await uow.reconciliation.add_statement(statement, HASH, {"NGN": 5}, [])

    async with rig.begin() as uow:
        store = uow.reconciliation
        assert await store.find_statement(BANK, HASH) == statement
        assert await store.find_statement(BANK, bytes(32)) is None
        assert await store.find_statement(Source(SourceKind.LP, BANK.name), HASH) is None


async def test_the_same_file_is_kept_once(rig: Rig) -> None:
    async with rig.begin() as uow:
        await uow.reconciliation.add_statement(rig.statement(), HASH, {}, [])

    with pytest.raises(asyncpg.UniqueViolationError):
        async with rig.begin() as uow:
            await uow.reconciliation.add_statement(rig.statement(), HASH, {}, [])


async def test_a_source_has_told_from_its_first_to_its_latest_statement(rig: Rig) -> None:
    async with rig.begin() as uow:
        assert await uow.reconciliation.state(BANK) == SourceState()
        for days, position in ((1, "b-2"), (0, "b-1"), (2, "")):
            one = rig.statement(position=position, days=days)
            await uow.reconciliation.add_statement(one, one.id.bytes * 2, {}, [])

        state = await uow.reconciliation.state(BANK)

    assert state == SourceState(NOON, NOON + timedelta(days=3), "b-2")


async def test_what_was_told_is_summed_by_reference_by_time_and_in_all(rig: Rig) -> None:
    await rig.note(rig.line(5, "a", "order"), rig.line(7, "b", minutes=10))
    await rig.note(rig.line(-5, "a"))

    async with rig.begin() as uow:
        store = uow.reconciliation
        assert await store.told(BANK, ["a", "b", "c"]) == {
            ("NGN", "a"): Told(0, NOON),
            ("NGN", "b"): Told(7, NOON + timedelta(minutes=10)),
        }
        until = NOON + timedelta(minutes=10)
        assert await store.told_between(BANK, NOON, until) == {}
        assert await store.told_sums(BANK) == {"NGN": 7}
        assert await store.told_sums(BANK, before=until) == {"NGN": 0}


async def test_a_line_is_open_until_it_has_a_match_and_keeps_its_break(rig: Rig) -> None:
    one, other = rig.line(5, "a", "order-1", "x,y"), rig.line(-5, "b")
    await rig.note(one, other)
    found = await rig.a_break()
    async with rig.begin() as uow:
        store = uow.reconciliation
        assert dict(await store.open_lines(BANK)) == {
            one: None,
            other: None,
        }
        await store.tie([Tie([one], break_id=found.id)])
        assert await store.lines_of_break(found.id) == [one]
        match_id = rig.ids.new(MatchId)
        await store.tie([Tie([one, other], match_id=match_id, rule=MatchRule.LINK)])
        assert await store.open_lines(BANK) == []
        assert await store.lines_of_break(found.id) == []
    kept = await rig.platform.owner.fetchval(
        "SELECT break_id FROM core.reconciliation_lines WHERE id = $1", one.id.uuid
    )
    assert kept == found.id.uuid


async def test_an_entry_is_noted_once_for_each_account(rig: Rig) -> None:
    key = AccountKey(AccountKind.EXTERNAL, NGN, BANK.name)
    entry_id = rig.ids.new(EntryId)
    async with rig.begin() as uow:
        account_id = (await uow.ledger.open_accounts([key]))[key]
        line = rig.line(5, str(entry_id))._replace(side=LineSide.BOOK)
        noted = NotedLine(line, BookOrigin(account_id, entry_id))
        await uow.reconciliation.note(BANK, [noted], now=NOON)
        store = uow.reconciliation
        assert await store.noted_entries(account_id, [entry_id, rig.ids.new(EntryId)]) == {entry_id}
        found = await store.line_of_entry(account_id, entry_id)
        assert found is not None
        assert found.line == line

    again = noted._replace(line=line._replace(id=rig.ids.new(LineId)))
    with pytest.raises(asyncpg.UniqueViolationError):
        async with rig.begin() as uow:
            await uow.reconciliation.note(BANK, [again], now=NOON)


async def test_an_account_is_known_by_how_far_it_was_looked_at(rig: Rig) -> None:
    key = AccountKey(AccountKind.EXTERNAL, NGN, BANK.name)
    async with rig.begin() as uow:
        await uow.ledger.open_accounts([key])
        (fresh,) = await uow.reconciliation.accounts(BANK)
        assert (fresh.units_before, fresh.version) == (None, 0)
        await uow.reconciliation.save_account(BANK, replace(fresh, units_before=-7, version=1))
        await uow.reconciliation.save_account(BANK, replace(fresh, units_before=9, version=3))

        (known,) = await uow.reconciliation.accounts(BANK)
        assert not await uow.reconciliation.has_news(BANK, grace=timedelta())

    assert (known.units_before, known.version) == (-7, 3)


async def test_a_line_is_news_once_it_has_waited_for_its_grace(rig: Rig) -> None:
    await rig.note(rig.line(5, "a"))

    async with rig.begin() as uow:
        assert await uow.reconciliation.has_news(BANK, grace=timedelta())
        assert not await uow.reconciliation.has_news(BANK, grace=timedelta(days=36_500))


async def test_a_break_is_resolved_once_and_says_by_what(rig: Rig) -> None:
    found = await rig.a_break()
    resolution = BreakResolution(
        id=rig.ids.new(BreakResolutionId),
        break_id=found.id,
        kind=ResolutionKind.MATCH,
        proposed_by=None,
        proposed_at=NOON,
    )
    async with rig.begin() as uow:
        await uow.breaks.add_resolution(resolution)
        assert await uow.breaks.get(found.id) == replace(found, resolution=resolution)

    with pytest.raises(BreakResolved):
        async with rig.begin() as uow:
            await uow.breaks.add_resolution(replace(resolution, id=rig.ids.new(BreakResolutionId)))
