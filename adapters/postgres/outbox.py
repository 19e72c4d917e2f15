"""The outbox: written in the change's transaction, stamped after it, read by the relay."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.lease import held
from adapters.postgres.scope import Scope
from adapters.postgres.share import EVEN_SHARE
from adapters.postgres.write import Write, arrays, write_rows
from adapters.wire.event import event_bytes, stamped
from domain.event import Event
from domain.ids import EventId, TenantId
from ports.bus import (
    REPUBLISHED,
    Bus,
    BusEmpty,
    BusUnavailable,
    OutboxReader,
    Sequencer,
    StampedEvent,
)
from ports.lease import Lease
from ports.outbox import Outbox

_SLACK: Final = timedelta(hours=1)
"""Far longer than any event waits for its commit: of two events whose ids are further apart, the
older one has the lower sequence."""

WAKE_CHANNEL: Final = "reli_events"
"""On which the sequencer names each tenant that has new events, with the commit that shows them."""

_log = logging.getLogger("reli.outbox")

_ADD = f"""
events AS (
    INSERT INTO core.outbox (tenant_id, id, type, subject, payload, recorded_at)
    SELECT $1, e.*, core.now()
    FROM {arrays("id uuid, type text, subject text, payload bytea")} AS e
)
"""

_STAMP = "SELECT core.stamp_events($1, $2, $3, $4)"

_HAS_UNPUBLISHED = "SELECT EXISTS (SELECT FROM core.event_heads WHERE published < last)"

# The furthest behind first, so that nobody is left out for long.
_UNPUBLISHED: Final = f"""
WITH behind AS (
    SELECT tenant_id, published, least(last - published, $1) AS waiting
    FROM core.event_heads WHERE published < last ORDER BY last - published DESC LIMIT $1
), next AS (
    SELECT o.* FROM behind CROSS JOIN LATERAL (
        SELECT tenant_id, id, sequence, type, payload, recorded_at FROM core.outbox
        WHERE tenant_id = behind.tenant_id AND sequence > behind.published
        ORDER BY sequence LIMIT ({EVEN_SHARE})
    ) AS o
    ORDER BY o.sequence - behind.published, o.tenant_id LIMIT $1
)
SELECT * FROM next ORDER BY tenant_id, sequence
"""

# Heads are locked in the order in which the sequencer locks them.
_PUBLISHED = """
WITH heads AS MATERIALIZED (
    SELECT tenant_id FROM core.event_heads WHERE tenant_id = ANY($1)
    ORDER BY tenant_id FOR NO KEY UPDATE
)
UPDATE core.event_heads AS h SET published = p.sequence
FROM heads JOIN unnest($1::uuid[], $2::bigint[]) AS p (tenant_id, sequence) USING (tenant_id)
WHERE h.tenant_id = heads.tenant_id
"""

# By the time in the keys, which are UUIDv7: each tenant is one look at an index.
_PUBLISH_AGAIN = """
WITH heads AS MATERIALIZED (
    SELECT tenant_id FROM core.event_heads ORDER BY tenant_id FOR NO KEY UPDATE
), firsts AS (
    SELECT tenant_id, (
        SELECT o.sequence FROM core.outbox AS o
        WHERE o.tenant_id = heads.tenant_id AND o.id >= core.uuid_at($1) AND o.sequence IS NOT NULL
        ORDER BY o.id LIMIT 1) AS sequence
    FROM heads
)
UPDATE core.event_heads AS h SET published = firsts.sequence - 1
FROM firsts WHERE h.tenant_id = firsts.tenant_id AND firsts.sequence <= h.published
RETURNING old.published - new.published AS events
"""


class PostgresOutbox(Outbox):
    """The outbox of the tenant in scope, to write."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def add(self, *events: Event) -> None:
        if events:
            await write_rows(self._scope, [new_events(events)])


def new_events(events: Sequence[Event]) -> Write:
    """Store events of one tenant."""
    arguments = (
        [event.id for event in events],
        [event.type for event in events],
        [str(event.subject) for event in events],
        [event_bytes(event) for event in events],
    )
    return Write(_ADD, arguments, only_adds=True)


class PostgresSequencer(Sequencer):
    """Stamps set-wise; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def stamp(self, lease: Lease, *, limit: int) -> int:
        async with borrowed_driver(self._engine) as driver:
            stamped: int = await driver.fetchval(
                _STAMP, lease.name, lease.token, limit, WAKE_CHANNEL
            )
        return stamped


class PostgresOutboxReader(OutboxReader):
    """The outbox of all tenants, to read; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def relay(self, lease: Lease, bus: Bus, *, limit: int) -> int:
        try:
            # Also when there is nothing to publish: a bus that was wiped is to be filled again.
            await bus.open()
            return await self._relay(lease, bus, limit=limit)
        except BusEmpty:
            # In this order: whoever dies in between leaves a bus that is still seen to be empty.
            if await self._publish_again(lease):
                await bus.begin_anew()
            return 0

    async def _relay(self, lease: Lease, bus: Bus, *, limit: int) -> int:
        async with held(self._engine, lease, if_any=_HAS_UNPUBLISHED) as driver:
            if driver is None:
                return 0
            events = [stamped_event(row) for row in await driver.fetch(_UNPUBLISHED, limit)]
            published, failure = await _publish(bus, events)
            latest = {event.tenant_id.uuid: event.sequence for event in published}
            if latest:
                await driver.execute(_PUBLISHED, list(latest), list(latest.values()))
        if failure is not None:
            raise failure
        return len(published)

    async def _publish_again(self, lease: Lease) -> bool:
        """Make what was published unpublished; return whether the lease is ours."""
        async with held(self._engine, lease) as driver:
            if driver is None:
                return False
            now: datetime = await driver.fetchval("SELECT core.now()")
            heads = await driver.fetch(_PUBLISH_AGAIN, now - REPUBLISHED - _SLACK)
        if lost := sum(head["events"] for head in heads):
            _log.warning("the bus was empty: %d events are published again", lost)
        return True


def stamped_event(row: Any) -> StampedEvent:
    """Return the event of a row, as every view of the log shows it."""
    return StampedEvent(
        id=EventId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        sequence=row["sequence"],
        type=row["type"],
        payload=stamped(row["payload"], sequence=row["sequence"], stored_at=row["recorded_at"]),
    )


async def _publish(
    bus: Bus, events: Sequence[StampedEvent]
) -> tuple[Sequence[StampedEvent], BusUnavailable | None]:
    """Publish all at once, in order; return those up to the first that the bus did not take.

    What the bus took after that one is published again, and dropped there by its id.
    """
    try:
        if await bus.publish_together(events):
            return events, None
    except BusUnavailable as error:
        return (), error
    answers = await asyncio.gather(
        *(bus.publish(event) for event in events), return_exceptions=True
    )
    for position, answer in enumerate(answers):
        if isinstance(answer, BusUnavailable):
            return events[:position], answer
        if answer is not None:
            raise answer
    return events, None
