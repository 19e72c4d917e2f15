"""Follows the event log into the house's book."""

import logging
from dataclasses import dataclass

from app.usecase.house.mirror_trade import CONSUMER, MirrorTrade
from domain.errors import DomainError, Retry
from ports.consumer import EventFeed, LoggedEvent

BATCH = 200
MAX_FAILURES = 10

_log = logging.getLogger("reli.house")


@dataclass(frozen=True, slots=True)
class HouseBook:
    """Reads the table and not the bus: a bus that lost everything costs nothing but time.

    An event that fails ten times is buried as a dead letter, so that it does not hold up the rest.
    """

    feed: EventFeed
    mirror_trade: MirrorTrade

    async def __call__(self) -> bool:
        events = await self.feed.next_events(CONSUMER, limit=BATCH)
        stuck = set()
        for event in events:
            if event.tenant_id not in stuck and not await self._deal_with(event):
                stuck.add(event.tenant_id)
        return len(events) == BATCH and not stuck

    async def _deal_with(self, event: LoggedEvent) -> bool:
        """Return whether the tenant's next event may follow."""
        try:
            await self.mirror_trade(event)
        except Exception as error:
            if isinstance(error, DomainError) and error.retry is not Retry.NEVER:
                return False  # the database was busy or away; that is no fault of the event
            _log.warning("%s failed at %s: %s", CONSUMER, event.id, error)
            await self.feed.count_failure(CONSUMER, event)
            if event.failures + 1 < MAX_FAILURES:
                return False
            _log.error("ALERT %s cannot deal with %s: it is a dead letter now", CONSUMER, event.id)
            await self.mirror_trade.give_up(event, f"{type(error).__name__}: {error}")
        return True
