"""No role sees or changes a row outside the tenant in scope: every table, every verb, asked in SQL.

The tables are those of the catalogue. Another tenant's rows are hashed before and after, by the
superuser, whom row security does not hold.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import lend, make_engine
from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.market import PostgresMarket
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from adapters.postgres.write import Write, add_rows
from adapters.system.clock import SystemClock
from domain.errors import DomainError, Kind
from domain.ids import (
    AccountId,
    ApiKeyId,
    BreakId,
    CustomerId,
    EntryId,
    QuoteId,
    RequestSigningKeyId,
    TenantId,
    TradeId,
    TransferId,
)
from domain.ledger.errors import AccountNotFound
from domain.party import Party
from domain.tenant.customer import Customer
from domain.tenant.errors import CustomerNotFound, TenantNotFound
from ports.page import PageRequest
from ports.request import RequestKey
from ports.unit_of_work import UnitOfWork
from tests.support.audit import partitions, rows_of, tenant_tables
from tests.support.builders import a_transfer, an_account, an_entry
from tests.support.busy_tenant import BusyTenant, a_busy_tenant
from tests.support.platform import (
    Platform,
)

ROLES: Final = ("reli_app", "reli_work")
VERBS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

SEEN_ACROSS_TENANTS: Final = {
    ("reli_work", "trade_queue"): "a worker asks for what is due before it knows whose it is",
    ("reli_work", "late_checks"): "a worker asks for what is due before it knows whose it is",
    ("reli_work", "expiring_holds"): "a worker asks for what is due before it knows whose it is",
    ("reli_work", "account_lines"): "a worker lists the lines of all tenants set-wise",
    ("reli_work", "unlisted_lines"): "a worker lists the lines of all tenants set-wise",
    ("reli_work", "audit_heads"): "the numberer numbers the records of all tenants set-wise",
    ("reli_work", "audit_records"): "the numberer numbers the records of all tenants set-wise",
    ("reli_work", "chain_heads"): "the chainer goes on where each tenant's chain ends",
    ("reli_work", "chain_tiles"): "the chainer keeps the inner nodes of all tenants' trees",
    ("reli_work", "checkpoints"): "the chainer signs where each tenant's chain ends",
    ("reli_work", "entry_pages"): "the chainer takes what waits for its place, whoever's it is",
    ("reli_work", "event_heads"): "the sequencer stamps the events of all tenants set-wise",
    ("reli_work", "liability_heads"): "the keeper finds whose customers it has to look at next",
    ("reli_work", "webhook_endpoints"): "a worker finds out where it sends what is due",
    ("reli_work", "webhook_queues"): "a worker asks for what is due before it knows whose it is",
    ("reli_work", "webhook_deliveries"): "deliveries are planned, sent and forgotten set-wise",
    ("reli_work", "webhook_attempts"): "what was kept for long enough is forgotten set-wise",
    ("reli_work", "outbox"): "the relay publishes the events of all tenants in one order",
}
"""What a policy opens on purpose, each with the reason."""

UNSET: Final = (asyncpg.UndefinedObjectError, asyncpg.InvalidTextRepresentationError)
"""An unset tenant is an error: never set in this session, or set in a transaction before."""


@dataclass(frozen=True)
class Two:
    """Two tenants alike, every table, and what each role may do to each at all."""

    a: BusyTenant
    b: BusyTenant
    tables: list[str]
    partitions: list[str]
    rights: frozenset[tuple[str, str, str]]
    owner: asyncpg.Pool

    def may(self, role: str, verb: str, table: str) -> bool:
        return (role, verb, table) in self.rights

    def scoped(self, role: str) -> list[str]:
        """Return the tables that show a role nothing but the tenant in scope."""
        return [table for table in self.tables if (role, table) not in SEEN_ACROSS_TENANTS]

    async def a_row(self, table: str, tenant: BusyTenant) -> str:
        """Return one of the tenant's rows, as JSON."""
        row: str = await self.owner.fetchval(
            f"SELECT to_jsonb(t)::text FROM core.{table} AS t WHERE tenant_id = $1 LIMIT 1",
            tenant.uuid,
        )
        return row


