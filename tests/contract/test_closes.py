"""Each day of a book is closed once, and never changes."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from adapters.postgres import close as postgres_close
from adapters.postgres.close import PostgresBooksToClose
from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.system.signer import is_signed
from app.usecase.ledger import close_books
from app.usecase.ledger.close_books import CloseBooks
from app.worker.daily_closer import DailyCloser
from domain.ledger.close import BooksUnbalanced, ends_of
from domain.ledger.errors import DailyCloseNotFound
from domain.ledger.transfer import TransferKind
from ports.page import PageRequest
from tests.support.chain import SIGNER
from tests.support.ledger_rig import Rig, a_rig
from tests.support.platform import Platform

ONE_DAY = timedelta(days=1)
CLOCK = """
CREATE OR REPLACE FUNCTION core.now() RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN clock_timestamp() + {}
"""


@pytest.fixture
async def rig(platform: Platform) -> Rig:
    return await a_rig(platform)


async def today(rig: Rig) -> date:
    async with rig.begin() as uow:
        return (await uow.now()).date()


def closer(rig: Rig) -> CloseBooks:
    return CloseBooks(rig.platform.work_container.units_of_work(), SIGNER)


async def content(rig: Rig, day: date) -> dict[str, Any]:
    async with rig.begin() as uow:
        found = await uow.closes.get(day)
    read: dict[str, Any] = json.loads(found.content)
    return read


async def closed(rig: Rig, day: date) -> dict[str, Any]:
    await closer(rig).close(rig.tenant_id, day)
    return await content(rig, day)


def of_kind(close: dict[str, Any], kind: str) -> dict[str, Any]:
    (line,) = (
        one for one in close["trial_balance"] if (one["kind"], one["asset"]) == (kind, "NGN")
    )
    return {name: line[name] for name in ("opening", "debits", "credits", "closing")}


async def move_to_yesterday(rig: Rig, *, before: datetime) -> None:
    """Let what was recorded before an instant have been recorded a day earlier."""
    async with rig.platform.owner.acquire() as owner, owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        for table in ("transfers", "entries"):
            await owner.execute(
                f"UPDATE core.{table} SET recorded_at = recorded_at - interval '1 day'"
                " WHERE tenant_id = $1 AND recorded_at < $2",
                rig.tenant_id.uuid,
                before,
            )
        await owner.execute(
            "UPDATE core.accounts SET created_at = created_at - interval '2 days',"
            " recorded_at = CASE WHEN recorded_at < $2 THEN recorded_at - interval '1 day'"
            " ELSE recorded_at END WHERE tenant_id = $1",
            rig.tenant_id.uuid,
            before,
        )
        await owner.execute(
            "UPDATE core.tenants SET created_at = created_at - interval '2 days'"
            " WHERE tenant_id = $1",
            rig.tenant_id.uuid,
        )


async def test_a_close_is_what_was_recorded_on_the_day(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_close, "_LINES_AT_ONCE", 2)
    monkeypatch.setattr(close_books, "ACCOUNTS", 3)
    for _ in range(5):
        await rig.enter(rig.transfer("lp", "ada", 100))
    await rig.enter(rig.transfer("ada", "markup", 30))
    await rig.enter(rig.transfer("ada", "bob", 9, kind=TransferKind.PENDING))
    async with rig.begin() as uow:
        evening = await uow.now()
    await move_to_yesterday(rig, before=evening)
    backdated = evening - ONE_DAY
    await rig.commit(rig.entry(rig.transfer("lp", "ada", 1), effective_at=backdated))

    day = await today(rig)
    before = await closed(rig, day - 2 * ONE_DAY)
    yesterday = await closed(rig, day - ONE_DAY)
    now = await closed(rig, day)

    assert before["transfers"] == 0
    assert of_kind(yesterday, "customer") == {
        "opening": "0.00",
        "debits": "0.30",
        "credits": "5.00",
        "closing": "4.70",
    }
    assert yesterday["transfers"] == 6
    assert yesterday["markups"] == [{"asset": "NGN", "value": "0.30"}]
    assert of_kind(yesterday, "lp")["closing"] == "-5.00"
    assert of_kind(now, "customer") == {
        "opening": "4.70",
        "debits": "0.00",
        "credits": "0.01",
        "closing": "4.71",
    }
    positions = [(one["kind"], one["owner"], one["value"]) for one in yesterday["positions"]]
    assert ("lp", "alpha", "-5.00") in positions


async def test_a_close_is_made_once_and_then_stays(rig: Rig) -> None:
    day = await today(rig)
    await closer(rig).close(rig.tenant_id, day)
    async with rig.begin() as uow:
        first = await uow.closes.get(day)
    await rig.enter(rig.transfer("lp", "ada", 100))

    await closer(rig).close(rig.tenant_id, day)

    async with rig.begin() as uow:
        assert await uow.closes.get(day) == first


async def test_a_close_is_signed_with_the_key_that_it_names(rig: Rig) -> None:
    day = await today(rig)
    await closer(rig).close(rig.tenant_id, day)

    async with rig.begin() as uow:
        close = await uow.closes.get(day)

    assert json.loads(close.content)["key_id"] == close.key_id == SIGNER.key_id
    assert is_signed(SIGNER.public_key, close.content, close.signature)


async def test_a_close_is_made_where_nothing_is_signed(rig: Rig) -> None:
    day = await today(rig)
    await CloseBooks(rig.platform.work_container.units_of_work(), None).close(rig.tenant_id, day)

    async with rig.begin() as uow:
        close = await uow.closes.get(day)

    assert (close.key_id, close.signature) == ("", b"")
    assert json.loads(close.content)["key_id"] == ""


async def test_days_are_closed_in_order_until_yesterday(rig: Rig) -> None:
    async with rig.begin() as uow:
        await move_to_yesterday(rig, before=await uow.now())
    close = closer(rig)
    made = 0
    while await close.next_day(rig.tenant_id):
        made += 1
        assert made < 10

    async with rig.begin() as uow:
        page = await uow.closes.list(PageRequest(size=2))
        latest = [one.day for one in page.items]
        assert latest == sorted(latest, reverse=True)
        _, end = ends_of(latest[0])
        assert end <= await uow.now()
        with pytest.raises(DailyCloseNotFound):
            await uow.closes.get(latest[0] + ONE_DAY)
    assert made in (1, 2), "in the first minutes of a day the one before is not closed yet"


async def test_books_that_do_not_add_up_are_not_closed(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))
    day = await today(rig)
    async with rig.platform.owner.acquire() as owner, owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        await owner.execute(
            "UPDATE core.transfers SET units = 99 WHERE tenant_id = $1", rig.tenant_id.uuid
        )

    with pytest.raises(BooksUnbalanced):
        await closer(rig).close(rig.tenant_id, day)

    async with rig.begin() as uow:
        with pytest.raises(DailyCloseNotFound):
            await uow.closes.get(day)


async def test_a_worker_closes_every_book_that_told_of_itself(platform: Platform) -> None:
    rigs = [await a_rig(platform), await a_rig(platform)]
    for rig in rigs:
        async with rig.begin() as uow:
            await move_to_yesterday(rig, before=await uow.now())
        await platform.owner.execute(
            "INSERT INTO core.event_heads (tenant_id, last, published) VALUES ($1, 1, 1)",
            rig.tenant_id.uuid,
        )
    engine = make_engine(platform.settings.work_database_url, pool_size=2)
    try:
        lease = await PostgresLeases(engine).acquire("closer", lease_for=ONE_DAY)
        assert lease is not None
        work = DailyCloser(PostgresBooksToClose(engine), closer(rigs[0]))
        while await work(lease):
            pass
    finally:
        await engine.dispose()
        await platform.owner.execute(
            "UPDATE core.leases SET leased_until = core.now() WHERE name = 'closer'"
        )

    for rig in rigs:
        async with rig.begin() as uow:
            assert (await uow.closes.list(PageRequest(size=9))).items


@pytest.fixture
async def set_clock(
    own_platform: Platform,
) -> AsyncIterator[Callable[[timedelta], Awaitable[None]]]:
    """Have the database's clock go ahead of the true one by so much."""

    async def go_ahead(by: timedelta) -> None:
        await own_platform.owner.execute(CLOCK.format(f"interval '{by.total_seconds()} seconds'"))

    yield go_ahead
    await go_ahead(timedelta())


