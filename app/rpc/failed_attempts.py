"""Who tries keys that are none of ours is not looked up in the database for each of them."""

from collections import OrderedDict
from typing import Final

from domain.errors import DomainError, Kind
from ports.clock import Clock

PER_SECOND: Final = 1
MAX_ADDRESSES: Final = 10_000
MAX_KEYS: Final = 10_000


class TooManyFailedAttempts(DomainError):
    """Too many keys that are none of ours came from the address."""

    kind = Kind.EXHAUSTED
    reason = "TOO_MANY_FAILED_ATTEMPTS"


class FailedAttempts:
    """Failures by address, of which each has `burst` and is forgiven `PER_SECOND` of them.

    Keys that have been good lately may come from wherever they like: who shares an address with an
    offender is not shut out with him. Each process counts for itself.
    """

    def __init__(self, clock: Clock, burst: int) -> None:
        self._clock = clock
        self._burst = burst
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def is_good(self, secret_hash: bytes) -> bool:
        """Say whether the key has been good lately."""
        return secret_hash in self._good

    def require_patience(self, address: str) -> None:
        """Raise `TooManyFailedAttempts` for a key not known to be good from such an address."""
        if self._count(address) > self._burst - 1:
            raise TooManyFailedAttempts(
                f"{self._burst} calls from this address had keys that are none of ours",
                burst=self._burst,
                per_second=PER_SECOND,
            )

    def note_failure(self, address: str) -> None:
        self._failures[address] = self._count(address) + 1, self._clock.monotonic()
        self._failures.move_to_end(address)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)

    def note_success(self, secret_hash: bytes) -> None:
        self._good[secret_hash] = None
        if len(self._good) > MAX_KEYS:
            self._good.popitem(last=False)

    def _count(self, address: str) -> float:
        failures, noted_at = self._failures.get(address, (0.0, 0.0))
        return max(0.0, failures - (self._clock.monotonic() - noted_at) * PER_SECOND)
