"""Months come and leave without anybody noticing."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, Final

import asyncpg
import pytest

from adapters.postgres.engine import make_engine
from adapters.postgres.partition import PostgresPartitions
from app.database_url import WORK_ROLE, role_url
from app.stack.postgres import PostgresServer
from app.worker.partition_maker import MONTHS_AHEAD
from domain.ids import EntryId, TransferId
from ports.errors import DatabaseBusy
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.trade.v1 import trade_pb2
from tests.support.audit import assert_books_balance, partitions
from tests.support.platform import Client, Platform, amount, new_request_id
from tests.support.stack import a_database

Connection = Any

PARENTS: Final = {
    f"core.{name}"
    for name in ("entries", "transfers", "resolutions", "quotes", "lp_answers", "outbox")
}

PATIENCE_S: Final = 5.0
"""What a call may take at most on a machine that does much else."""

_PARTITIONS: Final = """
SELECT count(*) FROM pg_inherits JOIN pg_partitioned_table ON partrelid = inhparent
"""

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
AND_A_MONTH = datetime(2020, 2, 1, tzinfo=UTC)


@pytest.fixture
async def old_partitions(platform: Platform) -> list[tuple[str, str]]:
    """Every partitioned table with a month that is long over."""
    made = [(parent, f"{parent}_2020_01") for parent in await partitioned(platform.owner)]
    for parent, _ in made:
        await platform.owner.execute(await a_month_of(platform.owner, parent))
    return made


async def partitioned(db: Connection) -> list[str]:
    rows = await db.fetch("SELECT partrelid::regclass::text FROM pg_partitioned_table ORDER BY 1")
    return [row[0] for row in rows]


async def a_month_of(db: Connection, parent: str) -> str:
    """Return the statement that makes a partition of a month that is long over in its table."""
    lowest, highest = [
        await db.fetchval("SELECT core.uuid_at($1)", instant) for instant in (LONG_AGO, AND_A_MONTH)
    ]
    return (
        f"CREATE TABLE {parent}_2020_01 PARTITION OF {parent} "
        f"FOR VALUES FROM ('{lowest}') TO ('{highest}')"
    )


async def test_old_months_are_detached_while_trades_settle(
    platform: Platform, old_partitions: list[tuple[str, str]]
) -> None:
    tenant_id, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)

    async def trade() -> None:
        for _ in range(6):
            made = await client.accept((await client.quote(customer_id)).id)
            assert made.state == trade_pb2.TRADE_STATE_SETTLED

    async def detach() -> None:
        for parent, name in old_partitions:
            detached = f"ALTER TABLE {parent} DETACH PARTITION {name} CONCURRENTLY"
            await platform.owner.execute(detached)
            await platform.owner.execute(f"DROP TABLE {name}")

    assert old_partitions
    await asyncio.gather(trade(), trade(), detach())

    await assert_books_balance(platform.owner, tenant_id)
    assert not await platform.owner.fetch("SELECT FROM pg_class WHERE relname LIKE '%\\_2020\\_01'")


# Left out are the catalogue's own numbers, and the names that are made of them: those of triggers
# and of keys to the partition.
_LOOKS: Final = {
    "the table": """
        SELECT relkind, relpersistence, am.amname, reltablespace, relowner::regrole::text,
            relrowsecurity, relforcerowsecurity, relreplident, relispartition, relhasindex,
            relhastriggers, relhasrules, relhassubclass, reltoastrelid <> 0, relchecks, relnatts,
            reloptions, relacl::text, obj_description(c.oid, 'pg_class'),
            inhparent::regclass::text, inhseqno, inhdetachpending
        FROM pg_class AS c JOIN pg_am AS am ON am.oid = relam JOIN pg_inherits ON inhrelid = c.oid
        WHERE c.oid = $1::regclass""",
    "its columns": """
        SELECT attnum, attname, atttypid::regtype::text, atttypmod,
            attcollation::regcollation::text, attnotnull, attstorage, attcompression, attidentity,
            attgenerated, attisdropped, attislocal, attinhcount, attstattarget, attoptions,
            attfdwoptions, attacl::text, atthasmissing, pg_get_expr(adbin, adrelid),
            col_description(attrelid, attnum)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = $1::regclass AND attnum > 0""",
    "its constraints": """
        SELECT k.conname, k.contype, pg_get_constraintdef(k.oid), k.conislocal, k.coninhcount,
            k.connoinherit, k.convalidated, k.conenforced, k.condeferrable, k.condeferred,
            k.conkey, k.confkey, k.confrelid::regclass::text, k.conindid::regclass::text,
            p.conname, p.conrelid::regclass::text, obj_description(k.oid, 'pg_constraint')
        FROM pg_constraint AS k LEFT JOIN pg_constraint AS p ON p.oid = k.conparentid
        WHERE k.conrelid = $1::regclass""",
    "keys to it": """
        SELECT k.conrelid::regclass::text, pg_get_constraintdef(k.oid), k.conislocal,
            k.coninhcount, k.convalidated, k.conindid::regclass::text, p.conname
        FROM pg_constraint AS k LEFT JOIN pg_constraint AS p ON p.oid = k.conparentid
        WHERE k.confrelid = $1::regclass""",
    "its indexes": """
        SELECT pg_get_indexdef(indexrelid), indisvalid, indisready, indisprimary, indisunique,
            indimmediate, indisclustered, indisreplident, indnullsnotdistinct, reloptions,
            reltablespace, relowner::regrole::text, inhparent::regclass::text,
            obj_description(indexrelid, 'pg_class')
        FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid
        LEFT JOIN pg_inherits ON inhrelid = indexrelid
        WHERE indrelid = $1::regclass""",
    "its triggers": """
        SELECT t.tgfoid::regproc::text, t.tgtype, t.tgenabled, t.tgisinternal, t.tgdeferrable,
            t.tginitdeferred, t.tgconstrrelid::regclass::text, t.tgconstrindid::regclass::text,
            pg_get_constraintdef(t.tgconstraint), p.tgrelid::regclass::text
        FROM pg_trigger AS t LEFT JOIN pg_trigger AS p ON p.oid = t.tgparentid
        WHERE t.tgrelid = $1::regclass""",
    "its policies": """
        SELECT polname, polcmd, polpermissive, polroles::regrole[]::text,
            pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
        FROM pg_policy WHERE polrelid = $1::regclass""",
    "its statistics": "SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext "
    "WHERE stxrelid = $1::regclass",
    "who hears of it": "SELECT pubname FROM pg_publication_tables "
    "WHERE schemaname || '.' || tablename = $1::text",
}

_MAKE: Final = "SELECT core.make_partitions($1)"

_TAKEN_FROM_WRITERS: Final = """
SELECT relation::regclass || ' ' || mode AS name FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = ANY ($1)
    AND relation >= 16384 AND mode <> ALL (
        '{AccessShareLock, RowShareLock, RowExclusiveLock, ShareUpdateExclusiveLock}')
