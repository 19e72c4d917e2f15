"""Reading a tenant's log of events."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

from domain.ids import EventId, TenantId
from ports.bus import StampedEvent
from ports.clock import Clock
from ports.event_log import EventPage, EventRange, EventWakes
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """Shows an event in the same words as every other view of the log does."""

    units_of_work: UnitOfWorkFactory
    wakes: EventWakes
    clock: Clock

    async def get(self, tenant_id: TenantId, event_id: EventId) -> StampedEvent:
        """Return an event; raises `EventNotFound`."""
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.event_log.get(event_id)

    async def list(
        self, tenant_id: TenantId, range: EventRange, *, limit: int, wait: timedelta = timedelta()
    ) -> EventPage:
        """Return the next events; where there are none, wait for some.

        Raises `EventsExpired` or `EventSequenceAhead`.
        """
        wait_until = self.clock.monotonic() + wait.total_seconds()
        while True:
            wake = self.wakes.next_of(tenant_id)  # before the look, or it could be missed
            async with self.units_of_work.begin(tenant_id) as uow:
                page = await uow.event_log.read(range, limit=limit)
            left_s = wait_until - self.clock.monotonic()
            if page.events or left_s <= 0 or range.ends_at(page.position):
                return page
            range = replace(range, after=page.position)
            if page.position == page.last:
                await asyncio.wait({wake}, timeout=left_s)

    async def last(self, tenant_id: TenantId) -> int:
        """Return the latest sequence of the log."""
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.event_log.last()