@pytest.fixture(scope="module")
async def two(platform: Platform) -> AsyncIterator[Two]:
    owner = platform.owner
    tables, parts = await tenant_tables(owner), await partitions(owner)
    a, b = await a_busy_tenant(platform), await a_busy_tenant(platform)
    added = [
        (table, row)
        for table in (*tables, *parts)
        for tenant in (a, b)
        for row in await _fill(owner, table, tenant.uuid)
    ]
    rights = await owner.fetch(
        """SELECT role, verb, relname FROM pg_class, unnest($1::text[]) AS role,
            unnest($2::text[]) AS verb
        WHERE relnamespace = 'core'::regnamespace AND relkind IN ('r', 'p')
            AND (has_table_privilege(role, oid, verb)
                OR verb = 'SELECT' AND has_any_column_privilege(role, oid, verb))""",
        list(ROLES),
        list(VERBS),
    )
    yield Two(a, b, tables, parts, frozenset(map(tuple, rights)), owner)
    for table, row in added:
        await _as_superuser(owner, f"DELETE FROM core.{table} AS t WHERE to_jsonb(t) = $1", row)


async def test_every_table_and_partition_has_rows_of_both_tenants(two: Two) -> None:
    for tenant in (two.a, two.b):
        rows = await rows_of(two.owner, tenant.id, two.tables)
        assert set(rows) == set(two.tables)
        assert [table for table, found in rows.items() if found.startswith("0:")] == []
        for part in two.partitions:
            assert await two.owner.fetchval(
                f"SELECT count(*) FROM core.{part} WHERE tenant_id = $1", tenant.uuid
            )


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("session", ["fresh", "used before"])
async def test_without_a_tenant_in_scope_every_verb_is_an_error(
    two: Two, platform: Platform, role: str, session: str
) -> None:
    before = await rows_of(two.owner, two.b.id, two.tables)
    async with _session(platform, role) as db:
        if session == "used before":
            async with _scope(db, two.a.uuid):
                await db.fetch("SELECT * FROM core.customers")
        for table in two.scoped(role):
            for verb, run in await _attacks(two, db, table, two.b):
                error = await _error(db, run)
                if two.may(role, verb, table):
                    assert isinstance(error, UNSET), f"{verb} {table}: {error!r}"
                else:
                    assert _is_without_right(error), f"{verb} {table}: {error!r}"
    assert await rows_of(two.owner, two.b.id, two.tables) == before


@pytest.mark.parametrize("role", ROLES)
async def test_with_another_tenant_in_scope_nothing_is_seen_and_nothing_changed(
    two: Two, platform: Platform, role: str
) -> None:
    before = await rows_of(two.owner, two.b.id, two.tables)
    async with _session(platform, role) as db:
        for table in two.scoped(role):
            if two.may(role, "SELECT", table):
                async with _scope(db, two.a.uuid):
                    assert (
                        await db.fetchval(
                            f"SELECT count(*) FROM core.{table} WHERE tenant_id = $1", two.b.uuid
                        )
                        == 0
                    ), table
                    assert (
                        await db.fetchval(
                            f"SELECT count(*) FROM core.{table} WHERE tenant_id <> $1", two.a.uuid
                        )
                        == 0
                    ), table
            for verb, run in await _attacks(two, db, table, two.b):
                error = await _error(db, run, scope=two.a.uuid)
                if not two.may(role, verb, table):
                    assert _is_without_right(error), f"{verb} {table}: {error!r}"
                elif verb == "INSERT":
                    # Not a duplicate key: that would tell that the row is there.
                    assert _is_against_policy(error), f"{verb} {table}: {error!r}"
                else:
                    assert error is None, f"{verb} {table}: {error!r}"
    assert await rows_of(two.owner, two.b.id, two.tables) == before


