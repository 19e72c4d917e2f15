"""Virtual time: one loop, one clock, and ids that come from a seed."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from ports.ids import Id, IdSource

_RANDOM_BITS: Final = 42
_NONCE_BITS: Final = 32


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still until somebody moves it; sockets work as ever."""

    virtual = 0.0

    def time(self) -> float:
        return self.virtual

    def is_idle_but_for(self, others: int) -> bool:
        """Say whether nothing but the caller and so many others is about to run: no callback and no
        timer.
        """
        timers = self._scheduled  # type: ignore[attr-defined]
        ready = len(self._ready)  # type: ignore[attr-defined]
        return ready <= others and (not timers or timers[0].when() > self.virtual)


def this_month(today: datetime) -> datetime:
    """Return an instant whose surroundings have partitions, the same for a whole month."""
    return today.astimezone(UTC).replace(day=10, hour=12, minute=0, second=0, microsecond=0)


class VirtualTime:
    """Seconds since the start of a run; one `start` for all runs."""

    def __init__(
        self, loop: VirtualLoop, start: datetime, tell: Callable[[datetime], None]
    ) -> None:
        self._loop = loop
        self._tell = tell
        self.start = start
        self.begun_at = loop.virtual
        tell(self.instant())

    @property
    def now(self) -> float:
        return self._loop.virtual - self.begun_at

    def advance(self, seconds: float) -> None:
        assert seconds >= 0
        self._loop.virtual += seconds
        self._tell(self.instant())

    def instant(self, skew: float = 0.0) -> datetime:
        # Never a whole second: every instant is written in the same number of bytes.
        return self.start + timedelta(microseconds=round((self.now + skew) * 1e6) | 1)

    def seconds(self, instant: datetime) -> float:
        return (instant - self.start) / timedelta(seconds=1)


class SeededIds(IdSource):
    """UUIDv7 from a skewed clock and a seed; the last bits say which execution made it.

    The same run can be played again in the same database: only those last bits differ, and they
    decide no order.
    """

    def __init__(self, time: VirtualTime, random: Random, *, nonce: int, skew: float = 0.0) -> None:
        self._time = time
        self._random = random
        self._nonce = nonce
        self._skew = skew
        self._last_ms = 0
        self._last = 0

    @property
    def process_time(self) -> datetime:
        """What the process believes the time to be."""
        return self._time.instant(self._skew)

    def new(self, kind: type[Id]) -> Id:
        ms = max(int(self._time.instant(self._skew).timestamp() * 1000), self._last_ms)
        if ms == self._last_ms:
            self._last += 1 + self._random.getrandbits(16)
        else:
            self._last = self._random.getrandbits(_RANDOM_BITS - 1)
        self._last_ms = ms
        high, low = self._last >> 30 & 0xFFF, self._last & (1 << 30) - 1
        tail = low << _NONCE_BITS | self._nonce
        return kind(UUID(int=ms << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | tail))
