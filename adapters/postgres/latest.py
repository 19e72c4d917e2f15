"""What is read again once it is old, by one reader at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ports.clock import Clock

T = TypeVar("T")


class Latest(Generic[T]):
    """Keeps what was read last; nobody waits for it while it is fresh."""

    def __init__(self, read: Callable[[], Awaitable[T]], clock: Clock, *, max_age_s: float) -> None:
        self._read = read
        self._clock = clock
        self._max_age_s = max_age_s
        self._known: tuple[float, T] | None = None
        self._reading = asyncio.Lock()

    async def get(self) -> T:
        known = self._fresh()
        if known is None:
            async with self._reading:
                known = self._fresh()
                if known is None:
                    # The age counts from before the question.
                    asked_at = self._clock.monotonic()
                    known = self._known = asked_at, await self._read()
        return known[1]

    def _fresh(self) -> tuple[float, T] | None:
        known = self._known
        if known is None or self._clock.monotonic() - known[0] > self._max_age_s:
            return None
        return known
