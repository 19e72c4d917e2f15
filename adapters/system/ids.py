"""UUIDv7 ids, as RFC 9562 section 5.7 lays them out."""

import os
from collections.abc import Iterator
from struct import unpack
from typing import Final

from domain.ids import milliseconds
from ports.clock import Clock
from ports.ids import Id, IdSource

_RANDOM_BITS: Final = 74
_WORDS_AT_ONCE: Final = 256


class RandomIds(IdSource):
    """Milliseconds from the clock and 74 random bits; ids of one millisecond still ascend.

    Within a millisecond the next id is the last one plus a random step (method 2 of RFC 9562
    section 6.2), so that rows made together are stored in the order in which they were made.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ms = 0
        self._last_random = 0
        self._words = _random_words()

    def new(self, kind: type[Id]) -> Id:
        ms = max(milliseconds(self._clock.now()), self._last_ms)
        if ms == self._last_ms:
            self._last_random += 1 + next(self._words)
            if self._last_random >> _RANDOM_BITS:
                ms += 1
                self._last_random = self._start()
        else:
            self._last_random = self._start()
        self._last_ms = ms
        high, low = self._last_random >> 62, self._last_random & (1 << 62) - 1
        value = ms << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low
        return kind.from_bytes(value.to_bytes(16))

    def _start(self) -> int:
        """Return 73 random bits, which leaves room for many steps."""
        words = self._words
        return next(words) << 41 | next(words) << 9 | next(words) >> 23


def _random_words() -> Iterator[int]:
    """Draw 32 random bits at a time; the system is asked for many at once."""
    while True:
        yield from unpack(f"{_WORDS_AT_ONCE}I", os.urandom(4 * _WORDS_AT_ONCE))
