"""What the loops of a worker wait for, told once and not at every try."""

import logging
from dataclasses import dataclass, field
from typing import Final

from domain.errors import DomainError
from ports.clock import Clock

TOLD_EVERY_S: Final = 10.0

_log = logging.getLogger("reli.worker")


@dataclass(slots=True)
class _Outage:
    """Attributes:
    loops: those that could not work for it.
    told_at: when it was last told; before anything, when it never was.
    """

    loops: set[str] = field(default_factory=set)
    began_at: float = 0.0
    told_at: float = float("-inf")
    is_told: bool = False


class Outages:
    """Several loops wait for the same database: it is told when it goes away, every
    `TOLD_EVERY_S` while it is away, and when it is back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, _Outage] = {}

    def failed(self, loop: str, error: Exception) -> None:
        """Hear that a loop could not do its work."""
        is_known = isinstance(error, DomainError)
        # What is no refusal is a bug of that loop, with a trace to look for it by.
        what = error.reason if isinstance(error, DomainError) else f"{loop}: {type(error).__name__}"
        outage = self._known.setdefault(what, _Outage())
        now = self._clock.monotonic()
        if not outage.loops:
            outage.began_at = now
        outage.loops.add(loop)
        # What comes and goes many times a second is not told more often than what stays away.
        if now - outage.told_at < TOLD_EVERY_S:
            return
        outage.told_at, outage.is_told = now, True
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        _log.warning("%s waits, %s: %s%s", loop, what, error, cause, exc_info=not is_known)

    def worked(self, loop: str) -> None:
        """Hear that a loop did its work."""
        for what, outage in self._known.items():
            if loop not in outage.loops:
                continue
            outage.loops.clear()
            if outage.is_told:
                outage.is_told = False
                away_s = self._clock.monotonic() - outage.began_at
                _log.warning("%s works again after %.1f s, %s", loop, away_s, what)