"""


@pytest.fixture(scope="module")
async def months_url(postgres_server: PostgresServer) -> str:
    """A database of its own, in which partitions may come and go."""
    return await a_database(postgres_server.url, "months")


@pytest.fixture
async def owner(months_url: str) -> AsyncIterator[Connection]:
    """The owner, whose doings leave nothing behind."""
    connection = await asyncpg.connect(months_url)
    doing = connection.transaction()
    await doing.start()
    await connection.execute("SET LOCAL ROLE reli_owner")
    yield connection
    await doing.rollback()
    await connection.close()


async def make_next(db: Connection) -> str:
    """Make the first partition that is not there, and return its name."""
    before = set(await partitions(db))
    assert await db.fetchval(_MAKE, MONTHS_AHEAD + 1) == 1
    (name,) = set(await partitions(db)) - before
    return f"core.{name}"


def parent_of(partition: str) -> str:
    return partition[: -len("_2020_01")]


async def looks_of(db: Connection, partition: str) -> dict[str, list[str]]:
    """Return all that the catalogue knows of a partition but its month."""
    return {
        what: sorted(
            re.sub(r"_\d{4}_\d{2}", "_month", repr(tuple(row)))
            for row in await db.fetch(query, partition)
        )
        for what, query in _LOOKS.items()
    }


async def test_a_partition_that_was_attached_is_as_one_that_was_made_in_its_table(
    owner: Connection,
) -> None:
    attached = [await make_next(owner) for _ in PARENTS]
    assert await owner.fetchval(_MAKE, MONTHS_AHEAD + 1) == 0

    assert {parent_of(name) for name in attached} == PARENTS == set(await partitioned(owner))
    for name in attached:
        await owner.execute(await a_month_of(owner, parent_of(name)))
        in_place = f"{parent_of(name)}_2020_01"
        for rest in ("ENABLE ROW LEVEL SECURITY", "FORCE ROW LEVEL SECURITY"):
            await owner.execute(f"ALTER TABLE {in_place} {rest}")
        await owner.execute(f"REVOKE ALL ON {in_place} FROM PUBLIC")
        await owner.execute(
            f"ALTER TABLE {in_place} ALTER COLUMN tenant_id SET (n_distinct = -0.01)"
        )
        looks = await looks_of(owner, name)
        assert looks == await looks_of(owner, in_place)
        assert looks["its columns"] and looks["its constraints"] and looks["its indexes"]


async def test_who_writes_meets_one_lock_at_most_of_a_partition_being_made(
    owner: Connection,
) -> None:
    """So nobody can wait for him in a circle, and the table itself stays everybody's.

    A key between two tables has its triggers on both; the other one waits for who writes to it.
    """
    known = [row["oid"] for row in await owner.fetch("SELECT oid FROM pg_class")]
    taken: dict[str, set[str]] = {}
    for _ in PARENTS:
        making = owner.transaction()
        await making.start()
        name = await make_next(owner)
        rows = await owner.fetch(_TAKEN_FROM_WRITERS, known)
        taken[parent_of(name)] = {row["name"] for row in rows}
        await making.rollback()
        # Only its name, so that the next one is made next.
        await owner.execute(f"CREATE TABLE {name} ()")

    assert taken == {parent: set() for parent in PARENTS} | {
        "core.entries": {"core.sandbox_deposits ShareRowExclusiveLock"},
        "core.transfers": {"core.expiring_holds ShareRowExclusiveLock"},
        "core.quotes": {"core.customers ShareRowExclusiveLock"},
    }


@asynccontextmanager
async def makers(url: str, count: int) -> AsyncIterator[list[PostgresPartitions]]:
    engines = [make_engine(role_url(url, WORK_ROLE), pool_size=1) for _ in range(count)]
    yield [PostgresPartitions(engine) for engine in engines]
    for engine in engines:
        await engine.dispose()


async def test_makers_at_once_make_each_partition_once(postgres_server: PostgresServer) -> None:
    url = await a_database(postgres_server.url, "makers")
    async with makers(url, 4) as all_of_them:
        made = await asyncio.gather(
            *(maker.make(months_ahead=MONTHS_AHEAD + 3) for maker in all_of_them)
        )

    assert sum(made) == 3 * len(PARENTS)


async def test_months_ahead_are_made_while_everybody_writes(own_platform: Platform) -> None:
    """Nobody is refused, and nobody waits for long."""
    months = range(MONTHS_AHEAD + 1, MONTHS_AHEAD + 10)
    is_over = asyncio.Event()
    tenants = [await own_platform.a_tenant() for _ in range(6)]
    waited: list[float] = []

    async def go_on(write: Callable[[], Awaitable[object]]) -> None:
        while not is_over.is_set():
            began = perf_counter()
            await write()
            waited.append(perf_counter() - began)
            is_running[write].set()

    async with makers(own_platform.settings.database_url, 1) as [maker]:
        writes = [
            await a_poster(own_platform, tenants[0][0]),
            await a_poster(own_platform, tenants[1][0]),
            await a_poster(own_platform, tenants[2][0], ledger_pb2.TRANSFER_KIND_PENDING),
            *[a_depositor(client) for _, client in tenants[3:]],
            *[await a_trader(own_platform, client) for _, client in tenants[:2]],
        ]
        is_running = {write: asyncio.Event() for write in writes}
        before = await own_platform.owner.fetchval(_PARTITIONS)
        async with asyncio.TaskGroup() as group:
            for write in writes:
                group.create_task(go_on(write))
            await asyncio.gather(*(each.wait() for each in is_running.values()))
            for ahead in months:
                await make_in_the_end(maker, ahead)
            is_over.set()

    made = await own_platform.owner.fetchval(_PARTITIONS) - before
    assert made == len(PARENTS) * len(months)
    assert max(waited) < PATIENCE_S
    for tenant_id, _ in tenants:
        await assert_books_balance(own_platform.owner, tenant_id)


async def make_in_the_end(maker: PostgresPartitions, months_ahead: int) -> None:
    """Autovacuum may have a table for as long as a statement waits; who comes again goes on."""
    async with asyncio.timeout(PATIENCE_S * 4):
        while True:
            with suppress(DatabaseBusy):
                await maker.make(months_ahead=months_ahead)
                return


async def a_poster(
    platform: Platform,
    tenant_id: str,
    kind: ledger_pb2.TransferKind = ledger_pb2.TRANSFER_KIND_REGULAR,
) -> Callable[[], Awaitable[object]]:
    """Return what enters a transfer, or a hold that lapses in an hour."""
    ledger = platform.operator.ledger_admin
    one, other = [
        (
            await ledger.OpenAccount(
                ledger_pb.OpenAccountRequest(
                    tenant_id=tenant_id, kind="ACCOUNT_KIND_EXTERNAL", owner=owner, asset="NGN"
                )
            )
        ).account.id
        for owner in ("bank", "rail")
    ]

    async def post() -> None:
        transfer = ledger_pb2.Transfer(
            id=str(platform.ids.new(TransferId)),
            kind=kind,
            debit_account_id=one,
            credit_account_id=other,
            amount=amount("1.00", "NGN"),
        )
        if kind == ledger_pb2.TRANSFER_KIND_PENDING:
            transfer.expire_time.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
        await ledger.CreateEntry(
            ledger_pb.CreateEntryRequest(
                tenant_id=tenant_id,
                entry_id=str(platform.ids.new(EntryId)),
                transfers=[transfer],
                request_id=new_request_id(),
            )
        )

    return post


def a_depositor(client: Client) -> Callable[[], Awaitable[object]]:
    async def deposit() -> None:
        await client.deposit((await client.create_customer()).id, "1.00", "NGN")

    return deposit


async def a_trader(platform: Platform, client: Client) -> Callable[[], Awaitable[object]]:
    customer_id = await platform.a_funded_customer(client)

    async def trade() -> None:
        await client.accept((await client.quote(customer_id)).id)

    return trade
