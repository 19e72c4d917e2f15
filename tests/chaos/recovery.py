"""How long it takes after a fault until somebody's write succeeds again."""

import time
from dataclasses import dataclass, field
from statistics import median
from typing import Final

LIMIT_S: Final = 5.0
POSTGRES_LIMIT_S: Final = 10.0


@dataclass(slots=True)
class Outage:
    """One fault, from when it began until it was healed, and the first write after its start.

    Attributes:
        stops_writes: whether writes cannot go on while it lasts, whatever is done about them.
    """

    kind: str
    target: str
    began: float
    stops_writes: bool
    ended: float | None = None
    written: float | None = None

    @property
    def seconds(self) -> float | None:
        return None if self.written is None else self.written - self.began

    def overlaps(self, other: "Outage") -> bool:
        """Say whether the other one was there while we waited for a write."""
        until = self.written or float("inf")
        return other.began < until and (other.ended or float("inf")) > self.began


@dataclass(slots=True)
class Recovery:
    """Every fault of a run, and the writes that succeeded meanwhile."""

    outages: list[Outage] = field(default_factory=list)
    longest_gap_s: float = 0.0
    _last_write: float | None = None

    def begin(self, kind: str, target: str, *, stops_writes: bool) -> Outage:
        outage = Outage(kind, target, time.monotonic(), stops_writes)
        self.outages.append(outage)
        return outage

    def end(self, outage: Outage) -> None:
        outage.ended = time.monotonic()

    def wrote(self, *, asked_at: float) -> None:
        """Hear of a write that was asked for at that instant and has just succeeded."""
        now = time.monotonic()
        if self._last_write is not None:
            self.longest_gap_s = max(self.longest_gap_s, now - self._last_write)
        self._last_write = now
        for outage in self.outages:
            if outage.written is None and outage.began <= asked_at:
                outage.written = now

    def is_alone(self, outage: Outage) -> bool:
        """Say whether nothing else kept writes from succeeding after this fault."""
        return not any(
            outage.overlaps(other)
            for other in self.outages
            if other is not outage and other.stops_writes
        )

    def too_slow(self) -> list[Outage]:
        """Return the kills after which, with no other fault in the way, writes took too long."""
        return [
            outage
            for outage in self.outages
            if outage.kind in ("kill", "wipe")
            and (outage.seconds is None or outage.seconds > _limit(outage))
            and self.is_alone(outage)
        ]

    def figures(self) -> dict[str, dict[str, float]]:
        """Return count, median and maximum for each kind of fault, of those that came alone."""
        times: dict[str, list[float]] = {}
        for outage in self.outages:
            if outage.seconds is not None and self.is_alone(outage):
                name = f"{outage.kind} {outage.target.partition('-')[0]}"
                times.setdefault(name, []).append(outage.seconds)
        return {
            name: {
                "count": len(seconds),
                "median_s": round(median(seconds), 2),
                "max_s": round(max(seconds), 2),
            }
            for name, seconds in sorted(times.items())
        }


def _limit(outage: Outage) -> float:
    return POSTGRES_LIMIT_S if outage.target == "postgres" else LIMIT_S
