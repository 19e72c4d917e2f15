"""Follows the event log with one consumer."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from app.usecase.event.bury_event import BuryEvent
from domain.errors import DomainError, may_pass
from ports.consumer import EventFeed, LoggedEvent

BATCH = 500
MAX_FAILURES = 10

_log = logging.getLogger("reli.follow")


class DealWith(Protocol):
    """Has the effect of successive events of one tenant, once.

    Attributes:
        types: of the events that may have one.
    """

    @property
    def types(self) -> frozenset[str]: ...

    async def __call__(self, events: Sequence[LoggedEvent]) -> None: ...


@dataclass(frozen=True, slots=True)
class EventFollower:
    """Reads the table and not the bus: a bus that lost everything costs nothing but time.

    A tenant's events are dealt with together while that works, and one by one when it does not. An
    event that fails ten times is buried as a dead letter, so that it does not hold up the rest.
    Tenants with nothing but events that have no effect are passed over all together.

    Attributes:
        consumer: the name under which positions and failures are kept.
    """

    consumer: str
    feed: EventFeed
    deal_with: DealWith
    bury_event: BuryEvent

    async def __call__(self) -> bool:
        events = await self.feed.next_events(self.consumer, limit=BATCH)
        idle: list[list[LoggedEvent]] = []
        busy: list[list[LoggedEvent]] = []
        for _, stretch in groupby(events, key=lambda event: event.tenant_id):
            group = list(stretch)
            has_effect = any(event.type in self.deal_with.types for event in group)
            (busy if has_effect else idle).append(group)
        if idle:
            await self.feed.pass_over(self.consumer, idle)
        all_went_well = True
        waiting: DomainError | None = None
        for group in busy:
            try:
                all_went_well &= await self._deal_with(group)
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
