"""An account's lines are listed after they are written, by whoever comes first."""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from adapters.postgres import ledger
from adapters.postgres.engine import make_engine
from adapters.postgres.ledger import PostgresLines
from app.usecase.ledger.read_ledger import ReadLedger
from app.worker.line_lister import LineLister
from domain.ledger.entry import EntrySource
from ports.ledger import PostingOrder
from ports.page import PageRequest
from tests.support.ledger_rig import Rig, a_rig
from tests.support.locks import until_waiting
from tests.support.platform import Platform

WAITING = "SELECT count(*) FROM core.unlisted_lines WHERE tenant_id = $1"
LINES = 8_000
EARLY = UUID(int=1 << 100)
QUEUE = """
INSERT INTO core.unlisted_lines (tenant_id, recorded_at, transfers, transfer_ids,
    debit_account_ids, debit_versions, credit_account_ids, credit_versions)
SELECT coalesce($2, uuidv7()), core.now(), 1, ARRAY[lpad(to_hex(n), 32, '0')::uuid],
    ARRAY[uuidv7()], '{1}', ARRAY[uuidv7()], '{1}'
FROM generate_series(1, $1::int) AS n
"""
QUEUE_LINE = """
INSERT INTO core.unlisted_lines (tenant_id, recorded_at, transfers, transfer_ids,
    debit_account_ids, debit_versions, credit_account_ids, credit_versions)
VALUES ($1, core.now(), 1, ARRAY[uuidv7()], ARRAY[$2::uuid], $3::bigint[], ARRAY[uuidv7()], '{1}')
"""
FORGET = "DELETE FROM core.account_lines WHERE transfer_ids[1] < $1 RETURNING tenant_id"
BLOCKS = """
SELECT last_version, cardinality(transfer_ids) AS lines FROM core.account_lines
WHERE tenant_id = $1 AND account_id = $2 ORDER BY last_version
"""


@pytest.fixture
async def rig(platform: Platform) -> Rig:
    return await a_rig(platform)


