"""Time, as the process sees it; what money depends on is judged by the database's clock instead."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def now(self) -> datetime:
        """Return the wall clock, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for durations only."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class DatabaseClock(Protocol):
    """The clock that money depends on, for what is not in a unit of work."""

    async def now(self) -> datetime:
        """Return the database's time: as it was read within the last second, and then as long
        after as our own clock says."""
        ...
