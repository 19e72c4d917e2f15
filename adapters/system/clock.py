"""The machine's clock."""

import asyncio
import time
from datetime import UTC, datetime

from ports.clock import Clock


class SystemClock(Clock):
    """Reads the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
