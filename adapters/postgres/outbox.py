"""The outbox: written in the change's transaction, stamped after it, read by the relay."""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.errors import translated
from adapters.postgres.lease import hold
from adapters.postgres.scope import Scope
from adapters.wire.event import event_bytes, with_sequence
from domain.event import Event
from domain.ids import EventId, TenantId
from ports.bus import Bus, BusUnavailable, OutboxReader, Sequencer, StampedEvent
from ports.lease import Lease
from ports.outbox import Outbox

_ADD = """
INSERT INTO core.outbox (tenant_id, id, type, subject, payload, recorded_at)
SELECT $1, id, type, subject, payload, core.now()
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[]) AS e (id, type, subject, payload)
"""

_STAMP = """
WITH batch AS (
    SELECT tenant_id, id,
        row_number() OVER (PARTITION BY tenant_id ORDER BY recorded_at, id) AS position
    FROM (
        SELECT tenant_id, id, recorded_at FROM core.outbox WHERE sequence IS NULL
        ORDER BY recorded_at, id LIMIT $1
    ) AS oldest
), counts AS (
    SELECT tenant_id, count(*) AS events FROM batch GROUP BY tenant_id
), heads AS (
    INSERT INTO core.event_heads AS h (tenant_id, last)
    SELECT tenant_id, events FROM counts ORDER BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET last = h.last + EXCLUDED.last
    RETURNING tenant_id, last
)
UPDATE core.outbox AS o SET sequence = heads.last - counts.events + batch.position
FROM batch JOIN counts USING (tenant_id) JOIN heads USING (tenant_id)
WHERE o.tenant_id = batch.tenant_id AND o.id = batch.id AND o.sequence IS NULL
"""

_UNPUBLISHED = """
SELECT tenant_id, id, sequence, type, payload FROM core.outbox
WHERE sequence IS NOT NULL AND published_at IS NULL
ORDER BY tenant_id, sequence LIMIT $1
"""

_PUBLISHED = """
UPDATE core.outbox SET published_at = core.now()
FROM unnest($1::uuid[], $2::uuid[]) AS p (tenant_id, id)
WHERE outbox.tenant_id = p.tenant_id AND outbox.id = p.id
"""


class PostgresOutbox(Outbox):
    """The outbox of the tenant in scope, to write."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def add(self, *events: Event) -> None:
        await self._scope.driver.execute(
            _ADD,
            self._scope.tenant,
            [event.id.uuid for event in events],
            [event.type for event in events],
            [str(event.subject) for event in events],
            [event_bytes(event) for event in events],
        )


class PostgresSequencer(Sequencer):
    """Stamps set-wise; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def stamp(self, lease: Lease, *, limit: int) -> int:
        with translated():
            async with self._engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                async with driver.transaction():
                    if not await hold(driver, lease):
                        return 0
                    status: str = await driver.execute(_STAMP, limit)
        return int(status.rpartition(" ")[2])


class PostgresOutboxReader(OutboxReader):
    """The outbox of all tenants, to read; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def relay(self, lease: Lease, bus: Bus, *, limit: int) -> int:
        with translated():
            async with self._engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                async with driver.transaction():
                    if not await hold(driver, lease):
                        return 0
                    events = [_event(row) for row in await driver.fetch(_UNPUBLISHED, limit)]
                    published, failure = await _publish(bus, events)
                    if published:
                        await driver.execute(
                            _PUBLISHED,
                            [event.tenant_id.uuid for event in published],
                            [event.id.uuid for event in published],
                        )
        if failure is not None:
            raise failure
        return len(published)


def _event(row: Any) -> StampedEvent:
    return StampedEvent(
        id=EventId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        sequence=row["sequence"],
        type=row["type"],
        payload=with_sequence(row["payload"], row["sequence"]),
    )


async def _publish(
    bus: Bus, events: Sequence[StampedEvent]
) -> tuple[Sequence[StampedEvent], BusUnavailable | None]:
    """Publish all at once, in order; return those up to the first that the bus did not take.

    What the bus took after that one is published again, and dropped there by its id.
    """
    answers = await asyncio.gather(
        *(bus.publish(event) for event in events), return_exceptions=True
    )
    for position, answer in enumerate(answers):
        if isinstance(answer, BusUnavailable):
            return events[:position], answer
        if answer is not None:
            raise answer
    return events, None
