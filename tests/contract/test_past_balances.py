"""What had been posted by an instant of the past, by either time."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ids import AccountId
from domain.ledger.entry import Entry
from domain.ledger.errors import AccountNotFound, InsufficientFunds
from domain.ledger.transfer import Posting, TransferKind
from ports.ledger import PostingOrder
from tests.support.ledger_rig import Rig, a_rig
from tests.support.platform import Platform

A_MOMENT = timedelta(microseconds=1)


@pytest.fixture(params=["postgres"])
async def rig(platform: Platform) -> Rig:
    return await a_rig(platform)


async def posted(rig: Rig, name: str, **by: datetime | None) -> int:
    async with rig.begin() as uow:
        return (await uow.ledger.balance_at(rig.ids[name], **by)).posted.units


def as_it_was(
    lines: list[Posting], effective_at: datetime | None, recorded_by: datetime | None
) -> int:
    """Return the balance, added up from all lines there are."""
    return sum(
        line.change.units
        for line in lines
        if (effective_at is None or line.effective_at <= effective_at)
        and (recorded_by is None or line.recorded_at <= recorded_by)
    )


async def test_a_past_balance_is_the_one_after_the_last_line_by_then(rig: Rig) -> None:
    for _ in range(5):
        await rig.enter(rig.transfer("lp", "ada", 10))
        await rig.enter(rig.transfer("ada", "bob", 3))

    lines = await rig.lines("ada", order=PostingOrder.OLDEST_FIRST)

    assert await posted(rig, "ada", recorded_by=lines[0].recorded_at - A_MOMENT) == 0
    for line in lines:
        at = line.recorded_at
        assert await posted(rig, "ada", recorded_by=at) == line.balance_after.units
        assert await posted(rig, "ada", effective_at=at) == line.balance_after.units
    assert await posted(rig, "ada") == 35


async def test_an_entry_of_yesterday_changes_yesterday_but_not_what_was_known_of_it(
    rig: Rig,
) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10))
    async with rig.begin() as uow:
        now = await uow.now()
    yesterday = now - timedelta(days=1)
    await rig.commit(rig.entry(rig.transfer("lp", "ada", 5), effective_at=yesterday))
    await rig.commit(rig.entry(rig.transfer("ada", "bob", 7), effective_at=now + timedelta(days=2)))

    assert await posted(rig, "ada") == 8
    assert await posted(rig, "ada", effective_at=yesterday - A_MOMENT) == 0
    assert await posted(rig, "ada", effective_at=yesterday) == 5
    assert await posted(rig, "ada", effective_at=now) == 15
    assert await posted(rig, "ada", effective_at=yesterday, recorded_by=now) == 0
    assert await posted(rig, "ada", effective_at=now + timedelta(days=2)) == 8


async def test_the_same_question_has_the_same_answer_whatever_is_recorded_later(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10))
    async with rig.begin() as uow:
        first = await uow.ledger.balance_at(rig.ids["ada"])
    backdated = first.recorded_by - timedelta(days=3)
    await rig.commit(rig.entry(rig.transfer("lp", "ada", 5), effective_at=backdated))

    async with rig.begin() as uow:
        again = await uow.ledger.balance_at(rig.ids["ada"], recorded_by=first.recorded_by)

    assert again == first


async def test_who_asks_as_of_now_waits_for_those_who_are_writing(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10))
    async with rig.begin() as writing:
        await writing.ledger.commit(rig.entry(rig.transfer("lp", "ada", 5)))
        asked = asyncio.create_task(posted(rig, "ada"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asked), 0.2)

    assert await asked == 15


async def test_who_asks_holds_up_nobody_once_he_has_waited(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10))
    async with rig.begin() as reading:
        before = await reading.ledger.balance_at(rig.ids["ada"])
        async with asyncio.timeout(5):
            await rig.enter(rig.transfer("lp", "ada", 5))
            assert await rig.post(rig.entry(rig.transfer("lp", "ada", 1)))
        again = await reading.ledger.balance_at(rig.ids["ada"], recorded_by=before.recorded_by)

    assert again == before
    assert await posted(rig, "ada") == 16


async def test_the_latest_line_is_seen_also_after_the_clock_was_set_back(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10))
    later = timedelta(hours=1)
    async with rig.platform.owner.acquire() as owner, owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        for table in ("accounts", "transfers", "entries"):
            await owner.execute(
                f"UPDATE core.{table} SET recorded_at = recorded_at + $2 WHERE tenant_id = $1",
                rig.tenant_id.uuid,
                later,
            )

    async with rig.begin() as uow:
        first = await uow.ledger.balance_at(rig.ids["ada"])
        again = await uow.ledger.balance_at(rig.ids["ada"], recorded_by=first.recorded_by)
        by_the_clock = await uow.ledger.balance_at(rig.ids["ada"], recorded_by=await uow.now())

    assert first == again
    assert first.posted.units == 10
    assert by_the_clock.posted.units == 0


async def test_a_future_time_of_record_means_now(rig: Rig) -> None:
    async with rig.begin() as uow:
        far = await uow.now() + timedelta(days=400)
        balance = await uow.ledger.balance_at(rig.ids["ada"], recorded_by=far)
        assert balance.recorded_by < far
        assert balance.recorded_by <= await uow.now()


async def test_an_account_that_is_not_there_has_no_past(rig: Rig) -> None:
    async with rig.begin() as uow:
        with pytest.raises(AccountNotFound):
            await uow.ledger.balance_at(rig.platform.ids.new(AccountId))


async def test_a_hold_is_no_part_of_a_balance(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10))
    await rig.enter(rig.transfer("ada", "bob", 4, kind=TransferKind.PENDING))

    assert await posted(rig, "ada") == 10


async def test_lines_are_listed_from_either_end(rig: Rig) -> None:
    for units in range(1, 8):
        await rig.enter(rig.transfer("lp", "ada", units))

    newest = await rig.lines("ada", size=3)
    oldest = await rig.lines("ada", size=3, order=PostingOrder.OLDEST_FIRST)

    assert [line.version for line in oldest] == list(range(1, 8))
    assert oldest == newest[::-1]


DATED = st.lists(
    st.tuples(
        st.sampled_from([("lp", "ada"), ("ada", "bob"), ("bob", "ada")]),
        st.integers(1, 50),
        st.one_of(st.none(), st.integers(-366 * 24 + 1, 31 * 24 - 1)),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(drafts=DATED, hours=st.lists(st.integers(-400 * 24, 40 * 24), min_size=3, max_size=3))
async def test_past_balances_are_the_sums_of_their_lines(
    platform: Platform, drafts: list[Any], hours: list[int]
) -> None:
    rig = await a_rig(platform)
    async with rig.begin() as uow:
        now = await uow.now()
    batch: list[Entry] = []
    for pair, units, hour, is_last in drafts:
        at = None if hour is None else now + timedelta(hours=hour)
        batch.append(rig.entry(rig.transfer(pair[0], pair[1], units), effective_at=at))
        if is_last:
            await commit(rig, batch)
    await commit(rig, batch)

    for name in ("ada", "bob"):
        lines = await rig.lines(name)
        instants = [None, *(now + timedelta(hours=hour) for hour in hours)]
        instants += [time for line in lines for time in (line.effective_at, line.recorded_at)]
        for effective_at in instants:
            for recorded_by in (None, *{line.recorded_at for line in lines}):
                found = await posted(rig, name, effective_at=effective_at, recorded_by=recorded_by)
                assert found == as_it_was(lines, effective_at, recorded_by)


async def commit(rig: Rig, batch: list[Entry]) -> None:
    """Commit what the funds allow, and forget the rest."""
    if len(batch) == 1:
        with suppress(InsufficientFunds):
            await rig.commit(batch[0])
    elif batch:
        await rig.commit_all(batch)
    batch.clear()
