"""Statements of an account, by both times, page by page."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.usecase.ledger import read_statement
from app.usecase.ledger.read_statement import ReadStatement, StatementUnbalanced
from domain.ids import AccountId
from domain.ledger.entry import Entry
from domain.ledger.errors import AccountNotFound
from domain.ledger.statement import (
    INSTANT,
    Period,
    Statement,
    StatementLine,
    Totals,
)
from domain.ledger.transfer import Posting, TransferKind
from ports.ledger import PostingOrder
from tests.contract.test_past_balances import DATED, as_it_was, commit
from tests.support.ledger_rig import Rig, a_rig
from tests.support.platform import Platform

Told = tuple[Statement, list[StatementLine], Totals]


@pytest.fixture(params=["postgres"])
async def rig(platform: Platform) -> Rig:
    return await a_rig(platform)


async def told(
    rig: Rig, name: str, start: datetime, end: datetime, *, recorded_by: datetime | None = None
) -> Told:
    """Read a statement to its end."""
    read = ReadStatement(rig.units_of_work)
    period = Period(start, end)
    statement: Statement | None = None
    lines: list[StatementLine] = []
    totals: Totals | None = None
    async for part in read(rig.tenant_id, rig.ids[name], period, recorded_by=recorded_by):
        assert totals is None
        match part:
            case Statement():
                assert statement is None
                statement = part
            case Totals():
                totals = part
            case _:
                assert part
                lines += part
    assert statement is not None and totals is not None
    return statement, lines, totals


async def now(rig: Rig) -> datetime:
    async with rig.begin() as uow:
        return await uow.now()


async def test_a_statement_has_what_moved_the_balance_and_the_balances_around_it(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))
    start = await now(rig)
    paid = await rig.enter(rig.transfer("ada", "bob", 30, purpose="a_gift"))
    await rig.enter(rig.transfer("lp", "ada", 5))
    end = await now(rig)
    await rig.enter(rig.transfer("lp", "ada", 1_000))

    statement, lines, totals = await told(rig, "ada", start, end)

    assert (statement.opening, statement.closing) == (100, 75)
    assert [(line.change, line.version) for line in lines] == [(-30, 2), (5, 3)]
    assert lines[0].entry_id == str(paid.id)
    assert lines[0].transfer_id == str(paid.transfers[0].id)
    assert lines[0].counter_account_id == str(rig.ids["bob"])
    assert (lines[0].purpose, lines[0].description) == ("a_gift", "some words")
    assert totals == Totals(credits=5, debits=30, credit_lines=1, debit_lines=1)


async def test_a_hold_is_no_line_and_what_it_pays_in_the_end_is(rig: Rig) -> None:
    start = await now(rig)
    await rig.enter(rig.transfer("lp", "ada", 100))
    hold = rig.transfer("ada", "bob", 40, kind=TransferKind.PENDING)
    await rig.enter(hold)
    await rig.enter(rig.resolution(hold, TransferKind.POST))
    released = rig.transfer("ada", "bob", 7, kind=TransferKind.PENDING)
    await rig.enter(released)
    await rig.enter(rig.resolution(released, TransferKind.VOID))

    _, lines, _ = await told(rig, "ada", start, await now(rig))

    assert [(line.change, line.version) for line in lines] == [(100, 1), (-40, 3)]


async def test_an_entry_shows_in_the_period_in_which_it_counts(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10))
    today = await now(rig)
    yesterday, tomorrow = today - timedelta(days=1), today + timedelta(days=1)
    await rig.commit(rig.entry(rig.transfer("lp", "ada", 5), effective_at=yesterday))
    await rig.commit(rig.entry(rig.transfer("ada", "bob", 7), effective_at=tomorrow))

    _, past, _ = await told(rig, "ada", yesterday, yesterday + INSTANT)
    _, present, _ = await told(rig, "ada", yesterday + INSTANT, tomorrow)
    _, future, _ = await told(rig, "ada", tomorrow, tomorrow + INSTANT)

    assert [line.change for line in past] == [5]
    assert [line.change for line in present] == [10]
    assert [line.change for line in future] == [-7]


async def test_a_statement_asked_again_is_the_same_whatever_is_posted_meanwhile(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10))
    start = await now(rig) - timedelta(days=3)
    end = start + timedelta(days=30)
    first = await told(rig, "ada", start, end)
    backdated = start + timedelta(days=1)
    await rig.commit(rig.entry(rig.transfer("lp", "ada", 5), effective_at=backdated))
    await rig.enter(rig.transfer("ada", "bob", 3))

    again = await told(rig, "ada", start, end, recorded_by=first[0].recorded_by)
    later = await told(rig, "ada", start, end)

    assert again == first
    assert [line.change for line in later[1]] == [5, 10, -3]


async def test_what_is_posted_while_a_statement_is_read_is_not_in_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_statement, "LINES", 2)
    start = await now(rig)
    for _ in range(7):
        await rig.enter(rig.transfer("lp", "ada", 1))
    end = start + timedelta(days=1)
    read = ReadStatement(rig.units_of_work)(rig.tenant_id, rig.ids["ada"], Period(start, end))
    sizes = []
    async for part in read:
        await rig.commit(rig.entry(rig.transfer("lp", "ada", 100), effective_at=start))
        await rig.enter(rig.transfer("lp", "ada", 100))
        if isinstance(part, Sequence):
            sizes.append(len(part))
            assert {line.change for line in part} == {1}

    assert sizes == [2, 2, 2, 1]


async def test_a_future_instant_of_record_means_now(rig: Rig) -> None:
    start = await now(rig)
    far = start + timedelta(days=100)

    statement, _, _ = await told(rig, "ada", start, far, recorded_by=far)

    assert start <= statement.recorded_by <= await now(rig)


async def test_an_account_that_is_not_there_has_no_statement(rig: Rig) -> None:
    start = await now(rig)
    read = ReadStatement(rig.units_of_work)
    unknown = rig.platform.ids.new(AccountId)

    with pytest.raises(AccountNotFound):
        await anext(read(rig.tenant_id, unknown, Period(start, start + INSTANT)))


async def test_lines_that_do_not_lead_to_the_closing_are_never_closed(rig: Rig) -> None:
    """A line that was taken away is noticed."""
    start = await now(rig)
    for _ in range(3):
        await rig.enter(rig.transfer("lp", "ada", 5))
    ada = rig.ids["ada"].uuid
    _, lines, _ = await told(rig, "ada", start, await now(rig))
    assert len(lines) == 3
    async with rig.platform.owner.acquire() as owner, owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        changed = await owner.execute(
            "UPDATE core.transfers SET units = 4 WHERE tenant_id = $1 AND credit_account_id = $2"
            " AND credit_version = 2",
            rig.tenant_id.uuid,
            ada,
        )
        assert changed == "UPDATE 1"

    with pytest.raises(StatementUnbalanced):
        await told(rig, "ada", start, await now(rig))


@settings(max_examples=25, deadline=None)
@given(
    drafts=DATED,
    hours=st.lists(st.integers(-366 * 24, 31 * 24), min_size=3, max_size=3, unique=True),
    lines=st.integers(1, 4),
)
async def test_statements_are_what_a_look_at_all_lines_finds(
    platform: Platform, drafts: list[Any], hours: list[int], lines: int
) -> None:
    rig = await a_rig(platform)
    present = await now(rig)
    batch: list[Entry] = []
    for pair, units, hour, is_last in drafts:
        at = None if hour is None else present + timedelta(hours=hour)
        batch.append(rig.entry(rig.transfer(pair[0], pair[1], units), effective_at=at))
        if is_last:
            await commit(rig, batch)
    await commit(rig, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_statement, "LINES", lines)
        for name in ("ada", "bob"):
            postings = await rig.lines(name, order=PostingOrder.OLDEST_FIRST)
            ends = sorted([present + timedelta(hours=hour) for hour in hours])
            if postings:
                ends = sorted({*ends, postings[0].recorded_at, postings[-1].effective_at})
            for recorded_by in (None, *{posting.recorded_at for posting in postings}):
                closing: int | None = None
                for start, end in pairwise(ends):
                    found = await told(rig, name, start, end, recorded_by=recorded_by)
                    assert_as_all_lines_say(found, postings, closing)
                    closing = found[0].closing


def assert_as_all_lines_say(
    found: Told, postings: list[Posting], closing_before: int | None
) -> None:
    statement, lines, totals = found
    start, end = statement.period
    by = statement.recorded_by
    expected = sorted(
        (posting.effective_at, posting.version, posting.change.units)
        for posting in postings
        if start <= posting.effective_at < end and posting.recorded_at <= by
    )
    assert [(line.effective_at, line.version, line.change) for line in lines] == expected
    assert statement.opening == as_it_was(postings, start - INSTANT, by)
    assert statement.closing == as_it_was(postings, end - INSTANT, by)
    assert statement.opening + totals.credits - totals.debits == statement.closing
    assert closing_before in (None, statement.opening)
