"""What is left of the past when old partitions are gone: what is exact, and nothing that is not."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

import pytest

from adapters.postgres.chain import PostgresChainer
from adapters.postgres.close import PostgresBooksToClose
from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from app.usecase.ledger.close_books import CloseBooks
from app.usecase.ledger.read_statement import ReadStatement
from app.usecase.reconciliation.book_lines import read_book
from app.worker.daily_closer import DailyCloser
from domain.errors import DomainError, Kind
from domain.ids import TransferId
from domain.ledger.errors import DailyCloseNotFound, LinesArchived
from domain.ledger.statement import INSTANT, Period, StatementLine
from domain.ledger.transfer import Posting, Transfer, TransferKind
from ports.ledger import PostingOrder
from ports.page import PageRequest
from ports.reconciliation import ReconciledAccount
from tests.contract.test_closes import content, move_to_yesterday, today
from tests.support.builders import NGN
from tests.support.chain import SIGNER
from tests.support.ledger_rig import Rig, a_rig
from tests.support.platform import Platform

PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE: Final = datetime(2090, 1, 1, tzinfo=UTC)
"""Months that are detached. A line's id says little of when it was recorded."""


@pytest.fixture
async def rig(own_platform: Platform) -> Rig:
    for month in (PAST, FUTURE):
        lowest, highest = [
            await own_platform.owner.fetchval("SELECT core.uuid_at($1)", instant)
            for instant in (month, month + timedelta(days=31))
        ]
        await own_platform.owner.execute(
            f"DROP TABLE IF EXISTS {partition(month)};"
            f" CREATE TABLE {partition(month)} PARTITION OF core.transfers"
            f" FOR VALUES FROM ('{lowest}') TO ('{highest}')"
        )
    return await a_rig(own_platform)


def partition(month: datetime) -> str:
    return f"core.transfers_{month:%Y_%m}"


async def detach(rig: Rig) -> None:
    for month in (PAST, FUTURE):
        await rig.platform.owner.execute(
            f"ALTER TABLE core.transfers DETACH PARTITION {partition(month)}"
        )


def of(month: datetime, transfer: Transfer) -> Transfer:
    """Return the transfer with an id that was made in that month."""
    made_at = int((month + timedelta(days=1)).timestamp() * 1000)
    return transfer._replace(id=TransferId(UUID(int=made_at << 80 | transfer.id.uuid.int % 2**80)))


def is_there(line: Posting) -> bool:
    made_at = datetime.fromtimestamp((line.transfer.id.uuid.int >> 80) / 1000, UTC)
    return made_at.year not in (PAST.year, FUTURE.year)


async def balance(rig: Rig, name: str, recorded_by: datetime) -> int | None:
    """Return the balance, or None if it is refused."""
    async with rig.begin() as uow:
        try:
            found = await uow.ledger.balance_at(rig.ids[name], recorded_by=recorded_by)
        except LinesArchived:
            return None
    return found.posted.units


def what_is_known(lines: Mapping[int, Posting], instant: datetime) -> int | None:
    """Return the balance at an instant if lines that are there, and the account, say it."""
    latest = max(lines)
    times = {
        version: line.recorded_at
        for version, line in lines.items()
        if is_there(line) or version == latest
    }
    by_then = max((version for version, at in times.items() if at <= instant), default=0)
    later = min((version for version, at in times.items() if at > instant), default=latest + 1)
    if by_then == 0 and later == 1:
        return 0
    if later > by_then + 1:
        return None
    says_it = by_then == latest or any(
        version in lines and is_there(lines[version]) for version in (by_then, later)
    )
    return lines[by_then].balance_after.units if says_it else None


@pytest.mark.parametrize("seed", range(12))
async def test_a_past_balance_is_exact_or_refused_whichever_lines_are_gone(
    rig: Rig, seed: int
) -> None:
    random = Random(seed)
    for _ in range(30):
        month = random.choice([None, None, PAST, FUTURE] if seed % 2 else [None, PAST])
        pair = random.choice([("lp", "ada"), ("lp", "ada"), ("lp", "bob")])
        made = rig.transfer(*pair, 9)
        if random.random() < 0.3:
            made = made._replace(kind=TransferKind.PENDING)
        made = of(month, made) if month else made
        await rig.enter(made)
    lines = {line.version: line for line in await rig.lines("ada")}

    await detach(rig)

    answers = set()
    for line in lines.values():
        for instant in (line.recorded_at - INSTANT, line.recorded_at, line.recorded_at + INSTANT):
            wanted = what_is_known(lines, instant)
            assert await balance(rig, "ada", instant) == wanted
            answers.add(wanted)
    assert None in answers
    assert len(answers) > 4


