"""The one real part: PostgreSQL, with the clock that money is judged by pinned from outside.

`core.now()` is replaced, in the harness's own databases only, by a function that reads a file;
whoever moves the virtual time writes it there. So every session of a run sees one time, and no
round trip is spent on telling it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import make_engine
from app.database_url import APP_ROLE, WORK_ROLE, role_url
from domain.ids import ApiKeyId, CustomerId, TenantId
from tests.crash.trace import Rows, Trace

_PIN: Final = """
CREATE OR REPLACE FUNCTION core.now() RETURNS timestamptz LANGUAGE sql VOLATILE SECURITY DEFINER
    RETURN pg_read_file({path})::timestamptz;
ALTER FUNCTION core.now() OWNER TO CURRENT_USER;
"""

_TWIN: Final = """
DO $$
DECLARE
    once text := 'WHERE pending_id IS NOT NULL';
    source text := pg_get_functiondef('core.write_entries'::regproc);
BEGIN
    ASSERT array_length(string_to_array(source, once), 1) = 2;
    source := replace(source, once, once || ' ON CONFLICT DO NOTHING');
    EXECUTE replace(source, 'core.write_entries(', 'core.write_entries_unkeyed(');
END $$;
"""
"""A second lock taken away: how entries are written where a hold may be resolved twice."""

_FORGET: Final = """
DELETE FROM core.trade_queue;
DELETE FROM core.late_checks;
DELETE FROM core.outbox WHERE sequence IS NULL;
DELETE FROM core.event_heads;
DELETE FROM core.consumer_positions;
UPDATE core.leases SET token = 0, leased_until = '-infinity';
"""
"""What one run would leave in the way of the next: queues, positions and leases. No row of a
book is touched: each run has a tenant of its own."""

_VACUUM: Final = """
VACUUM core.trade_queue, core.late_checks, core.outbox, core.event_heads,
    core.consumer_positions, core.leases
"""

_NEW_TENANT: Final = """
WITH tenants AS (
    INSERT INTO core.tenants (tenant_id, slug, display_name, quote_ttl_ms, markup_bps, lp_order,
        platform_fee_bps, state, created_at)
    SELECT id, 'crash-' || id, 'Crash', $2, $3::jsonb, $4, $5, 'active', $6
    FROM unnest(ARRAY[$1::uuid, $9::uuid]) AS t (id)
), customer AS (
    INSERT INTO core.customers (tenant_id, id, external_id, state, created_at)
    VALUES ($1, $7, 'ada', 'active', $6)
)
INSERT INTO core.api_keys (tenant_id, id, name, hint, secret_hash, scopes, created_at)
VALUES ($1, $8, 'crash', 'crash', sha256(convert_to($1::uuid::text, 'UTF8')), '{trades}', $6)
"""

_TABLES: Final = {
    "quotes": "id, state, trade_id, expires_at, quote_units, base_units, side",
    "trades": "*",
    "attempts": "*",
    "trade_transitions": "*",
    "trade_queue": "*",
    "receipts": "trade_id",
    "breaks": "*",
    "late_checks": "*",
    "requests": "rpc, request_id, resource_id, refusal, created_at",
    "accounts": "*",
    "transfers": "*",
    "resolutions": "*",
    "outbox": "id, type, subject, sequence, recorded_at",
    "event_heads": "*",
}

_HOUSE: Final = """
SELECT a.kind, t.asset,
    sum(CASE WHEN t.credit_account_id = a.id THEN t.units ELSE -t.units END)::text AS units
FROM core.accounts AS x
JOIN core.transfers AS t ON t.tenant_id = x.tenant_id
    AND x.id IN (t.debit_account_id, t.credit_account_id)
JOIN core.accounts AS a ON a.tenant_id = t.tenant_id AND a.kind <> 'external'
    AND a.id IN (t.debit_account_id, t.credit_account_id)
WHERE x.tenant_id = $2 AND x.kind = 'external' AND x.owner = $3
GROUP BY 1, 2
"""

_INVENTORY: Final = """
SELECT e.id AS entry_id, e.reference, a.kind, a.owner, t.asset,
    (CASE WHEN t.credit_account_id = a.id THEN t.units ELSE -t.units END)::text AS units
FROM core.entries AS e
JOIN core.transfers AS t ON t.tenant_id = e.tenant_id AND t.entry_id = e.id
JOIN core.accounts AS a ON a.tenant_id = t.tenant_id
    AND a.id IN (t.debit_account_id, t.credit_account_id)
WHERE e.tenant_id = $2 AND e.source = 'break'
"""

_SNAPSHOT: Final = (
    "SELECT json_build_object("
    + ", ".join(
        f"'{table}', (SELECT coalesce(json_agg(t), '[]') FROM "
        f"(SELECT {columns} FROM core.{table} WHERE tenant_id = $1) AS t)"
        for table, columns in _TABLES.items()
    )
    + f", 'house', (SELECT coalesce(json_agg(t), '[]') FROM ({_HOUSE}) AS t)"
    + f", 'inventory', (SELECT coalesce(json_agg(t), '[]') FROM ({_INVENTORY}) AS t)"
    + ", 'dead_letters', (SELECT coalesce(json_agg(t), '[]') FROM (SELECT reason FROM"
    " core.dead_letters WHERE source_tenant_id = $1) AS t))"
)

_BACKLOG: Final = """
SELECT (SELECT count(*) FROM core.outbox WHERE tenant_id = $1 AND sequence IS NULL)
    + coalesce((SELECT last - published FROM core.event_heads WHERE tenant_id = $1), 0)
    + (SELECT count(*) FROM core.late_checks WHERE tenant_id = $1 AND due_at IS NOT NULL)
    + coalesce((SELECT sum(h.last - coalesce(p.sequence, 0)) FROM core.event_heads AS h
        CROSS JOIN unnest($2::text[]) AS c (consumer)
        LEFT JOIN core.consumer_positions AS p
            ON p.source_tenant_id = h.tenant_id AND p.consumer = c.consumer
        WHERE h.tenant_id = $1), 0)
