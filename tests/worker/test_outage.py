"""What a worker waits for is told when it goes, seldom while it is away, and when it is back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from app.worker.loop import run_for_ever
from app.worker.outage import TOLD_EVERY_S, Outages
from ports.bus import BusUnavailable
from ports.clock import Clock
from ports.errors import DatabaseUnavailable

REST_S = 0.125  # which adds up exactly

Work = Callable[[], Awaitable[bool]]


class Enough(BaseException):
    """The story is over."""


class StoryClock(Clock):
    """Sleeping takes no time, and the story ends."""

    def __init__(self, *, lasts_s: float) -> None:
        self.seconds = 0.0
        self._lasts_s = lasts_s

    def now(self) -> datetime:
        return datetime(2026, 3, 2, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.seconds > self._lasts_s:
            raise Enough
        await asyncio.sleep(0)


def away(clock: StoryClock, error: Exception, *, since: float, until: float) -> Work:
    async def work() -> bool:
        if since <= clock.seconds < until:
            raise error
        return False

    return work


async def told(caplog: pytest.LogCaptureFixture, clock: StoryClock, *works: Work) -> list[str]:
    """Run one loop after the other on each turn of the clock; return the lines of the log."""
    outages = Outages(clock)

    async def all_of_them() -> None:
        while True:
            for number, work in enumerate(works):
                try:
                    await work()
                except Exception as error:
                    outages.failed(f"loop {number}", error)
                else:
                    outages.worked(f"loop {number}")
            await clock.sleep(REST_S)

    with caplog.at_level(logging.DEBUG, logger="reli.worker"), pytest.raises(Enough):
        await all_of_them()
    return [record.getMessage() for record in caplog.records]


async def test_an_outage_is_told_when_it_begins_every_ten_seconds_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = StoryClock(lasts_s=60)
    bus = away(clock, BusUnavailable("the bus did not answer"), since=5, until=30)

    lines = await told(caplog, clock, bus)

    assert len(lines) == 4
    assert lines[0] == "loop 0 waits, BUS_UNAVAILABLE: the bus did not answer"
    assert lines[0] == lines[1] == lines[2]
    assert lines[3] == "loop 0 works again after 25.0 s, BUS_UNAVAILABLE"


async def test_what_all_loops_wait_for_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = StoryClock(lasts_s=20)
    gone = DatabaseUnavailable("the database cannot be reached")
    works = [away(clock, gone, since=1, until=8) for _ in range(5)]

    lines = await told(caplog, clock, *works)

    assert [line.split(",")[0].split()[2] for line in lines] == ["waits", "works"]


async def test_two_outages_are_two(caplog: pytest.LogCaptureFixture) -> None:
    clock = StoryClock(lasts_s=20)
    bus = away(clock, BusUnavailable("the bus did not answer"), since=1, until=100)
    database = away(clock, DatabaseUnavailable("gone"), since=2, until=5)

    lines = await told(caplog, clock, bus, database)

    assert sum("BUS_UNAVAILABLE" in line for line in lines) == 2
    assert sum("DATABASE_UNAVAILABLE" in line for line in lines) == 2


async def test_what_comes_and_goes_is_told_no_more_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = StoryClock(lasts_s=5 * TOLD_EVERY_S - 1)

    async def flaky() -> bool:
        if round(clock.seconds / REST_S) % 2:
            raise BusUnavailable("the bus did not answer")
        return False

    lines = await told(caplog, clock, flaky)

    assert len(lines) <= 2 * 5


async def test_a_bug_is_told_with_its_trace_and_the_loop_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = StoryClock(lasts_s=2 * TOLD_EVERY_S - 1)
    bug = away(clock, KeyError("a bug"), since=0, until=100)

    with caplog.at_level(logging.DEBUG, logger="reli.worker"), pytest.raises(Enough):
        await run_for_ever("trades", clock, bug, rest_s=REST_S)

    assert len(caplog.records) == 2
    assert all("KeyError" in (record.exc_text or "") for record in caplog.records)