async def test_an_account_that_rests_since_its_lines_were_archived_has_its_balance(
    rig: Rig,
) -> None:
    await rig.enter(of(PAST, rig.transfer("lp", "ada", 10)))
    await rig.enter(of(PAST, rig.transfer("ada", "bob", 3)))
    first, last = reversed(await rig.lines("ada"))

    await detach(rig)

    async with rig.begin() as uow:
        assert (await uow.ledger.balance_at(rig.ids["ada"])).posted.units == 7
    assert await balance(rig, "ada", last.recorded_at) == 7
    with pytest.raises(LinesArchived) as refused:
        async with rig.begin() as uow:
            await uow.ledger.balance_at(rig.ids["ada"], recorded_by=first.recorded_at)
    error: DomainError = refused.value
    assert (error.kind, error.reason) == (Kind.REFUSED, "LINES_ARCHIVED")
    assert error.metadata["account_id"] == str(rig.ids["ada"])


async def test_many_lines_that_are_gone_hide_nothing_that_was_recorded_around_them(
    rig: Rig,
) -> None:
    """More than a row of the list has, with ids of an earlier month than they were recorded in."""
    for _ in range(3):
        await rig.enter(rig.transfer("lp", "ada", 1))
    late = [rig.entry(of(PAST, rig.transfer("lp", "ada", 1))) for _ in range(700)]
    await rig.commit_all(late)
    await rig.enter(rig.transfer("lp", "ada", 1))
    lines = (await rig.lines("ada", order=PostingOrder.OLDEST_FIRST))[:3]
    assert (await rig.account("ada")).version == 704

    await detach(rig)

    assert [await balance(rig, "ada", line.recorded_at) for line in lines] == [1, 2, None]
    assert [await balance(rig, "ada", line.recorded_at - INSTANT) for line in lines] == [0, 1, 2]


async def test_pages_go_on_past_lines_that_are_gone(rig: Rig) -> None:
    for month in (None, PAST, None, PAST, PAST, PAST, None):
        made = rig.transfer("lp", "ada")
        await rig.enter(of(month, made) if month else made)

    await detach(rig)

    newest = await rig.lines("ada", 2)
    oldest = await rig.lines("ada", 2, order=PostingOrder.OLDEST_FIRST)
    assert [line.version for line in newest] == [7, 3, 1]
    assert [line.version for line in oldest] == [1, 3, 7]


@pytest.mark.parametrize("is_dated", [False, True])
async def test_a_statement_is_refused_if_a_line_of_it_is_gone(rig: Rig, is_dated: bool) -> None:
    """What was moved there and back leaves the balances right, and the lines wrong."""
    async with rig.begin() as uow:
        start = await uow.now()
    counts_at = start if is_dated else None
    for month, pair in ((None, ("lp", "ada")), (PAST, ("ada", "bob")), (PAST, ("bob", "ada"))):
        made = rig.transfer(*pair)
        made = of(month, made) if month else made
        await rig.commit(rig.entry(made, effective_at=counts_at))
    await rig.enter(rig.transfer("lp", "ada"))
    async with rig.begin() as uow:
        middle = await uow.now()
    await rig.enter(rig.transfer("lp", "ada"))
    async with rig.begin() as uow:
        end = await uow.now()

    await detach(rig)

    with pytest.raises(LinesArchived):
        await statement_lines(rig, Period(start, end))
    assert [line.version for line in await statement_lines(rig, Period(middle, end))] == [5]


async def statement_lines(rig: Rig, period: Period) -> list[StatementLine]:
    lines: list[StatementLine] = []
    async for part in ReadStatement(rig.units_of_work)(rig.tenant_id, rig.ids["ada"], period):
        if isinstance(part, list | tuple) and part and isinstance(part[0], StatementLine):
            lines += part
    return lines


async def move_a_day(rig: Rig) -> date:
    """Move money there and back yesterday, some of it today, and archive what cancels out."""
    await rig.enter(rig.transfer("lp", "ada", 100))
    await rig.enter(of(PAST, rig.transfer("ada", "bob", 5)))
    await rig.enter(of(PAST, rig.transfer("bob", "ada", 5)))
    await rig.enter(rig.transfer("lp", "ada", 100))
    async with rig.begin() as uow:
        evening = await uow.now()
    await rig.lines("ada")
    await move_to_yesterday(rig, before=evening)
    await rig.enter(rig.transfer("lp", "ada", 1))
    await detach(rig)
    return await today(rig)