"""

Row = Mapping[str, Any]


class TracedConnection(asyncpg.Connection):  # type: ignore[misc]
    """Tells the trace what was said."""

    trace: ClassVar[Trace | None] = None

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
        result = str(await super().execute(query, *args, timeout=timeout))
        # When plans are thrown away depends on the age of the connection, which outlives a run.
        is_part = not args and query != "DISCARD PLANS"
        if is_part and TracedConnection.trace is not None:
            TracedConnection.trace.add("sql", result)
        return result

    async def _execute(self, query: str, args: tuple[object, ...], *rest: Any, **kw: Any) -> Any:
        trace = TracedConnection.trace
        try:
            result = await super()._execute(query, args, *rest, **kw)
        except Exception as error:
            if trace is not None:
                trace.add("sql", _short(query), args, error)
            raise
        if trace is not None:
            rows = result if isinstance(result, list) else result[0]
            trace.add("sql", _short(query), args, Rows(rows))
        return result


@cache
def _short(query: str) -> str:
    return " ".join(query.split())[:60]


def traced_engine(url: str, *, name: str) -> AsyncEngine:
    engine = make_engine(url, pool_size=2, name=name)

    @event.listens_for(engine.sync_engine, "do_connect")
    def _use_traced(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        parameters["connection_class"] = TracedConnection

    return engine


class PinnedClock:
    """The file that `core.now()` reads."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        path.chmod(0o644)

    def set(self, instant: datetime) -> None:
        text = instant.isoformat(timespec="microseconds").encode()
        assert len(text) == _INSTANT_BYTES
        os.pwrite(self._file, text, 0)

    def close(self) -> None:
        os.close(self._file)


_INSTANT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All rows of one tenant, and what the house's book says of it."""

    tables: Mapping[str, list[Row]]

    def __getitem__(self, table: str) -> list[Row]:
        return self.tables[table]


class Database:
    """One database, used by one process."""

    def __init__(self, url: str, clock: Path) -> None:
        self._url = url
        self.clock = PinnedClock(clock)
        self.app = traced_engine(role_url(url, APP_ROLE), name="crash serve")
        self.work = traced_engine(role_url(url, WORK_ROLE), name="crash work")
        self.owner: Any = None

    async def open(self) -> None:
        self.owner = await asyncpg.connect(self._url)
        await self.owner.execute("SET synchronous_commit = off")

    async def close(self) -> None:
        await self.app.dispose()
        await self.work.dispose()
        await self.owner.close()
        self.clock.close()

    async def forget_queues(self) -> None:
        await self.owner.execute(_FORGET)

    async def vacuum(self) -> None:
        await self.owner.execute(_VACUUM)

    async def new_tenant(
        self,
        tenant_id: TenantId,
        customer_id: CustomerId,
        api_key_id: ApiKeyId,
        house_id: TenantId,
        *,
        quote_ttl_ms: int,
        markup_bps: Mapping[str, int],
        lp_order: tuple[str, ...],
        fee_bps: int,
        at: datetime,
    ) -> None:
        await self.owner.execute(
            _NEW_TENANT,
            tenant_id.uuid,
            quote_ttl_ms,
            json.dumps(markup_bps),
            list(lp_order),
            fee_bps,
            at,
            customer_id.uuid,
            api_key_id.uuid,
            house_id.uuid,
        )

    async def backlog(self, tenant_id: TenantId, consumers: Sequence[str]) -> int:
        """Return how many events are still on their way, and how many looks are still to come."""
        return int(await self.owner.fetchval(_BACKLOG, tenant_id.uuid, consumers))

    async def snapshot(self, tenant_id: TenantId, house_id: TenantId) -> Snapshot:
        """Return a tenant's rows, and what the book of its house says of it."""
        found = await self.owner.fetchval(_SNAPSHOT, tenant_id.uuid, house_id.uuid, str(tenant_id))
        return Snapshot(json.loads(found))


@dataclass(frozen=True, slots=True)
class Place:
    """Where one process plays: a database and the file of its clock."""

    url: str
    clock: Path


async def prepare(url: str, home: Path, copies: int) -> list[Place]:
    """Copy a migrated database and pin the clock of each copy."""
    admin = await asyncpg.connect(_named(url, "postgres"))
    # Statistics taken at odd times would change plans, and with them the order of rows.
    await admin.execute("ALTER SYSTEM SET autovacuum = off")
    await admin.execute("SELECT pg_reload_conf()")
    source = urlsplit(url).path.lstrip("/")
    places = []
    for number in range(copies):
        name = f"crash_{number}"
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
        place = Place(_named(url, name), home / f"{name}.clock")
        clock = PinnedClock(place.clock)
        clock.set(datetime.now(UTC))
        clock.close()
        owner = await asyncpg.connect(place.url)
        await owner.execute(_PIN.format(path=f"'{place.clock}'"))
        await owner.execute(_TWIN)
        await owner.close()
        places.append(place)
    await admin.close()
    return places


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