@pytest.mark.parametrize("role", ROLES)
async def test_a_row_of_ones_own_cannot_be_given_to_another_tenant(
    two: Two, platform: Platform, role: str
) -> None:
    before = (
        await rows_of(two.owner, two.a.id, two.tables),
        await rows_of(two.owner, two.b.id, two.tables),
    )
    tried = []
    async with _session(platform, role) as db:
        for table in two.scoped(role):
            if not two.may(role, "UPDATE", table):
                continue
            tried.append(table)
            give = f"UPDATE core.{table} SET tenant_id = $2 WHERE tenant_id = $1"
            error = await _error(
                db, partial(db.execute, give, two.a.uuid, two.b.uuid), scope=two.a.uuid
            )
            assert _is_against_policy(error), f"{table}: {error!r}"
    assert {"accounts", "trades", "tenants"} <= set(tried)
    assert (
        await rows_of(two.owner, two.a.id, two.tables),
        await rows_of(two.owner, two.b.id, two.tables),
    ) == before


@pytest.mark.parametrize("role", ROLES)
async def test_with_its_own_tenant_in_scope_a_role_sees_all_of_it_and_only_it(
    two: Two, platform: Platform, role: str
) -> None:
    async with _session(platform, role) as db:
        for table in two.scoped(role):
            if not two.may(role, "SELECT", table):
                continue
            for tenant in (two.a, two.b, two.a):
                async with _scope(db, tenant.uuid):
                    seen = await db.fetch(
                        f"SELECT md5(t::text) AS row FROM core.{table} AS t ORDER BY 1"
                    )
                all_of_it = await two.owner.fetch(
                    f"SELECT md5(t::text) AS row FROM core.{table} AS t WHERE tenant_id = $1 "
                    "ORDER BY 1",
                    tenant.uuid,
                )
                assert seen, table
                assert seen == all_of_it, table


@pytest.mark.parametrize("role", ROLES)
async def test_no_partition_is_reached_past_its_table(
    two: Two, platform: Platform, role: str
) -> None:
    before = (
        await rows_of(two.owner, two.a.id, two.tables),
        await rows_of(two.owner, two.b.id, two.tables),
    )
    async with _session(platform, role) as db:
        for scope in (None, two.a.uuid, two.b.uuid):
            for part in two.partitions:
                for verb, run in await _attacks(two, db, part, two.b):
                    error = await _error(db, run, scope=scope)
                    assert _is_without_right(error), f"{verb} {part}: {error!r}"
    assert (
        await rows_of(two.owner, two.a.id, two.tables),
        await rows_of(two.owner, two.b.id, two.tables),
    ) == before


@pytest.mark.parametrize("role", ROLES)
async def test_no_table_can_be_emptied_or_loaded_past_its_policy(
    two: Two, platform: Platform, role: str
) -> None:
    async with _session(platform, role) as db:
        for table in (*two.tables, *two.partitions):
            error = await _error(
                db, partial(db.execute, f"TRUNCATE core.{table} CASCADE"), two.a.uuid
            )
            assert _is_without_right(error), f"{table}: {error!r}"
            error = await _error(
                db,
                partial(
                    db.copy_records_to_table,
                    table,
                    schema_name="core",
                    records=[(two.b.uuid,)],
                    columns=["tenant_id"],
                ),
                two.a.uuid,
            )
            assert _is_without_right(error) or isinstance(
                error, asyncpg.FeatureNotSupportedError
            ), f"{table}: {error!r}"


async def test_a_worker_sees_of_all_tenants_only_what_is_listed(
    two: Two, platform: Platform
) -> None:
    async with _session(platform, "reli_work") as db:
        for role, table in SEEN_ACROSS_TENANTS:
            assert role == "reli_work"
            found = {
                row["tenant_id"]
                for row in await db.fetch(f"SELECT DISTINCT tenant_id FROM core.{table}")
            }
            assert {two.a.uuid, two.b.uuid} <= found, table
        error = await _error(
            db, lambda: db.execute("UPDATE core.outbox SET payload = ''"), two.a.uuid
        )
        assert _is_without_right(error)


