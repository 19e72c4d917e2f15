"""Looking again at an attempt that was concluded absent, in case that was wrong after all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from domain.ids import TradeId

LATE_LOOKS: Final = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))
"""How long after the conclusion the LP is asked again, in ascending order."""

FIRST_RETRY: Final = timedelta(seconds=1)
LAST_RETRY: Final = timedelta(hours=1)
_MOST_DOUBLINGS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LateCheck:
    """Attributes:
    attempt: number of the attempt.
    concluded_at: when it was concluded absent; the looks are counted from there.
    due_at: when the LP is asked next; None once nothing more is to be asked.
    looks: how often the LP has answered.
    unanswered: how often in a row it has not, since then.
    """

    trade_id: TradeId
    attempt: int
    concluded_at: datetime
    due_at: datetime | None
    looks: int = 0
    unanswered: int = 0

    def look_in_vain(self, schedule: Sequence[timedelta], *, asked_at: datetime) -> "LateCheck":
        """Note that the LP showed no fill.

        What of the schedule was over when it was asked is left out. What came due since is not,
        however late the answer is noted: it says nothing about a fill that showed after it.
        """
        times = [self.concluded_at + after for after in schedule]
        ahead = [time for time in times if time > asked_at]
        return replace(self, due_at=ahead[0] if ahead else None, looks=self.looks + 1, unanswered=0)

    def go_unanswered(self, *, now: datetime) -> "LateCheck":
        """Note that the LP did not say; silence counts for nothing, so it is asked until it does.

        The pause doubles up to an hour.
        """
        pause = FIRST_RETRY * 2 ** min(self.unanswered, _MOST_DOUBLINGS)
        return replace(self, due_at=now + min(pause, LAST_RETRY), unanswered=self.unanswered + 1)

    def find_fill(self) -> "LateCheck":
        """Note that the LP showed a fill: there is nothing left to find out."""
        return replace(self, due_at=None, looks=self.looks + 1, unanswered=0)


def plan_late_check(
    trade_id: TradeId, attempt: int, schedule: Sequence[timedelta], *, concluded_at: datetime
) -> LateCheck:
    """Return what is to be done about an attempt that was concluded absent just now."""
    return LateCheck(
        trade_id=trade_id,
        attempt=attempt,
        concluded_at=concluded_at,
        due_at=concluded_at + schedule[0],
    )
