"""The snapshot of all tenants' rows that an audit looks at."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from adapters.postgres.audit import (
    audit_log,
    chain,
    close,
    event,
    house,
    ledger,
    liability,
    lp_settlement,
    quote,
    receipt,
    reconciliation,
    reference,
    request,
    trade,
)
from adapters.postgres.audit.probe import ID_OF, ConnectionProbe, SqlProbe
from domain.amount import Amount
from domain.asset import Asset
from domain.ids import AttemptId, TenantId
from domain.reconciliation.break_ import BreakKind
from domain.side import Side
from domain.trade.attempt import AttemptState
from ports.audit import (
    SHOWN,
    AuditableBooks,
    AuditedAttempt,
    AuditedLateFill,
    AuditImpossible,
    BooksSnapshot,
    Finding,
    Probe,
    Violation,
)

PROBES: Final = (
    *ledger.PROBES,
    *quote.PROBES,
    *trade.PROBES,
    *receipt.PROBES,
    *request.PROBES,
    *event.PROBES,
    *audit_log.PROBES,
    *chain.PROBES,
    *liability.PROBES,
    *close.PROBES,
    *house.PROBES,
    *lp_settlement.PROBES,
    *reconciliation.PROBES,
    *reference.PROBES,
)

# Every probe reads whole tables once. Statistics of the moment must not talk the planner into
# joins that are fine for ten rows and endless for a million.
_SETTINGS: Final = {
    "enable_mergejoin": "off",
    "enable_nestloop": "off",
    "hash_mem_multiplier": "4",
    "jit": "off",
    "lock_timeout": "10s",
    "min_parallel_table_scan_size": "0",
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0.001",
    "random_page_cost": "1.1",
    # Rather an error than rows that a policy leaves out.
    "row_security": "off",
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "work_mem": "64MB",
}

READERS: Final = 2
"""Connections that look at the same instant; each statement may have helpers of its own."""

_MAY_READ: Final = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"

# The worst offenders are counted on the server; only those that are shown come here.
_SHOWN: Final = """
SELECT * FROM (
    SELECT v.*, count(*) OVER (PARTITION BY check_id) AS broken,
        row_number() OVER (PARTITION BY check_id ORDER BY tenant_id, in_table, id, part) AS place
    FROM ({probe}) AS v
) AS v WHERE place <= {shown} ORDER BY check_id, place
"""

_LPS: Final = "SELECT DISTINCT lp FROM core.attempts WHERE sent_at IS NOT NULL ORDER BY lp"

_ATTEMPTS: Final = f"""
SELECT a.tenant_id, a.id, a.state, a.lp_reference, a.venue_order_id, a.filled_units, t.side,
    t.base_units, i.base_asset, b.scale AS base_scale, i.quote_asset, q.scale AS quote_scale,
    k.venue_order_id AS late_order_id, k.base_units AS late_base_units, k.units AS late_units
FROM core.attempts AS a
JOIN core.trades AS t ON t.tenant_id = a.tenant_id AND t.id = a.trade_id
JOIN core.instruments AS i ON i.code = t.instrument
JOIN core.assets AS b ON b.code = i.base_asset
JOIN core.assets AS q ON q.code = i.quote_asset
LEFT JOIN core.breaks AS k ON k.tenant_id = a.tenant_id AND k.trade_id = a.trade_id
    AND k.attempt = a.number AND k.kind = '{BreakKind.LATE_FILL}'
WHERE a.lp = $1
"""


class PostgresBooks(AuditableBooks):
    """Looks with the URL of the migrations, whose role sees all tenants."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[BooksSnapshot]:
        async with AsyncExitStack() as stack:
            try:
                connections = [await self._connect(stack) for _ in range(READERS)]
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                raise AuditImpossible(f"the database cannot be reached: {error}") from error
            try:
                async with AsyncExitStack() as transactions:
                    for one in connections:
                        transaction = one.transaction(isolation="repeatable_read", readonly=True)
                        await transactions.enter_async_context(transaction)
                    first, *others = connections
                    exported = await first.fetchval("SELECT pg_export_snapshot()")
                    for other in others:
                        await other.execute(f"SET TRANSACTION SNAPSHOT '{exported}'")
                    yield await open_snapshot(*connections)
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                raise AuditImpossible(f"the database gave up: {error}") from error

    async def _connect(self, stack: AsyncExitStack) -> Any:
        connection = await asyncpg.connect(
            self._database_url,
            timeout=5,
            server_settings={"application_name": "reli audit", "timezone": "UTC"},
        )
        stack.push_async_callback(connection.close)
        return connection