async def test_no_role_turns_row_security_off(two: Two, platform: Platform) -> None:
    for role in ROLES:
        async with _session(platform, role) as db:
            await db.execute("SET row_security = off")
            error = await _error(db, partial(db.fetch, "SELECT * FROM core.customers"), two.a.uuid)
            assert isinstance(error, asyncpg.InsufficientPrivilegeError)
            for other in ("reli_owner", "reli_directory"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await db.execute(f"SET ROLE {other}")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT tenant_id FROM core.list_tenants(NULL, 200)",
        "SELECT tenant_id FROM core.list_stuck_trades(NULL, 0, 200)",
    ],
)
async def test_only_the_house_asks_across_tenants(two: Two, platform: Platform, query: str) -> None:
    async with _session(platform, "reli_app") as db:
        assert isinstance(await _error(db, lambda: db.fetch(query)), UNSET)
        async with _scope(db, two.a.uuid):
            assert await db.fetch(query) == []
        async with _scope(db, platform.environment.house_id.uuid):
            found = {row["tenant_id"] for row in await db.fetch(query)}
        assert {two.a.uuid, two.b.uuid} <= found


async def test_rows_of_another_tenant_cannot_be_added_outside_of_a_transaction(
    two: Two, app_database_url: str
) -> None:
    engine = make_engine(app_database_url, pool_size=1, name="test scope")
    other = TenantId(two.b.uuid)
    foreign = Write(
        f"""requests AS (
            INSERT INTO core.requests (tenant_id, rpc, request_id, fingerprint, created_at)
            SELECT coalesce('{other.uuid}'::uuid, $1), rpc, 'r', '', core.now()
            FROM unnest($2::text[]) AS r (rpc)
        )""",
        (["rpc"],),
        only_adds=True,
    )
    try:
        for _ in range(2):  # before anybody has been the tenant of the session, and after
            async with lend(engine) as lent:
                with pytest.raises(asyncpg.PostgresError):
                    await add_rows(lent.driver, TenantId(two.a.uuid), [foreign])
            async with _units_of_work(engine).begin(TenantId(two.a.uuid)) as uow:
                await uow.tenants.get()
    finally:
        await engine.dispose()


async def test_only_the_own_tenants_customers_may_act(
    two: Two, platform: Platform, app_database_url: str
) -> None:
    engine = make_engine(app_database_url, pool_size=1, name="test acting")
    a, b = TenantId(two.a.uuid), TenantId(two.b.uuid)
    customer = Customer(id=platform.ids.new(CustomerId), tenant_id=b, external_id="bob")
    try:
        async with _units_of_work(engine).begin(b) as uow:
            await uow.customers.add(customer)

        async def act(tenant_id: TenantId, party: Party) -> None:
            async def work(uow: UnitOfWork) -> None:
                await uow.tenants.require_active(party)

            await _units_of_work(engine).run(tenant_id, work)

        await act(b, Party(customer.id))
        with pytest.raises(CustomerNotFound):
            await act(a, Party(customer.id))
        await act(a, Party(None))
        with pytest.raises(TenantNotFound):
            await act(platform.ids.new(TenantId), Party(None))
    finally:
        await engine.dispose()


@pytest.mark.parametrize("end", ["commit", "refusal", "cancellation", "broken statement"])
async def test_a_connection_that_goes_back_to_the_pool_carries_no_tenant(
    two: Two, app_database_url: str, end: str
) -> None:
    engine = make_engine(app_database_url, pool_size=1, name="test scope")
    try:
        units_of_work = _units_of_work(engine)
        await _end(units_of_work, TenantId(two.a.uuid), end)

        async with engine.connect() as connection:
            left = await connection.scalar(text("SELECT current_setting('app.tenant_id', true)"))
            driver: Any = (await connection.get_raw_connection()).driver_connection
            assert not driver.is_in_transaction()
        assert left in ("", None)
    finally:
        await engine.dispose()


