"""For which time a source is asked for its statement, and when."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from domain.reconciliation.errors import StatementTimeOutOfRange

LISTING_LAG: Final = timedelta(minutes=5)
"""How long what a source executed may take to show up in its listing.

A statement that was fetched earlier could lack a line, which would look like a line taken back.
"""

_DAY: Final = timedelta(days=1)


class Period(NamedTuple):
    """A stretch of time; its end is not part of it."""

    starts_at: datetime
    ends_at: datetime

    def has(self, at: datetime) -> bool:
        return self.starts_at <= at < self.ends_at


def due_day(told_until: datetime | None, *, now: datetime, lag: timedelta) -> Period | None:
    """Return the first day of UTC that a source has not told to its end, None if it is not over.

    A source that never told anything begins with the day before.
    """
    starts_at = _midnight(now) - _DAY if told_until is None else _midnight(told_until)
    day = Period(starts_at, starts_at + _DAY)
    return day if day.ends_at + lag <= now else None


def day_so_far(day: date, *, now: datetime, lag: timedelta) -> Period:
    """Return a day of UTC as far as it can be told, in whole seconds.

    Raises `StatementTimeOutOfRange`.
    """
    starts_at = datetime.combine(day, time(), UTC)
    # Venues tell milliseconds or finer: what is asked for has to end where all of them can.
    ends_at = min(starts_at + _DAY, (now - lag).replace(microsecond=0))
    if ends_at <= starts_at:
        raise StatementTimeOutOfRange(
            f"nothing of {day} can be told before {(starts_at + lag).isoformat()}", place="day"
        )
    return Period(starts_at, ends_at)


def _midnight(at: datetime) -> datetime:
    return datetime.combine(at.astimezone(UTC).date(), time(), UTC)