async def open_snapshot(*connections: Any) -> "PostgresSnapshot":
    """Return what open transactions see, all of them the same, or raise `AuditImpossible`."""
    connection = connections[0]
    if not await connection.fetchval(_MAY_READ):
        raise AuditImpossible(
            "the role of the database URL must be able to read all tenants: "
            "a superuser, or one with BYPASSRLS"
        )
    if await connection.fetchval("SELECT to_regclass('core.environment') IS NULL"):
        raise AuditImpossible("the database was never migrated")
    for each in connections:
        for name, value in _SETTINGS.items():
            await each.execute(f"SET LOCAL {name} = '{value}'")
    row = await connection.fetchrow("SELECT core.now() AS now, house_id FROM core.environment")
    return PostgresSnapshot(connections, row["now"], row["house_id"])


class PostgresSnapshot(BooksSnapshot):
    """One instant, seen by one or more connections."""

    def __init__(self, connections: Sequence[Any], now: datetime, house_id: UUID) -> None:
        self._connection = connections[0]
        self._idle = list(connections)
        self._readers = len(connections)
        self._now = now
        self._house_id = house_id
        self._rows: dict[str, int] = {}

    @property
    def probes(self) -> Sequence[Probe]:
        # What takes more than a statement takes longest, and keeps one processor busy.
        return sorted(PROBES, key=lambda probe: not isinstance(probe, ConnectionProbe))

    @property
    def readers(self) -> int:
        return self._readers

    async def examine(self, probe: Probe) -> Sequence[Finding]:
        connection = self._idle.pop()
        try:
            if isinstance(probe, ConnectionProbe):
                return await probe.examine(connection)
            assert isinstance(probe, SqlProbe)
            return await self._ask(connection, probe)
        finally:
            self._idle.append(connection)

    async def _ask(self, connection: Any, probe: SqlProbe) -> Sequence[Finding]:
        looked_at = sum([await self._count(connection, table) for table in probe.counted])
        query = _SHOWN.format(probe=probe.sql, shown=SHOWN)
        query = query.replace(":now", f"'{self._now.isoformat()}'::timestamptz")
        query = query.replace(":house", f"'{self._house_id}'::uuid")
        found = await connection.fetch(query)
        findings = []
        for check in probe.checks:
            rows = [row for row in found if row["check_id"] == check.id]
            findings.append(
                Finding(
                    check=check,
                    looked_at=looked_at,
                    broken=rows[0]["broken"] if rows else 0,
                    violations=tuple(map(_violation, rows)),
                )
            )
        return findings

    async def lps(self) -> Sequence[str]:
        return [row["lp"] for row in await self._connection.fetch(_LPS)]

    async def attempts(self, lp: str) -> AsyncIterator[AuditedAttempt]:
        # A numeric comes as a Decimal, which is exact as long as nothing is computed with it.
        async for row in self._connection.cursor(_ATTEMPTS, lp, prefetch=1_000):
            filled = row["filled_units"]
            base = Asset(row["base_asset"], row["base_scale"])
            quote = Asset(row["quote_asset"], row["quote_scale"])
            yield AuditedAttempt(
                tenant_id=TenantId(row["tenant_id"]),
                id=AttemptId(row["id"]),
                state=AttemptState(row["state"]),
                lp_reference=row["lp_reference"],
                venue_order_id=row["venue_order_id"],
                side=Side(row["side"]),
                base=Amount(base, int(row["base_units"])),
                filled=None if filled is None else Amount(quote, int(filled)),
                late_fill=(
                    None
                    if row["late_order_id"] is None
                    else AuditedLateFill(
                        order_id=row["late_order_id"],
                        base=Amount(base, int(row["late_base_units"])),
                        quote=Amount(quote, int(row["late_units"])),
                    )
                ),
            )

    async def _count(self, connection: Any, table: str) -> int:
        if table not in self._rows:
            self._rows[table] = await connection.fetchval(f"SELECT count(*) FROM core.{table}")
        return self._rows[table]


def _violation(row: Any) -> Violation:
    table, id, part = row["in_table"], row["id"], row["part"]
    kind = ID_OF.get(table)
    name = "" if id is None else str(kind(id) if kind else id)
    return Violation(
        tenant_id=TenantId(row["tenant_id"]) if row["tenant_id"] else None,
        table=table,
        id=" ".join(text for text in (name, part) if text),
        expected=row["expected"] or "",
        found=row["found"] or "",
    )