async def _end(units_of_work: PostgresUnitOfWorkFactory, tenant_id: TenantId, end: str) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with units_of_work.begin(tenant_id) as uow:
            await uow.tenants.get()
            entered.set()
            match end:
                case "refusal":
                    raise AccountNotFound("no such account")
                case "cancellation":
                    await asyncio.Event().wait()
                case "broken statement":
                    await uow.ledger._scope.driver.execute("SELECT 1 / 0")  # type: ignore[attr-defined]

    task = asyncio.create_task(work())
    await asyncio.wait({task, asyncio.create_task(entered.wait())}, return_when="FIRST_COMPLETED")
    if end == "cancellation":
        task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert (outcome is None) == (end == "commit"), outcome


Question = Callable[[UnitOfWork, BusyTenant], Awaitable[object]]

MISSING: Final[dict[str, Question]] = {
    "customers.get": lambda uow, t: uow.customers.get(CustomerId.parse(t.customer_id)),
    "customers.get, locked": lambda uow, t: uow.customers.get(
        CustomerId.parse(t.customer_id), lock=True
    ),
    "api_keys.get": lambda uow, t: uow.api_keys.get(ApiKeyId.parse(t.api_key_id)),
    "request_signing_keys.get": lambda uow, t: uow.request_signing_keys.get(
        RequestSigningKeyId.parse(t.request_signing_key_id)
    ),
    "quotes.get": lambda uow, t: uow.quotes.get(QuoteId.parse(t.quote_id)),
    "quotes.get, locked": lambda uow, t: uow.quotes.get(QuoteId.parse(t.quote_id), lock=True),
    "trades.get": lambda uow, t: uow.trades.get(TradeId.parse(t.trade_id)),
    "trades.get, locked": lambda uow, t: uow.trades.get(TradeId.parse(t.trade_id), lock=True),
    "breaks.get": lambda uow, t: uow.breaks.get(BreakId.parse(t.break_id)),
    "ledger.get_entry": lambda uow, t: uow.ledger.get_entry(EntryId.parse(t.entry_id)),
    "ledger.get_account": lambda uow, t: uow.ledger.get_account(AccountId.parse(t.account_id)),
    "ledger.get_account, locked": lambda uow, t: uow.ledger.get_account(
        AccountId.parse(t.account_id), lock=True
    ),
}


@pytest.mark.parametrize("question", MISSING.values(), ids=MISSING)
async def test_what_belongs_to_another_tenant_is_not_found(
    two: Two, platform: Platform, question: Question
) -> None:
    units_of_work = platform.container.units_of_work()
    async with units_of_work.begin(TenantId(two.b.uuid)) as uow:
        assert await question(uow, two.b)

    with pytest.raises(DomainError) as caught:
        async with units_of_work.begin(TenantId(two.a.uuid)) as uow:
            await question(uow, two.b)
    assert caught.value.kind is Kind.MISSING


async def test_what_is_asked_by_set_or_by_page_leaves_another_tenant_out(
    two: Two, platform: Platform
) -> None:
    key = RequestKey(
        rpc="reli.ledger.v1.LedgerAdminService/CreateEntry",
        request_id=two.b.request_id,
        fingerprint=bytes(32),
    )
    customer_id = CustomerId.parse(two.b.customer_id)
    async with platform.container.units_of_work().begin(TenantId(two.a.uuid)) as uow:
        assert await uow.ledger.get_transfers([TransferId.parse(two.b.transfer_id)]) == {}
        assert await uow.ledger.customer_accounts(customer_id) == []
        assert await uow.quotes.answers(QuoteId.parse(two.b.quote_id)) == []
        assert await uow.quotes.trade_of(QuoteId.parse(two.b.quote_id)) is None
        assert await uow.requests.find(key) is None
        page = PageRequest(size=200)
        lines = await uow.ledger.list_postings(AccountId.parse(two.b.account_id), page)
        assert lines.items == ()
        assert (await uow.quotes.list(page, customer_id=customer_id)).items == ()
        assert (await uow.trades.list(page, customer_id=customer_id)).items == ()
        for listed in (
            await uow.customers.list(page),
            await uow.api_keys.list(page),
            await uow.request_signing_keys.list(page),
            await uow.quotes.list(page, customer_id=None),
            await uow.trades.list(page, customer_id=None),
            await uow.breaks.list(page),
        ):
            assert {item.tenant_id for item in listed.items} == {TenantId(two.a.uuid)}


