"""A statement's lines, read page by page, are those that a look at all lines finds."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidArgument
from domain.ledger.statement import (
    PERIOD_AT_MOST,
    Cursor,
    Found,
    LineKey,
    Period,
    StatementLine,
    next_lines,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def a_line(version: int, recorded: int, effective: int, change: int) -> StatementLine:
    return StatementLine(
        effective_at=at(effective),
        version=version,
        recorded_at=at(recorded),
        change=change,
        entry_id=f"entry {version}",
        transfer_id=f"transfer {version}",
        counter_account_id="another",
        purpose="",
        description="",
    )


class Asked(NamedTuple):
    lines: list[StatementLine]
    period: Period
    recorded_by: datetime
    limit: int

    def all_lines(self) -> list[StatementLine]:
        """Return what the statement shows, from one look at all lines."""
        return sorted(
            (
                line
                for line in self.lines
                if line.change
                and line.recorded_at <= self.recorded_by
                and self.period.start <= line.effective_at < self.period.end
            ),
            key=lambda line: line.key,
        )

    def balance(self, before: datetime) -> int:
        return sum(
            line.change
            for line in self.lines
            if line.recorded_at <= self.recorded_by and line.effective_at < before
        )

    def version_before(self, instant: datetime) -> int:
        return max(
            (
                line.version
                for line in self.lines
                if line.recorded_at < instant and line.recorded_at <= self.recorded_by
            ),
            default=0,
        )

    def found(self, cursor: Cursor) -> Found:
        recorded = [
            line for line in self.lines if cursor.version < line.version <= cursor.last_version
        ]
        dated = [
            line
            for line in self.all_lines()
            if line.is_dated and (cursor.dated is None or line.key > cursor.dated)
        ]
        return Found(
            recorded[: self.limit],
            dated[: self.limit],
            more_recorded=len(recorded) > self.limit,
            more_dated=len(dated) > self.limit,
        )

    def pages(self) -> list[StatementLine]:
        cursor: Cursor | None = Cursor(
            self.version_before(self.period.start), self.version_before(self.period.end)
        )
        lines: list[StatementLine] = []
        while cursor is not None:
            page, after = next_lines(self.found(cursor), cursor)
            assert after != cursor, "a page leads on"
            lines += page
            cursor = after
        return lines


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    recorded = sorted(draw(st.lists(st.integers(0, 30), max_size=25)))
    lines = [
        a_line(
            version,
            minute,
            draw(st.one_of(st.just(minute), st.integers(-10, 40))),
            draw(st.integers(-3, 3)),
        )
        for version, minute in enumerate(recorded, start=1)
    ]
    start = draw(st.integers(-10, 39))
    end = draw(st.integers(start + 1, 40))
    by = draw(st.integers(-1, 31))
    return Asked(lines, Period(at(start), at(end)), at(by), draw(st.integers(1, 6)))


@given(asked())
def test_pages_of_any_size_are_the_lines_of_the_period_in_order(asked: Asked) -> None:
    assert asked.pages() == asked.all_lines()


@given(asked())
def test_the_lines_lead_from_the_opening_to_the_closing(asked: Asked) -> None:
    changes = sum(line.change for line in asked.pages())

    assert asked.balance(asked.period.start) + changes == asked.balance(asked.period.end)


def test_a_dated_line_stands_where_it_counts() -> None:
    lines = [a_line(1, 1, 1, 1), a_line(2, 2, 0, 5), a_line(3, 3, 3, 1)]

    shown = Asked(lines, Period(at(0), at(9)), at(9), 2).pages()

    assert [line.key for line in shown] == [
        LineKey(at(0), 2),
        LineKey(at(1), 1),
        LineKey(at(3), 3),
    ]


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (None, NOON, "start_time"),
        (NOON, None, "end_time"),
        (NOON, NOON, "end_time"),
        (NOON, NOON - timedelta(microseconds=1), "end_time"),
        (NOON, NOON + PERIOD_AT_MOST + timedelta(microseconds=1), "end_time"),
    ],
)
def test_what_is_no_period_is_refused(
    start: datetime | None, end: datetime | None, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Period.between(start, end)

    assert caught.value.metadata["field"] == field


def test_a_leap_year_is_a_period() -> None:
    assert Period.between(NOON, NOON + PERIOD_AT_MOST) == (NOON, NOON + PERIOD_AT_MOST)
