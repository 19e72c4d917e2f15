"""The database's clock, seen from outside of a transaction."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from ports.clock import Clock, DatabaseClock

READ_EVERY_S: Final = 1.0


class PostgresClock(DatabaseClock):
    """Reads it at most once a second, whoever asks, and adds what has passed since."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._reading = asyncio.Lock()
        self._read: tuple[datetime, float] | None = None

    async def now(self) -> datetime:
        now = self._reckoned()
        if now is None:
            async with self._reading:
                now = self._reckoned() or await self._read_now()
        return now

    def _reckoned(self) -> datetime | None:
        if self._read is None:
            return None
        instant, read_at = self._read
        passed = self._clock.monotonic() - read_at
        return instant + timedelta(seconds=passed) if passed < READ_EVERY_S else None

    async def _read_now(self) -> datetime:
        async with borrowed_driver(self._engine) as driver:
            instant: datetime = await driver.fetchval("SELECT core.now()")
        self._read = instant, self._clock.monotonic()
        return instant
