"""The outbox: written in the change's transaction, read by the relay."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.errors import translated
from adapters.postgres.scope import Scope
from adapters.wire.event import event_bytes
from domain.event import Event
from ports.bus import Bus, BusUnavailable, OutboxReader, OutboxRow
from ports.outbox import Outbox

_ADD = """
INSERT INTO core.outbox (tenant_id, id, type, subject, payload, recorded_at)
SELECT $1, id, type, subject, payload, core.now()
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[]) AS e (id, type, subject, payload)
"""

_UNPUBLISHED = """
SELECT tenant_id, id, type, payload FROM core.outbox WHERE published_at IS NULL
ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
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


class PostgresOutboxReader(OutboxReader):
    """The outbox of all tenants, to read; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def relay(self, bus: Bus, *, limit: int) -> int:
        with translated():
            async with self._engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                async with driver.transaction():
                    rows = await driver.fetch(_UNPUBLISHED, limit)
                    published, failure = await _publish(bus, rows)
                    if published:
                        await driver.execute(
                            _PUBLISHED,
                            [tenant for tenant, _ in published],
                            [id for _, id in published],
                        )
        if failure is not None:
            raise failure
        return len(published)


async def _publish(bus: Bus, rows: Any) -> tuple[list[tuple[UUID, UUID]], BusUnavailable | None]:
    published: list[tuple[UUID, UUID]] = []
    for row in rows:
        try:
            await bus.publish(
                OutboxRow(
                    tenant_id=row["tenant_id"],
                    id=row["id"],
                    type=row["type"],
                    key=str(row["id"]),
                    payload=row["payload"],
                )
            )
        except BusUnavailable as error:
            return published, error
        published.append((row["tenant_id"], row["id"]))
    return published, None