async def test_an_entry_cannot_name_another_tenants_accounts(two: Two, platform: Platform) -> None:
    debit, credit = (
        an_account()._replace(id=AccountId(row["id"]))
        for row in await platform.owner.fetch(
            "SELECT id FROM core.accounts WHERE tenant_id = $1 AND asset = 'NGN' LIMIT 2",
            two.b.uuid,
        )
    )
    entry = an_entry(
        a_transfer(debit, credit, id=platform.ids.new(TransferId)), id=platform.ids.new(EntryId)
    )

    with pytest.raises(AccountNotFound):
        async with platform.container.units_of_work().begin(TenantId(two.a.uuid)) as uow:
            await uow.ledger.commit(entry)


def _units_of_work(engine: AsyncEngine) -> PostgresUnitOfWorkFactory:
    market = PostgresMarket(engine, SystemClock())
    return PostgresUnitOfWorkFactory(engine, market, AccountIdCache())


@asynccontextmanager
async def _session(platform: Platform, role: str) -> AsyncIterator[Any]:
    settings = platform.settings
    url = settings.app_database_url if role == "reli_app" else settings.work_database_url
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _scope(db: Any, tenant: UUID | None) -> AsyncIterator[None]:
    """A transaction as the platform opens it; without a tenant, as it must never be."""
    async with db.transaction():
        if tenant is not None:
            await db.execute(f"SET LOCAL app.tenant_id = '{tenant}'")
        yield


Run = Callable[[], Awaitable[object]]


async def _attacks(two: Two, db: Any, table: str, victim: BusyTenant) -> list[tuple[str, Run]]:
    """Return every verb against the victim's rows; each fails here if it reaches one."""
    row = await two.a_row(table, victim)
    columns = await two.owner.fetchval(_STORED, table)
    insert = (
        f"INSERT INTO core.{table} ({columns}) SELECT {columns} "
        f"FROM jsonb_populate_record(NULL::core.{table}, $1)"
    )

    async def select() -> None:
        found = await db.fetch(f"SELECT * FROM core.{table} WHERE tenant_id = $1", victim.uuid)
        assert found == [], table

    async def change(query: str) -> None:
        assert (await db.execute(query, victim.uuid)).endswith(" 0"), query

    return [
        ("SELECT", select),
        ("INSERT", lambda: db.execute(insert, row)),
        (
            "UPDATE",
            lambda: change(f"UPDATE core.{table} SET tenant_id = tenant_id WHERE tenant_id = $1"),
        ),
        ("DELETE", lambda: change(f"DELETE FROM core.{table} WHERE tenant_id = $1")),
    ]


async def _error(db: Any, run: Run, scope: UUID | None = None) -> asyncpg.PostgresError | None:
    """Return what the database said, or None if it did as it was told and committed."""
    try:
        async with _scope(db, scope):
            await run()
    except asyncpg.PostgresError as error:
        return error
    return None


def _is_without_right(error: object) -> bool:
    is_refused = isinstance(error, asyncpg.InsufficientPrivilegeError)
    return is_refused and "permission denied" in str(error)


def _is_against_policy(error: object) -> bool:
    is_refused = isinstance(error, asyncpg.InsufficientPrivilegeError)
    return is_refused and "row-level security policy" in str(error)


