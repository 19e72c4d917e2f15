"""The log of a tenant's events, read by sequence."""

from collections.abc import Mapping
from typing import Any, Final

from adapters.postgres.outbox import stamped_event
from adapters.postgres.scope import Scope
from domain.event import EventNotFound, EventSequenceAhead, EventsExpired
from domain.ids import EventId
from ports.bus import StampedEvent
from ports.event_log import LOOK_AT_MOST, LOOK_BYTES_MAX, EventLog, EventPage, EventRange

# One statement, so that head and events are of one instant. The ends of the range are parameters as
# they are: row security lets an index be asked for nothing that is computed from a row.
_READ = """
SELECT h.expired, h.last, o.*
FROM core.event_heads AS h
LEFT JOIN LATERAL (
    SELECT s.*, count(*) OVER () AS found,
        sum(octet_length(s.payload)) OVER (ORDER BY s.sequence) AS bytes
    FROM (
        SELECT tenant_id, id, sequence, type, payload, recorded_at FROM core.outbox
        WHERE tenant_id = $1 AND sequence > $2 AND sequence <= $3
            AND ($4::text[] IS NULL OR type = ANY($4))
        ORDER BY sequence LIMIT $5
    ) AS s
) AS o ON o.bytes <= $6::bigint OR o.bytes = octet_length(o.payload)
WHERE h.tenant_id = $1
ORDER BY o.sequence
"""

_GET = """
SELECT tenant_id, id, sequence, type, payload, recorded_at FROM core.outbox
WHERE tenant_id = $1 AND id = $2 AND sequence IS NOT NULL
"""

_LAST = "SELECT last FROM core.event_heads WHERE tenant_id = $1"

_EXPIRED = "SELECT expired FROM core.event_heads WHERE tenant_id = $1"

_NO_EVENTS: Final = {"expired": 0, "last": 0, "id": None, "found": None}
_NO_END: Final = 2**63 - 1


class PostgresEventLog(EventLog):
    """The events of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def read(self, range: EventRange, *, limit: int) -> EventPage:
        after = await self._head(_EXPIRED) if range.after is None else range.after
        end = min(_NO_END if range.until is None else range.until, after + LOOK_AT_MOST)
        rows = await self._scope.driver.fetch(
            _READ,
            self._scope.tenant,
            after,
            min(end, _NO_END),
            sorted(range.types) or None,
            limit,
            LOOK_BYTES_MAX,
        )
        head: Mapping[str, Any] = rows[0] if rows else _NO_EVENTS
        _require_kept(after, expired=head["expired"], last=head["last"])
        events = tuple(stamped_event(row) for row in rows if row["id"] is not None)
        is_cut = len(events) == limit or len(events) < (head["found"] or 0)
        return EventPage(
            events=events,
            position=events[-1].sequence if is_cut else max(after, min(end, head["last"])),
            last=head["last"],
        )

    async def get(self, event_id: EventId) -> StampedEvent:
        row = await self._scope.driver.fetchrow(_GET, self._scope.tenant, event_id.uuid)
        if row is None:
            raise EventNotFound("no such event", event_id=event_id)
        return stamped_event(row)

    async def last(self) -> int:
        return await self._head(_LAST)

    async def _head(self, query: str) -> int:
        number: int | None = await self._scope.driver.fetchval(query, self._scope.tenant)
        return number or 0


def _require_kept(after: int, *, expired: int, last: int) -> None:
    """Raise `EventsExpired` or `EventSequenceAhead` for a place that is not in the log."""
    if after < expired:
        oldest = expired + 1
        raise EventsExpired(
            f"events are kept from {oldest} on", field="after", after=after, oldest=oldest
        )
    if after > last:
        raise EventSequenceAhead(
            f"the latest event is {last}", field="after", after=after, last=last
        )
