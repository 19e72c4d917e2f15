"""What a stream of events tells, and how seldom it looks, with the log in the test's hand."""

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import pytest

from app.usecase.event.stream_events import AllTold, EventNews, NoneYet, StreamEvents, Told
from domain.event import EventReaderTooSlow
from domain.ids import EventId, TenantId
from ports.bus import StampedEvent
from ports.clock import Clock, DatabaseClock
from ports.event_log import EventPage, EventRange, EventWakes
from tests.support.builders import NOW, an_id, seconds

TENANT: Final = an_id(TenantId)
BEAT_S: Final = 0.1
PATIENCE_S: Final = 20.0
WITHIN_S: Final = 5.0


@dataclass
class Time(Clock):
    """Goes on as it does, and further if the test says so."""

    skipped_s: float = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.skipped_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class DatabaseTime(DatabaseClock):
    async def now(self) -> datetime:
        return NOW


@dataclass
class Log(EventWakes):
    """One tenant's events, of which a look passes over five at most.

    Attributes:
        looks: after which sequence was looked, each time.
        is_heard: whether word of a new event arrives.
    """

    types: list[str] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)
    is_heard: bool = True
    wake: "Future[None] | None" = None
    look_takes_s: float = 0.0

    def next_of(self, tenant_id: TenantId) -> "Future[None]":
        if self.wake is None:
            self.wake = asyncio.get_running_loop().create_future()
        return self.wake

    def add(self, *types: str) -> None:
        self.types += types
        if self.is_heard and self.wake is not None:
            self.wake.set_result(None)
            self.wake = None

    async def last(self, tenant_id: TenantId) -> int:
        return len(self.types)

    async def list(self, tenant_id: TenantId, range: EventRange, *, limit: int) -> EventPage:
        after, types = range.after or 0, [*self.types]
        self.looks.append(after)
        await asyncio.sleep(self.look_takes_s)
        position = min(len(types), range.until or len(types), after + 5)
        events = [
            StampedEvent(
                id=an_id(EventId), tenant_id=TENANT, sequence=number, type=type, payload=b""
            )
            for number, type in enumerate(types, 1)
            if after < number <= position and (not range.types or type in range.types)
        ]
        return EventPage(events=tuple(events), position=position, last=len(types))

    def streams(self, time: Time | None = None, *, beat_s: float = BEAT_S) -> StreamEvents:
        log: Any = self
        return StreamEvents(
            log,
            self,
            time or Time(),
            DatabaseTime(),
            beat_every=seconds(1) * beat_s,
            patience=seconds(1) * PATIENCE_S,
        )


async def first(news: AsyncIterator[EventNews], number: int) -> Sequence[EventNews]:
    async with asyncio.timeout(WITHIN_S):
        return [await anext(news) for _ in range(number)]


async def sequences(news: AsyncIterator[EventNews], number: int) -> list[int]:
    """Return the sequences of so many of the next events."""
    found: list[int] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < number:
            one = await anext(news)
            found += [one.position] if isinstance(one, Told) else []
    return found


async def test_it_begins_at_the_end_of_the_log_unless_told_otherwise() -> None:
    log = Log(["a"] * 7)

    assert await first(log.streams()(TENANT, EventRange()), 1) == [NoneYet(7, 7, NOW)]
    from_the_start = log.streams()(TENANT, EventRange(after=0))
    assert await first(from_the_start, 1) == [NoneYet(0, 7, NOW)]
    assert await sequences(from_the_start, 7) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_wake_that_was_lost_delays_an_event_by_one_heartbeat() -> None:
    log = Log(is_heard=False)
    news = log.streams()(TENANT, EventRange())
    await first(news, 1)

    asked_at = Time().monotonic()
    log.add("a")

    assert await sequences(news, 1) == [1]
    assert Time().monotonic() - asked_at < 5 * BEAT_S


async def test_a_hundred_streams_that_wait_for_the_same_look_once() -> None:
    log = Log(["a"] * 3)
    streams = log.streams()
    all_news = [streams(TENANT, EventRange()) for _ in range(100)]
    await asyncio.gather(*(first(news, 1) for news in all_news))
    waiting = [asyncio.ensure_future(sequences(news, 1)) for news in all_news]
    await asyncio.sleep(BEAT_S / 4)
    log.looks.clear()

    log.add("a")

    assert await asyncio.gather(*waiting) == [[4]] * 100
    assert log.looks == [3]


async def test_who_was_woken_joins_no_look_that_began_before() -> None:
    log = Log(["a"] * 3)
    streams = log.streams(beat_s=2 * WITHIN_S)
    news, late = streams(TENANT, EventRange()), streams(TENANT, EventRange(after=3))
    await first(news, 1)
    waiting = asyncio.ensure_future(sequences(news, 1))
    await asyncio.sleep(0.01)
    log.look_takes_s = 0.05
    looking = asyncio.ensure_future(first(late, 2))
    await asyncio.sleep(0.01)

    log.add("a")  # which the look of the late one has not seen

    assert await waiting == [4]
    assert [one.position for one in await looking] == [3, 4]


async def test_a_look_goes_on_when_who_began_it_has_gone() -> None:
    log = Log(["a"], look_takes_s=0.05)
    streams = log.streams()
    impatient, patient = [
        asyncio.ensure_future(first(streams(TENANT, EventRange(after=0)), 2)) for _ in range(2)
    ]
    await asyncio.sleep(0.01)

    impatient.cancel()

    assert [one.position for one in await patient] == [0, 1]
    assert log.looks == [0]


async def test_where_nothing_is_of_its_type_it_says_how_far_it_has_looked() -> None:
    log = Log(["other"] * 23, look_takes_s=BEAT_S / 2)
    news = log.streams()(TENANT, EventRange(after=0, types=frozenset({"a"})))

    heard = await first(news, 3)

    positions = [one.position for one in heard if isinstance(one, NoneYet)]
    assert len(positions) == 3
    assert positions == sorted(set(positions)), "each says more than the one before"
    log.add("a")
    assert await sequences(news, 1) == [24]


async def test_a_range_has_an_end_even_if_that_is_still_to_come() -> None:
    log = Log(["a"] * 2)
    news = log.streams()(TENANT, EventRange(after=0, until=3))
    assert await sequences(news, 2) == [1, 2]

    log.add("a", "a")

    assert await sequences(news, 1) == [3]
    assert await first(news, 1) == [AllTold(3)]
    with pytest.raises(StopAsyncIteration):
        await anext(news)


async def test_who_lets_a_message_wait_is_told_where_to_go_on() -> None:
    time, log = Time(), Log(["a"] * 9)
    news = log.streams(time)(TENANT, EventRange(after=0))
    assert await sequences(news, 4) == [1, 2, 3, 4]

    time.skipped_s += PATIENCE_S + 0.1

    with pytest.raises(EventReaderTooSlow) as caught:
        await anext(news)
    assert caught.value.metadata["after"] == "4"
    assert await sequences(log.streams(time)(TENANT, EventRange(after=4)), 5) == [5, 6, 7, 8, 9]


async def test_who_reads_slowly_but_reads_is_left_alone() -> None:
    time, log = Time(), Log(["a"] * 3)
    news = log.streams(time)(TENANT, EventRange(after=0))

    for expected in (1, 2, 3):
        assert await sequences(news, 1) == [expected]
        time.skipped_s += PATIENCE_S - 1