_BOUND: Final = """
SELECT p.inhparent::regclass::text AS parent, a.attname AS key,
    substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \\(''([^'']+)''\\)')::uuid AS lowest
FROM pg_inherits AS p JOIN pg_class AS c ON c.oid = p.inhrelid
JOIN pg_partitioned_table AS t ON t.partrelid = p.inhparent
JOIN pg_attribute AS a ON a.attrelid = p.inhparent AND a.attnum = t.partattrs[0]
WHERE p.inhrelid = ('core.' || $1)::regclass
"""


async def _fill(owner: asyncpg.Pool, table: str, tenant: UUID) -> list[str]:
    """Put a row of the tenant where there is none; return what was added, as JSON."""
    if await owner.fetchval(f"SELECT true FROM core.{table} WHERE tenant_id = $1 LIMIT 1", tenant):
        return []
    bound = await owner.fetchrow(_BOUND, table)
    if bound is None:
        values = {row["name"]: _any(row["type"]) for row in await owner.fetch(_COLUMNS, table)}
        values |= _WANTED_BY_A_CHECK.get(table, {}) | {"tenant_id": str(tenant)}
    else:  # a copy, in another month
        values = json.loads(
            await owner.fetchval(
                f"SELECT to_jsonb(t)::text FROM {bound['parent']} AS t "
                "WHERE tenant_id = $1 LIMIT 1",
                tenant,
            )
        )
        values[bound["key"]] = str(UUID(int=bound["lowest"].int + secrets.randbits(60)))
    columns = ", ".join(values)  # the others have defaults
    added = await _as_superuser(
        owner,
        f"INSERT INTO core.{table} AS t ({columns}) SELECT {columns} "
        f"FROM jsonb_populate_record(NULL::core.{table}, $1) RETURNING to_jsonb(t)::text",
        json.dumps(values),
    )
    return [added]


_WANTED_BY_A_CHECK: Final = {
    "checkpoints": {"signature": f"\\x{bytes(64).hex()}"},
    "dated_lines": {"effective_at": "2026-03-01T00:00:00Z"},
    "liability_sheets": {"signature": f"\\x{bytes(64).hex()}"},
    "receipts": {"signature": f"\\x{bytes(64).hex()}"},
    "late_checks": {"due_at": "2026-03-02T09:31:00Z"},
    "trading_state_changes": {"kind": "tenant", "from_state": "active", "to_state": "halted"},
    "lp_settlements": {"state": "proposed"},
    "webhook_endpoints": {"state": "enabled", "secret": f"\\x{bytes(32).hex()}"},
    "webhook_deliveries": {"state": "pending"},
}

_STORED: Final = """
SELECT string_agg(attname, ', ') FROM pg_attribute
WHERE attrelid = ('core.' || $1)::regclass AND attnum > 0 AND NOT attisdropped
    AND attgenerated = ''
"""

_COLUMNS: Final = """
SELECT attname AS name, atttypid::regtype::text AS type FROM pg_attribute
WHERE attrelid = ('core.' || $1)::regclass AND attnum > 0 AND attnotnull AND NOT atthasdef
    AND NOT attisdropped
"""


def _any(type: str) -> object:
    """Return some value of a type."""
    return {
        "uuid": str(UUID(int=secrets.randbits(128))),
        "date": "2026-03-02",
        "uuid[]": [str(UUID(int=secrets.randbits(128)))],
        "bigint[]": [1],
        "numeric[]": [1],
        "text[]": ["some text"],
        "integer": 1,
        "text": "some text",
        "bigint": 1,
        "smallint": 1,
        "numeric": 1,
        "timestamp with time zone": "2026-03-02T09:30:00Z",
        "bytea": f"\\x{bytes(32).hex()}",
    }[type]


async def _as_superuser(owner: asyncpg.Pool, query: str, argument: str) -> Any:
    """Run a statement past the foreign keys."""
    async with owner.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        return await connection.fetchval(query, argument)
