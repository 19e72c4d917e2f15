"""The event log, read by position; and the inbox, written with the effect."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.scope import Scope
from adapters.postgres.share import EVEN_SHARE
from domain.ids import EventId, TenantId
from ports.consumer import EventFeed, Inbox, LoggedEvent

# The furthest behind first, so that nobody is left out for long.
_NEXT: Final = f"""
WITH behind AS (
    SELECT h.tenant_id, coalesce(p.sequence, 0) AS passed, coalesce(p.failures, 0) AS failures,
        least(h.last - coalesce(p.sequence, 0), $1) AS waiting
    FROM core.event_heads AS h
    LEFT JOIN core.consumer_positions AS p
        ON p.consumer = $2 AND p.source_tenant_id = h.tenant_id
    WHERE h.last > coalesce(p.sequence, 0)
    ORDER BY h.last - coalesce(p.sequence, 0) DESC LIMIT $1
), next AS (
    SELECT o.*, CASE o.sequence WHEN behind.passed + 1 THEN behind.failures ELSE 0 END AS failures
    FROM behind CROSS JOIN LATERAL (
        SELECT tenant_id, id, sequence, type, subject FROM core.outbox
        WHERE tenant_id = behind.tenant_id AND sequence > behind.passed
        ORDER BY sequence LIMIT ({EVEN_SHARE})
    ) AS o
    ORDER BY o.sequence - behind.passed, o.tenant_id LIMIT $1
)
SELECT * FROM next ORDER BY tenant_id, sequence
"""

_START = """
INSERT INTO core.consumer_positions (consumer, source_tenant_id)
SELECT $1, tenant_id FROM unnest($2::uuid[]) AS t (tenant_id) ORDER BY tenant_id
ON CONFLICT DO NOTHING
"""

_COUNT_FAILURE = """
UPDATE core.consumer_positions SET failures = failures + 1
WHERE consumer = $1 AND source_tenant_id = $2 AND sequence = $3 - 1
"""

# The row lock makes two workers at the same event take turns; the second one moves nothing.
_ADVANCE = """
UPDATE core.consumer_positions SET sequence = $4, failures = 0
WHERE consumer = $1 AND source_tenant_id = $2 AND sequence = $3 - 1
RETURNING true
"""

# Rows are locked in one order, so that two workers do not wait for each other.
_PASS_OVER = """
WITH positions AS MATERIALIZED (
    SELECT p.source_tenant_id, s.last
    FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS s (tenant_id, first, last)
    JOIN core.consumer_positions AS p ON p.consumer = $1 AND p.source_tenant_id = s.tenant_id
        AND p.sequence = s.first - 1
    ORDER BY p.source_tenant_id FOR NO KEY UPDATE OF p
)
UPDATE core.consumer_positions AS p SET sequence = n.last, failures = 0
FROM positions AS n WHERE p.consumer = $1 AND p.source_tenant_id = n.source_tenant_id
"""

_RECEIVE = """
INSERT INTO core.inbox (tenant_id, consumer, event_id, recorded_at)
SELECT $1, $2, event_id, core.now() FROM unnest($3::uuid[]) AS e (event_id)
"""

_NOTE = """
INSERT INTO core.inbox (tenant_id, consumer, event_id, recorded_at)
VALUES ($1, $2, $3, core.now())
ON CONFLICT DO NOTHING
RETURNING true
"""


class PostgresEventFeed(EventFeed):
    """Its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def next_events(self, consumer: str, *, limit: int) -> Sequence[LoggedEvent]:
        async with borrowed_driver(self._engine) as driver:
            rows = await driver.fetch(_NEXT, limit, consumer)
        return [
            LoggedEvent(
                id=EventId(row["id"]),
                tenant_id=TenantId(row["tenant_id"]),
                sequence=row["sequence"],
                type=row["type"],
                subject=row["subject"],
                failures=row["failures"],
            )
            for row in rows
        ]

    async def pass_over(self, consumer: str, stretches: Sequence[Sequence[LoggedEvent]]) -> None:
        tenants = [events[0].tenant_id.uuid for events in stretches]
        firsts = [events[0].sequence for events in stretches]
        lasts = [events[-1].sequence for events in stretches]
        async with borrowed_driver(self._engine) as driver:
            await _start(driver, consumer, [events[0] for events in stretches])
            await driver.execute(_PASS_OVER, consumer, tenants, firsts, lasts)

    async def count_failure(self, consumer: str, event: LoggedEvent) -> None:
        async with borrowed_driver(self._engine) as driver:
            await _start(driver, consumer, [event])
            await driver.execute(_COUNT_FAILURE, consumer, event.tenant_id.uuid, event.sequence)


class PostgresInbox(Inbox):
    """The inbox of the book in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def receive(
        self, consumer: str, events: Sequence[LoggedEvent], *, noted: Sequence[LoggedEvent]
    ) -> bool:
        if not await self._advance(consumer, events):
            return False
        if noted:
            await self._scope.driver.execute(
                _RECEIVE, self._scope.tenant, consumer, [event.id.uuid for event in noted]
            )
        return True

    async def pass_over(self, consumer: str, event: LoggedEvent) -> bool:
        return await self._advance(consumer, [event])

    async def note(self, consumer: str, event_id: EventId) -> bool:
        return bool(
            await self._scope.driver.fetchval(_NOTE, self._scope.tenant, consumer, event_id.uuid)
        )

    async def _advance(self, consumer: str, events: Sequence[LoggedEvent]) -> bool:
        first, last = events[0], events[-1]
        assert last.sequence - first.sequence == len(events) - 1, "events come without gaps"
        await _start(self._scope.driver, consumer, [first])
        return bool(
            await self._scope.driver.fetchval(
                _ADVANCE, consumer, first.tenant_id.uuid, first.sequence, last.sequence
            )
        )


async def _start(driver: Any, consumer: str, events: Sequence[LoggedEvent]) -> None:
    starts = [event.tenant_id.uuid for event in events if event.sequence == 1]
    if starts:
        await driver.execute(_START, consumer, starts)