@pytest.fixture
async def worker(platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(platform.settings.work_database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def lister(platform: Platform) -> AsyncIterator[LineLister]:
    engine = make_engine(platform.settings.work_database_url, pool_size=1)
    yield LineLister(PostgresLines(engine))
    await engine.dispose()


@pytest.fixture
async def lots_of_two(worker: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two transfers are listed at a time, and nobody's wait."""
    monkeypatch.setattr(ledger, "_LISTED", 2)
    await worker.fetchval("SELECT core.list_lines($1)", LINES)


async def test_a_worker_lists_what_waits_of_all_tenants(
    platform: Platform, lister: LineLister
) -> None:
    rigs = [await a_rig(platform), await a_rig(platform)]
    for rig in rigs:
        await rig.enter(rig.transfer("lp", "ada", 5))

    has_more = await lister()

    assert not has_more
    for rig in rigs:
        assert await platform.owner.fetchval(WAITING, rig.tenant_id.uuid) == 0
        blocks = await platform.owner.fetch(BLOCKS, rig.tenant_id.uuid, rig.ids["ada"].uuid)
        assert list(map(tuple, blocks)) == [(1, 1)]


async def test_who_reads_an_account_sees_what_nobody_has_listed_yet(
    rig: Rig, platform: Platform
) -> None:
    entry = await rig.enter(rig.transfer("lp", "ada", 5))
    assert await platform.owner.fetchval(WAITING, rig.tenant_id.uuid) == 1

    (line,) = await rig.lines("ada")

    assert line.transfer == entry.transfers[0]
    assert await platform.owner.fetchval(WAITING, rig.tenant_id.uuid) == 0


@pytest.mark.usefixtures("lots_of_two")
async def test_who_reads_while_a_worker_lists_the_first_sees_the_others_too(
    rig: Rig, platform: Platform, worker: asyncpg.Connection
) -> None:
    for _ in range(6):
        await rig.enter(rig.transfer("lp", "ada"))

    async with worker.transaction():
        await worker.fetchval("SELECT core.list_lines(2)")
        reading = asyncio.create_task(rig.lines("ada"))
        await until_waiting(platform.owner, "test serve")

    assert [line.version for line in await reading] == [6, 5, 4, 3, 2, 1]


async def test_who_reads_after_more_statements_than_are_listed_at_a_time_sees_all(
    rig: Rig, platform: Platform
) -> None:
    await platform.owner.execute(QUEUE, 12_000, rig.tenant_id.uuid)
    await rig.enter(rig.transfer("lp", "ada"))

    lines = await rig.lines("ada")

    await platform.owner.execute(FORGET, EARLY)
    assert [line.version for line in lines] == [1]
    assert await platform.owner.fetchval(WAITING, rig.tenant_id.uuid) == 0


@pytest.mark.usefixtures("lots_of_two")
async def test_each_lot_that_a_reader_lists_stays_listed_whatever_becomes_of_the_reading(
    rig: Rig, platform: Platform
) -> None:
    """More may wait than can be listed in the time that one transaction has."""
    for _ in range(6):
        await rig.enter(rig.transfer("lp", "ada"))
    tenant, ada = rig.tenant_id.uuid, rig.ids["ada"]
    await platform.owner.execute(QUEUE_LINE, tenant, ada.uuid, [8])
    reading = ReadLedger(rig.units_of_work)

    with pytest.raises(asyncpg.DataCorruptedError):
        await reading.balance_at(rig.tenant_id, ada, effective_at=None, recorded_by=None)

    assert await platform.owner.fetchval(WAITING, tenant) == 1
    await platform.owner.execute("DELETE FROM core.unlisted_lines WHERE tenant_id = $1", tenant)
    page = await reading.postings(rig.tenant_id, ada, PageRequest(), PostingOrder.NEWEST_FIRST)
    assert [line.version for line in page.items] == [6, 5, 4, 3, 2, 1]


@pytest.mark.usefixtures("lots_of_two")
async def test_a_worker_goes_on_while_as_much_waits_as_it_lists_at_a_time(
    rig: Rig, platform: Platform, lister: LineLister
) -> None:
    for _ in range(5):
        await rig.enter(rig.transfer("lp", "ada"))

    assert [await lister() for _ in range(3)] == [True, False, False]
    assert await platform.owner.fetchval(WAITING, rig.tenant_id.uuid) == 0


async def test_a_row_of_the_list_holds_a_hundred_lines_at_most(
    rig: Rig, platform: Platform
) -> None:
    await rig.commit_all([rig.entry(rig.transfer("lp", "ada")) for _ in range(250)])

    lines = await rig.lines("ada", 120)

    assert [line.version for line in lines] == list(range(250, 0, -1))
    blocks = await platform.owner.fetch(BLOCKS, rig.tenant_id.uuid, rig.ids["ada"].uuid)
    assert list(map(tuple, blocks)) == [(100, 100), (200, 100), (250, 50)]


async def test_lines_join_the_accounts_last_row_until_it_is_full(
    rig: Rig, platform: Platform
) -> None:
    for count in (1, 60, 60, 60):
        await rig.commit_all([rig.entry(rig.transfer("lp", "ada")) for _ in range(count)])
        await rig.lines("ada")

    lines = await rig.lines("ada")

    blocks = await platform.owner.fetch(BLOCKS, rig.tenant_id.uuid, rig.ids["ada"].uuid)
    assert list(map(tuple, blocks)) == [(100, 100), (181, 81)]
    assert [line.version for line in lines] == list(range(181, 0, -1))


@pytest.mark.parametrize("listed", [0, 2])
async def test_lines_that_do_not_follow_those_that_are_listed_are_not_listed(
    rig: Rig, platform: Platform, listed: int
) -> None:
    for _ in range(listed):
        await rig.enter(rig.transfer("lp", "ada"))
    before = await rig.lines("ada")
    tenant, ada = rig.tenant_id.uuid, rig.ids["ada"].uuid
    await platform.owner.execute(QUEUE_LINE, tenant, ada, [listed + 2])

    with pytest.raises(asyncpg.DataCorruptedError):
        await rig.lines("ada")

    await platform.owner.execute("DELETE FROM core.unlisted_lines WHERE tenant_id = $1", tenant)
    assert await rig.lines("ada") == before


@pytest.mark.parametrize("order", PostingOrder)
@pytest.mark.parametrize("size", [1, 7, 99, 100, 101])
async def test_pages_are_whole_wherever_the_rows_of_the_list_begin(
    rig: Rig, order: PostingOrder, size: int
) -> None:
    random = Random(size)
    for _ in range(12):
        count = random.choice([1, 1, 2, 30])
        await rig.commit_all([rig.entry(rig.transfer("lp", "ada")) for _ in range(count)])
        if random.random() < 0.5:
            await rig.lines("bob")  # which lists what waits

    lines = await rig.lines("ada", size, order=order)

    ada = await rig.account("ada")
    versions = list(range(1, ada.version + 1))
    is_newest_first = order is PostingOrder.NEWEST_FIRST
    assert [line.version for line in lines] == versions[:: -1 if is_newest_first else 1]
    assert [line.balance_after.units for line in lines] == [line.version for line in lines]


async def test_a_long_queue_is_listed_as_quickly_as_a_short_one(
    platform: Platform, worker: asyncpg.Connection
) -> None:
    """Within the time that the worker's statements have, which ends one that is quadratic."""
    await worker.fetchval("SELECT core.list_lines($1)", LINES)
    await platform.owner.execute(QUEUE, LINES, None)

    listed = await worker.fetchval("SELECT core.list_lines($1)", 2 * LINES)

    tenants = await platform.owner.fetch(FORGET, EARLY)
    assert listed == LINES
    assert len(tenants) == 2 * LINES


async def test_who_reads_ends_though_others_write_whenever_he_has_listed_a_lot(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_a_lot = ledger._list_a_lot

    async def and_somebody_writes(*asked: Any) -> Any:
        listed = await list_a_lot(*asked)
        await rig.enter(rig.transfer("lp", "bob"))
        return listed

    await rig.enter(rig.transfer("lp", "ada"))
    monkeypatch.setattr(ledger, "_list_a_lot", and_somebody_writes)

    async with asyncio.timeout(5):
        (line,) = await rig.lines("ada")

    assert line.version == 1


async def test_lines_that_many_list_at_once_are_listed_once_and_without_a_gap(
    rig: Rig, platform: Platform
) -> None:
    """Writers, workers that list a few each, and readers, all on the same accounts."""
    random = Random(1)
    is_over = asyncio.Event()

    async def write() -> None:
        for _ in range(25):
            count = random.choice([1, 2, 9])
            made = [
                rig.entry(
                    rig.transfer("lp", random.choice(["ada", "bob"])),
                    source=EntrySource.OPERATOR,
                )
                for _ in range(count)
            ]
            if await rig.post(*made) is None:
                await rig.commit_all(made)

    async def work() -> None:
        connection = await asyncpg.connect(platform.settings.work_database_url)
        while not is_over.is_set():
            await connection.fetchval("SELECT core.list_lines($1)", random.randint(1, 9))
        await connection.close()

    async def read() -> None:
        while not is_over.is_set():
            lines = await rig.lines("ada", random.choice([3, 50]))
            versions = [line.version for line in lines]
            assert versions == list(range(len(lines), 0, -1))

    others = [asyncio.create_task(one()) for one in (work, work, work, read, read)]
    await asyncio.gather(write(), write(), write())
    is_over.set()
    await asyncio.gather(*others)

    for name in ("ada", "bob", "lp"):
        lines = await rig.lines(name)
        account = await rig.account(name)
        assert [line.version for line in lines] == list(range(account.version, 0, -1))
        assert len({line.transfer.id for line in lines}) == account.version
        assert lines[0].balance_after.units == account.balance