async def test_no_close_is_signed_of_a_day_of_which_lines_are_gone(rig: Rig) -> None:
    day = await move_a_day(rig)
    closer = CloseBooks(rig.platform.work_container.units_of_work(), SIGNER)

    with pytest.raises(LinesArchived):
        await closer.close(rig.tenant_id, day - timedelta(days=1))

    async with rig.begin() as uow:
        with pytest.raises(DailyCloseNotFound):
            await uow.closes.get(day - timedelta(days=1))
    await closer.close(rig.tenant_id, day)
    customers = next(
        one for one in (await content(rig, day))["trial_balance"] if one["kind"] == "customer"
    )
    assert (customers["opening"], customers["closing"]) == ("2.00", "2.01")


async def test_a_book_that_cannot_be_closed_keeps_no_other_from_it(rig: Rig) -> None:
    other = await a_rig(rig.platform)
    day = await move_a_day(rig)
    async with other.begin() as uow:
        await move_to_yesterday(other, before=await uow.now())
    for one in (rig, other):
        await rig.platform.owner.execute(
            "INSERT INTO core.event_heads (tenant_id, last, published) VALUES ($1, 1, 1)",
            one.tenant_id.uuid,
        )
    engine = make_engine(rig.platform.settings.work_database_url, pool_size=2)
    try:
        lease = await PostgresLeases(engine).acquire("closer", lease_for=timedelta(days=1))
        assert lease is not None
        units_of_work = rig.platform.work_container.units_of_work()
        work = DailyCloser(PostgresBooksToClose(engine), CloseBooks(units_of_work, SIGNER))
        while await work(lease):
            pass
    finally:
        await engine.dispose()

    async with other.begin() as uow:
        assert (await uow.closes.get(day - timedelta(days=1))).signature
    async with rig.begin() as uow:
        assert day - timedelta(days=1) not in {
            one.day for one in (await uow.closes.list(PageRequest(size=9))).items
        }


async def test_reconciliation_does_not_leave_out_lines_that_are_gone(rig: Rig) -> None:
    await rig.enter(of(PAST, rig.transfer("lp", "ada", 10)))
    await rig.enter(rig.transfer("lp", "ada", 10))
    account = ReconciledAccount(rig.ids["lp"], NGN, None, 0)

    await detach(rig)

    async with rig.begin() as uow:
        with pytest.raises(LinesArchived):
            await read_book(
                uow, rig.platform.ids, [account], since=await uow.now(), names_trades=False
            )


async def test_an_entry_whose_transfers_are_archived_is_refused_and_its_neighbor_is_not(
    rig: Rig,
) -> None:
    entry = rig.entry(of(PAST, rig.transfer("lp", "ada", 5)))
    await rig.commit(entry)
    await detach(rig)

    with pytest.raises(LinesArchived):
        async with rig.begin() as uow:
            await uow.ledger.get_entry(entry.id)
    fresh, known = await rig.commit_all([rig.entry(rig.transfer("lp", "bob", 5)), entry])

    assert not isinstance(fresh, DomainError)
    assert isinstance(known, LinesArchived)


async def test_nothing_is_proved_of_an_entry_whose_transfers_are_archived(rig: Rig) -> None:
    entry = rig.entry(of(PAST, rig.transfer("lp", "ada", 5)))
    await rig.commit(entry)
    engine = make_engine(rig.platform.settings.work_database_url, pool_size=1)
    lease = await PostgresLeases(engine).acquire("chainer", lease_for=timedelta(seconds=30))
    assert lease is not None
    chainer = PostgresChainer(engine)
    while await chainer.chain(lease, limit=10_000):
        pass
    await chainer.checkpoint(lease, SIGNER, at_least_every=timedelta(0), limit=100)
    await PostgresLeases(engine).renew(lease, lease_for=timedelta(0))
    await engine.dispose()
    read = rig.platform.container.read_chain()
    assert (await read.inclusion_proof(rig.tenant_id, entry.id)).position == 1

    await detach(rig)

    with pytest.raises(LinesArchived):
        await read.inclusion_proof(rig.tenant_id, entry.id)
