"""Follows the event log with one consumer."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from app.usecase.event.bury_event import BuryEvent
from domain.errors import DomainError, may_pass
from ports.consumer import EventFeed, LoggedEvent

BATCH = 500
MAX_FAILURES = 10

_log = logging.getLogger("reli.follow")


@dataclass(frozen=True, slots=True)
class EventFollower:
    """Reads the table and not the bus: a bus that lost everything costs nothing but time.

    A tenant's events are dealt with together while that works, and one by one when it does not. An
    event that fails ten times is buried as a dead letter, so that it does not hold up the rest.

    Attributes:
        consumer: the name under which positions and failures are kept.
        deal_with: has the effect of successive events of one tenant, once.
    """

    consumer: str
    feed: EventFeed
    deal_with: Callable[[Sequence[LoggedEvent]], Awaitable[None]]
    bury_event: BuryEvent

    async def __call__(self) -> bool:
        events = await self.feed.next_events(self.consumer, limit=BATCH)
        all_went_well = True
        waiting: DomainError | None = None
        for _, group in groupby(events, key=lambda event: event.tenant_id):
            try:
                all_went_well &= await self._deal_with(list(group))
            except DomainError as error:
                waiting = error  # one tenant's busy rows hold up no other tenant
        if waiting is not None:
            raise waiting
        return len(events) == BATCH and all_went_well

    async def _deal_with(self, events: Sequence[LoggedEvent]) -> bool:
        """Return whether every event of the tenant was dealt with.

        Raises `DatabaseBusy` or `DatabaseUnavailable`, which are no fault of the events.
        """
        try:
            await self.deal_with(events)
        except Exception as error:
            if may_pass(error):
                raise
            if len(events) == 1:
                return await self._fail(events[0], error)
            for event in events:
                if not await self._deal_with([event]):
                    return False
        return True

    async def _fail(self, event: LoggedEvent, error: Exception) -> bool:
        """Count the failure; return whether the event is buried and the next one may follow."""
        _log.warning("%s failed at %s: %s", self.consumer, event.id, error)
        await self.feed.count_failure(self.consumer, event)
        if event.failures + 1 < MAX_FAILURES:
            return False
        _log.error("ALERT %s cannot deal with %s: it is a dead letter now", self.consumer, event.id)
        await self.bury_event(self.consumer, event, f"{type(error).__name__}: {error}")
        return True
