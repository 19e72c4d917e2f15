"""The log of a tenant's events, read by sequence."""

from typing import Any, Final

from adapters.postgres.outbox import stamped_event
from adapters.postgres.scope import Scope
from domain.event import EventNotFound, EventSequenceAhead, EventsExpired
from domain.ids import EventId
from ports.bus import StampedEvent
from ports.event_log import LOOK_AT_MOST, LOOK_BYTES_MAX, EventLog, EventPage, EventRange

# One statement, so that head and events are of one instant.
_READ = """
SELECT h.expired, h.last, r.after, r.end, o.found,
    o.tenant_id, o.id, o.sequence, o.type, o.payload, o.recorded_at
FROM core.event_heads AS h
CROSS JOIN LATERAL (
    SELECT coalesce($2::bigint, h.expired) AS after,
        least(h.last, $3::bigint, least(coalesce($2::bigint, h.expired), h.last) + $6) AS end
) AS r
LEFT JOIN LATERAL (
    SELECT s.*, count(*) OVER () AS found,
        sum(octet_length(s.payload)) OVER (ORDER BY s.sequence) AS bytes
    FROM (
        SELECT tenant_id, id, sequence, type, payload, recorded_at FROM core.outbox
        WHERE tenant_id = h.tenant_id AND sequence > r.after AND sequence <= r.end
            AND ($4::text[] IS NULL OR type = ANY($4))
        ORDER BY sequence LIMIT $5
    ) AS s
) AS o ON o.bytes <= $7::bigint OR o.bytes = octet_length(o.payload)
WHERE h.tenant_id = $1
ORDER BY o.sequence
"""

_GET = """
SELECT tenant_id, id, sequence, type, payload, recorded_at FROM core.outbox
WHERE tenant_id = $1 AND id = $2 AND sequence IS NOT NULL
"""

_NO_EVENTS: Final = {"expired": 0, "last": 0, "end": 0, "found": 0}

_LAST = "SELECT last FROM core.event_heads WHERE tenant_id = $1"


class PostgresEventLog(EventLog):
    """The events of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def read(self, range: EventRange, *, limit: int) -> EventPage:
        rows = await self._scope.driver.fetch(
            _READ,
            self._scope.tenant,
            range.after,
            range.until,
            sorted(range.types) or None,
            limit,
            LOOK_AT_MOST,
            LOOK_BYTES_MAX,
        )
        head = rows[0] if rows else _NO_EVENTS | {"after": range.after or 0}
        _require_kept(head)
        events = tuple(stamped_event(row) for row in rows if row["id"] is not None)
        is_cut = len(events) == limit or len(events) < (head["found"] or 0)
        return EventPage(
            events=events,
            position=events[-1].sequence if is_cut else max(head["after"], head["end"]),
            last=head["last"],
        )

    async def get(self, event_id: EventId) -> StampedEvent:
        row = await self._scope.driver.fetchrow(_GET, self._scope.tenant, event_id.uuid)
        if row is None:
            raise EventNotFound("no such event", event_id=event_id)
        return stamped_event(row)

    async def last(self) -> int:
        last: int | None = await self._scope.driver.fetchval(_LAST, self._scope.tenant)
        return last or 0


def _require_kept(head: Any) -> None:
    """Raise `EventsExpired` or `EventSequenceAhead` for a place that is not in the log."""
    after, oldest, last = head["after"], head["expired"] + 1, head["last"]
    if after + 1 < oldest:
        raise EventsExpired(
            f"events are kept from {oldest} on", field="after", after=after, oldest=oldest
        )
    if after > last:
        raise EventSequenceAhead(
            f"the latest event is {last}", field="after", after=after, last=last
        )
