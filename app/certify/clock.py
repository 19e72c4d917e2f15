"""The time at a bench: it passes when a rule lets it."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ports.clock import Clock


@dataclass(eq=False)
class BenchClock(Clock):
    """Stands still until it is moved; a sleep is over at once unless it is held."""

    at: datetime = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)
    _asleep: asyncio.Event = field(default_factory=asyncio.Event)
    _awake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._awake.set()

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._asleep.set()
        await self._awake.wait()
        self._asleep.clear()

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def hold(self) -> None:
        self._awake.clear()

    async def somebody_sleeps(self) -> None:
        await asyncio.wait_for(self._asleep.wait(), 5)

    def release(self) -> None:
        self._awake.set()
