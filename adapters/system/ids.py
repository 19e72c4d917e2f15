"""UUIDv7 ids, as RFC 9562 section 5.7 lays them out."""

import secrets
from typing import Final
from uuid import UUID

from ports.clock import Clock
from ports.ids import Id, IdSource

_RANDOM_BITS: Final = 74


class RandomIds(IdSource):
    """Milliseconds from the clock and 74 random bits; ids of one millisecond still ascend.

    Within a millisecond the next id is the last one plus a random step (method 2 of RFC 9562
    section 6.2), so that rows made together are stored in the order in which they were made.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ms = 0
        self._last_random = 0

    def new(self, kind: type[Id]) -> Id:
        ms = max(int(self._clock.now().timestamp() * 1000), self._last_ms)
        if ms == self._last_ms:
            self._last_random += 1 + secrets.randbits(32)
            if self._last_random >> _RANDOM_BITS:
                ms += 1
                self._last_random = secrets.randbits(_RANDOM_BITS - 1)
        else:
            self._last_random = secrets.randbits(_RANDOM_BITS - 1)
        self._last_ms = ms
        high, low = self._last_random >> 62, self._last_random & (1 << 62) - 1
        return kind(UUID(int=ms << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))
