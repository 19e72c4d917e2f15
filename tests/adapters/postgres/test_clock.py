"""The database's clock is read once a second, and reckoned in between."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from adapters.postgres.clock import READ_EVERY_S, PostgresClock
from adapters.postgres.engine import make_engine
from adapters.system.clock import SystemClock
from ports.clock import Clock
from ports.errors import DatabaseUnavailable
from tests.support.platform import Platform


@dataclass
class Stopwatch(Clock):
    """Moves when it is told to."""

    seconds: float = 0.0

    def now(self) -> datetime:
        raise AssertionError("our own time of day must not matter")

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


async def test_time_goes_on_between_two_readings(platform: Platform, app_database_url: str) -> None:
    engine = make_engine(app_database_url, pool_size=1, name="test clock")
    watch = Stopwatch()
    clock = PostgresClock(engine, watch)
    try:
        earliest = await platform.owner.fetchval("SELECT core.now()")
        first = await clock.now()
        latest = await platform.owner.fetchval("SELECT core.now()")

        assert earliest <= first <= latest
        await watch.sleep(READ_EVERY_S - 0.25)
        assert await clock.now() == first + timedelta(seconds=READ_EVERY_S - 0.25)
        await watch.sleep(0.25)
        read_anew = await clock.now()
        assert latest <= read_anew <= await platform.owner.fetchval("SELECT core.now()")
    finally:
        await engine.dispose()


async def test_all_who_ask_at_once_share_one_reading(
    platform: Platform, app_database_url: str
) -> None:
    engine = make_engine(app_database_url, pool_size=1, name="test clock")
    clock = PostgresClock(engine, Stopwatch())
    try:
        assert len(set(await asyncio.gather(*(clock.now() for _ in range(20))))) == 1
    finally:
        await engine.dispose()


async def test_without_a_database_there_is_no_time() -> None:
    engine = make_engine("postgresql://reli@127.0.0.1:1/reli", pool_size=1, name="test clock")

    with pytest.raises(DatabaseUnavailable):
        await PostgresClock(engine, SystemClock()).now()