async def test_nothing_is_recorded_in_a_day_that_was_closed_when_the_clock_steps_back(
    own_platform: Platform, set_clock: Callable[[timedelta], Awaitable[None]]
) -> None:
    """A standby that is ten minutes behind takes over."""
    rig = await a_rig(own_platform)
    day = await today(rig)
    _, midnight = ends_of(day)
    six_past = midnight + timedelta(minutes=6) - datetime.now(UTC)
    await set_clock(six_past)
    close = await closed(rig, day)
    await set_clock(six_past - timedelta(minutes=10))

    await rig.enter(rig.transfer("lp", "ada"))
    await rig.commit_all([rig.entry(rig.transfer("lp", "ada"))])
    await rig.post(rig.entry(rig.transfer("lp", "ada")))

    assert all(line.recorded_at >= midnight for line in await rig.lines("ada"))
    await set_clock(six_past + ONE_DAY)
    next_day = await closed(rig, day + ONE_DAY)
    assert of_kind(next_day, "customer")["opening"] == of_kind(close, "customer")["closing"]


async def test_a_day_that_a_clock_far_ahead_has_closed_does_not_move_what_is_recorded(
    own_platform: Platform, set_clock: Callable[[timedelta], Awaitable[None]]
) -> None:
    rig = await a_rig(own_platform)
    day = await today(rig)
    await set_clock(timedelta(days=3))
    for _ in range(3):
        await closed(rig, day)
        day += ONE_DAY
    await set_clock(timedelta())

    await rig.enter(rig.transfer("lp", "ada"))

    (line,) = await rig.lines("ada")
    assert line.recorded_at < datetime.now(UTC) + ONE_DAY
