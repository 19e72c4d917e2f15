"""The one real part: PostgreSQL, with the clock that money is judged by pinned from outside.

`core.now()` is replaced, in the harness's own databases only, by a function that reads a setting
of the session; every session of a run is given the run's virtual time before it says anything.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import make_engine
from app.database_url import APP_ROLE, WORK_ROLE, role_url
from domain.ids import ApiKeyId, CustomerId, TenantId
from tests.crash.trace import Trace

_PIN: Final = """
CREATE OR REPLACE FUNCTION core.now() RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN coalesce(nullif(current_setting('crash.now', true), '')::timestamptz,
        clock_timestamp())
"""

_FORGET: Final = """
DELETE FROM core.trade_queue;
DELETE FROM core.outbox WHERE published_at IS NULL OR sequence IS NULL;
DELETE FROM core.event_heads;
DELETE FROM core.consumer_positions;
UPDATE core.leases SET token = 0, leased_until = '-infinity';
"""
"""What one run would leave in the way of the next: queues, positions and leases. No row of a
book is touched: each run has a tenant of its own."""

_NEW_TENANT: Final = """
WITH tenant AS (
    INSERT INTO core.tenants (tenant_id, slug, display_name, quote_ttl_ms, markup_bps, lp_order,
        platform_fee_bps, state, created_at)
    VALUES ($1::uuid, 'crash-' || $1::uuid::text, 'Crash', $2, $3::jsonb, $4, $5, 'active', $6)
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
    "breaks": "*",
    "requests": "rpc, request_id, resource_id, refusal, created_at",
    "accounts": "*",
    "transfers": "*",
    "resolutions": "*",
    "outbox": "id, type, subject, sequence, published_at, recorded_at",
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
WHERE x.tenant_id = (SELECT house_id FROM core.environment) AND x.kind = 'external'
    AND x.owner = $2 AND $1::uuid IS NOT NULL
GROUP BY 1, 2
"""

_SNAPSHOT: Final = (
    "SELECT json_build_object("
    + ", ".join(
        f"'{table}', (SELECT coalesce(json_agg(t), '[]') FROM "
        f"(SELECT {columns} FROM core.{table} WHERE tenant_id = $1) AS t)"
        for table, columns in _TABLES.items()
    )
    + f", 'house', (SELECT coalesce(json_agg(t), '[]') FROM ({_HOUSE}) AS t)"
    + ", 'dead_letters', (SELECT coalesce(json_agg(t), '[]') FROM (SELECT reason FROM"
    " core.dead_letters WHERE source_tenant_id = $1) AS t))"
)

_BACKLOG: Final = """
SELECT (SELECT count(*) FROM core.outbox WHERE tenant_id = $1 AND published_at IS NULL)
    + coalesce((SELECT h.last - coalesce(p.sequence, 0) FROM core.event_heads AS h
        LEFT JOIN core.consumer_positions AS p
            ON p.source_tenant_id = h.tenant_id AND p.consumer = $2
        WHERE h.tenant_id = $1), 0)
"""

Row = Mapping[str, Any]


class PinnedConnection(asyncpg.Connection):  # type: ignore[misc]
    """Tells the session the virtual time, and the trace what was said."""

    instant: ClassVar[Callable[[], datetime]]
    trace: ClassVar[Trace | None] = None

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
        if args:
            return str(await super().execute(query, *args, timeout=timeout))
        said = query
        if query.startswith("BEGIN"):
            _, _, rest = query.partition(";")
            said = f"BEGIN; SET LOCAL crash.now = '{PinnedConnection.instant().isoformat()}';{rest}"
        result = str(await super().execute(said, timeout=timeout))
        if PinnedConnection.trace is not None:
            PinnedConnection.trace.add("sql", said[:5], result)
        return result

    async def _execute(self, query: str, args: tuple[object, ...], *rest: Any, **kw: Any) -> Any:
        if not self.is_in_transaction():
            await super().execute(f"SET crash.now = '{PinnedConnection.instant().isoformat()}'")
        trace = PinnedConnection.trace
        try:
            result = await super()._execute(query, args, *rest, **kw)
        except Exception as error:
            if trace is not None:
                trace.add("sql", _short(query), args, error)
            raise
        if trace is not None:
            trace.add("sql", _short(query), args, result)
        return result


@cache
def _short(query: str) -> str:
    return " ".join(query.split())[:60]


def pinned_engine(url: str, *, name: str) -> AsyncEngine:
    engine = make_engine(url, pool_size=2, name=name)

    @event.listens_for(engine.sync_engine, "do_connect")
    def _use_pinned(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        parameters["connection_class"] = PinnedConnection

    return engine


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All rows of one tenant, and what the house's book says of it."""

    tables: Mapping[str, list[Row]]

    def __getitem__(self, table: str) -> list[Row]:
        return self.tables[table]


class Database:
    """One database, used by one process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.app = pinned_engine(role_url(url, APP_ROLE), name="crash serve")
        self.work = pinned_engine(role_url(url, WORK_ROLE), name="crash work")
        self.owner: Any = None

    async def open(self) -> None:
        self.owner = await asyncpg.connect(self._url)
        await self.owner.execute("SET synchronous_commit = off")

    async def close(self) -> None:
        await self.app.dispose()
        await self.work.dispose()
        await self.owner.close()

    async def forget_queues(self) -> None:
        await self.owner.execute(_FORGET)

    async def new_tenant(
        self,
        tenant_id: TenantId,
        customer_id: CustomerId,
        api_key_id: ApiKeyId,
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
        )

    async def backlog(self, tenant_id: TenantId, consumer: str) -> int:
        """Return how many events are still on their way."""
        return int(await self.owner.fetchval(_BACKLOG, tenant_id.uuid, consumer))

    async def snapshot(self, tenant_id: TenantId) -> Snapshot:
        found = await self.owner.fetchval(_SNAPSHOT, tenant_id.uuid, str(tenant_id))
        return Snapshot(json.loads(found))


async def prepare(url: str, copies: int) -> list[str]:
    """Pin the clock of a migrated database and copy it; return the URL of each copy."""
    owner = await asyncpg.connect(url)
    await owner.execute("SET ROLE reli_owner; " + _PIN)
    await owner.close()
    admin = await asyncpg.connect(_named(url, "postgres"))
    names = [f"crash_{number}" for number in range(copies)]
    source = urlsplit(url).path.lstrip("/")
    for name in names:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
    await admin.close()
    return [_named(url, name) for name in names]


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
