"""A source is asked for each day once it is over and listed, and for a day so far on demand."""

from datetime import UTC, date, datetime, timedelta

import pytest

from domain.reconciliation.errors import StatementTimeOutOfRange
from domain.reconciliation.period import LISTING_LAG, Period, day_so_far, due_day

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MIDNIGHT = NOON - DAY / 2


def due(told_until: datetime | None, now: datetime) -> Period | None:
    return due_day(told_until, now=now, lag=LISTING_LAG)


def test_a_source_that_never_told_anything_begins_with_the_day_before() -> None:
    assert due(None, NOON) == Period(MIDNIGHT - DAY, MIDNIGHT)


def test_a_day_is_due_once_it_is_over_and_what_was_executed_is_listed() -> None:
    over = MIDNIGHT + DAY + LISTING_LAG

    assert due(MIDNIGHT, over - timedelta(microseconds=1)) is None
    assert due(MIDNIGHT, over) == Period(MIDNIGHT, MIDNIGHT + DAY)


def test_days_that_were_missed_are_due_one_by_one() -> None:
    assert due(MIDNIGHT - 5 * DAY, NOON) == Period(MIDNIGHT - 5 * DAY, MIDNIGHT - 4 * DAY)


def test_a_day_that_was_told_in_part_is_due_as_a_whole() -> None:
    assert due(NOON - DAY, NOON) == Period(MIDNIGHT - DAY, MIDNIGHT)


def test_a_day_begins_at_midnight_utc_wherever_the_clock_stands() -> None:
    elsewhere = NOON.astimezone(datetime.strptime("+0900", "%z").tzinfo)

    assert due(None, elsewhere) == due(None, NOON)


def test_the_day_so_far_ends_where_all_is_listed_in_whole_seconds() -> None:
    now = NOON + timedelta(microseconds=7)

    assert day_so_far(date(2026, 3, 2), now=now, lag=LISTING_LAG) == Period(
        MIDNIGHT, NOON - LISTING_LAG
    )


def test_a_day_that_is_over_ends_with_it() -> None:
    assert day_so_far(date(2026, 3, 1), now=NOON, lag=LISTING_LAG).ends_at == MIDNIGHT


@pytest.mark.parametrize("now", [MIDNIGHT - DAY, MIDNIGHT, MIDNIGHT + LISTING_LAG])
def test_nothing_can_be_told_of_a_day_that_has_hardly_begun(now: datetime) -> None:
    with pytest.raises(StatementTimeOutOfRange):
        day_so_far(date(2026, 3, 2), now=now, lag=LISTING_LAG)


def test_the_end_of_a_period_is_not_part_of_it() -> None:
    day = Period(MIDNIGHT, MIDNIGHT + DAY)

    assert day.has(day.starts_at)
    assert not day.has(day.ends_at)
