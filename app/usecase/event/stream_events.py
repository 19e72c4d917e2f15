"""Telling a tenant's events for as long as somebody listens."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from app.usecase.event.read_events import ReadEvents
from domain.event import EventReaderTooSlow
from domain.ids import TenantId
from ports.bus import StampedEvent
from ports.clock import Clock, DatabaseClock
from ports.event_log import EventPage, EventRange, EventWakes

EVENTS_AT_ONCE: Final = 100
"""How many events a stream reads at a time, and so holds at most."""


@dataclass(frozen=True, slots=True)
class Told:
    """The next event."""

    event: StampedEvent

    @property
    def position(self) -> int:
        return self.event.sequence


@dataclass(frozen=True, slots=True)
class NoneYet:
    """There is no next event between `position` and `last`, as of `looked_at`."""

    position: int
    last: int
    looked_at: datetime


@dataclass(frozen=True, slots=True)
class AllTold:
    """All events up to the end of the range were told."""

    position: int


EventNews = Told | NoneYet | AllTold


class StreamEvents:
    """Looks when a wake comes, and now and then without one; tells what it finds.

    Looks at the same part of the log that wait for the same wake are one: a hundred streams that
    have heard everything cost one look for all. Nothing is put by for who reads slowly, who is told
    so in the end.
    """

    def __init__(
        self,
        read_events: ReadEvents,
        wakes: EventWakes,
        clock: Clock,
        database_clock: DatabaseClock,
        *,
        beat_every: timedelta,
        patience: timedelta,
    ) -> None:
        """Say something at least every `beat_every`, which is also how long a wake that was lost
        delays an event; wait for a reader with `patience`.
        """
        self._read_events = read_events
        self._wakes = wakes
        self._clock = clock
        self._database_clock = database_clock
        self._beat_every_s = beat_every.total_seconds()
        self._patience_s = patience.total_seconds()
        self._looks: dict[_Question, asyncio.Task[EventPage]] = {}

    async def __call__(self, tenant_id: TenantId, range: EventRange) -> AsyncIterator[EventNews]:
        """Yield where the stream begins, and then the events of the range.

        Raises `EventsExpired` or `EventSequenceAhead`, and later `EventReaderTooSlow`.
        """
        async for news in self._news(tenant_id, range):
            told_at = self._clock.monotonic()
            yield news
            if self._clock.monotonic() - told_at > self._patience_s:
                raise EventReaderTooSlow(
                    "the reader let a message wait for too long", after=news.position
                )

    async def _news(self, tenant_id: TenantId, range: EventRange) -> AsyncIterator[EventNews]:
        after = range.after
        if after is None:
            after = await self._read_events.last(tenant_id)
        wake, page = await self._look(tenant_id, replace(range, after=after))
        yield await self._none_yet(after, page)
        told_at = self._clock.monotonic()
        while True:
            for event in page.events:
                yield Told(event)
                told_at = self._clock.monotonic()
            if range.ends_at(page.position):
                yield AllTold(page.position)
                return
            left_s = told_at + self._beat_every_s - self._clock.monotonic()
            if left_s <= 0:
                yield await self._none_yet(page.position, page)
                told_at = self._clock.monotonic()
            elif page.position == page.last:
                await asyncio.wait({wake}, timeout=left_s)
            wake, page = await self._look(tenant_id, replace(range, after=page.position))

    async def _none_yet(self, position: int, page: EventPage) -> NoneYet:
        return NoneYet(position, page.last, await self._database_clock.now())

    async def _look(
        self, tenant_id: TenantId, range: EventRange
    ) -> tuple["asyncio.Future[None]", EventPage]:
        """Return what was found, and the wake that comes if there is more than that."""
        # Before the look, or it could be missed; and whoever joins a look waits for the same one:
        # what the wake before it told of, the look has seen.
        wake = self._wakes.next_of(tenant_id)
        question = _Question(tenant_id, range, wake)
        look = self._looks.get(question)
        if look is None:
            look = self._looks[question] = asyncio.create_task(
                self._read_events.list(tenant_id, range, limit=EVENTS_AT_ONCE)
            )
            look.add_done_callback(lambda done: self._forget(question, done))
        # It is nobody's own: it goes on when whoever began it has gone.
        return wake, await asyncio.shield(look)

    def _forget(self, question: "_Question", look: "asyncio.Task[EventPage]") -> None:
        del self._looks[question]
        if not look.cancelled():
            look.exception()  # taken note of, should nobody be waiting any more


class _Question(NamedTuple):
    """What must be the same for a look to be shared."""

    tenant_id: TenantId
    range: EventRange
    wake: "asyncio.Future[None]"
