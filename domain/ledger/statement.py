"""A statement: what moved an account's posted balance in a period, and the balances around it.

The period is one of effective times, and what belongs to it is judged by an instant of the record:
a line that was recorded later never shows, whenever it counts. So the same question has the same
answer for ever, also while entries are posted that count in the past.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from domain.amount import Amount
from domain.errors import InvalidArgument
from domain.ids import AccountId
from domain.ledger.account import AccountKey

PERIOD_AT_MOST: Final = timedelta(days=366)
INSTANT: Final = timedelta(microseconds=1)
"""Times of the books are whole microseconds."""


class Period(NamedTuple):
    """Effective times from `start` on and before `end`."""

    start: datetime
    end: datetime

    @classmethod
    def between(cls, start: datetime | None, end: datetime | None) -> "Period":
        """Return the period, or raise `InvalidArgument` if it is none or longer than 366 days."""
        if start is None:
            raise InvalidArgument("start_time is required", field="start_time")
        if end is None:
            raise InvalidArgument("end_time is required", field="end_time")
        if end <= start:
            raise InvalidArgument("end_time must be later than start_time", field="end_time")
        if end - start > PERIOD_AT_MOST:
            raise InvalidArgument(
                f"a period is at most {PERIOD_AT_MOST.days} days long", field="end_time"
            )
        return cls(start, end)


class LineKey(NamedTuple):
    """Where a line stands in a statement."""

    effective_at: datetime
    version: int


class StatementLine(NamedTuple):
    """A line as it is read, of which a statement may have a million.

    Attributes:
        change: signed change of the posted balance in minor units; zero if it only holds or
            releases.
        entry_id, transfer_id, counter_account_id: ids as texts.
    """

    effective_at: datetime
    version: int
    recorded_at: datetime
    change: int
    entry_id: str
    transfer_id: str
    counter_account_id: str
    purpose: str
    description: str

    @property
    def key(self) -> LineKey:
        return LineKey(self.effective_at, self.version)

    @property
    def is_dated(self) -> bool:
        """Whether it counts at another time than it was recorded."""
        return self.effective_at != self.recorded_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a statement is about, with the balances around its lines in minor units."""

    account_id: AccountId
    account: AccountKey
    period: Period
    recorded_by: datetime
    opening: int
    closing: int

    def amount(self, units: int) -> Amount:
        return Amount(self.account.asset, units)


class Cursor(NamedTuple):
    """How far the lines of a statement were read.

    Attributes:
        version: lines that count when they were recorded were read up to it.
        last_version: the last of these that can belong to the statement.
        dated: lines that count at another time were read up to it; None: none yet.
    """

    version: int
    last_version: int
    dated: LineKey | None = None


class Found(NamedTuple):
    """Lines that follow a cursor.

    Attributes:
        recorded: those of the next versions in order, whatever they are.
        dated: those of the period that count at another time than they were recorded, in order of
            their keys.
        more_recorded: there are further versions up to the cursor's last one.
        more_dated: there are further dated lines.
    """

    recorded: Sequence[StatementLine]
    dated: Sequence[StatementLine]
    more_recorded: bool
    more_dated: bool


def next_lines(found: Found, cursor: Cursor) -> tuple[list[StatementLine], Cursor | None]:
    """Return lines of a statement that follow the cursor, in order, and where to go on.

    What is certain to come first is returned: up to the end of what was read of either kind, unless
    there is no more of it. The rest is read again.
    """
    recorded, dated = found.recorded, found.dated
    ends = []
    if found.more_recorded:
        # Versions are in the order of their times of record, at which these lines count.
        ends.append(LineKey(recorded[-1].recorded_at, recorded[-1].version))
    if found.more_dated:
        ends.append(dated[-1].key)
    if ends:
        end = min(ends)
        recorded = recorded[: bisect_right(recorded, end, key=_recorded_key)]
        dated = dated[: bisect_right(dated, end, key=_key)]
    lines = [line for line in recorded if line.change and not line.is_dated]
    if dated:
        lines = sorted([*lines, *dated], key=_key)
    if not ends:
        return lines, None
    return lines, Cursor(
        recorded[-1].version if recorded else cursor.version,
        cursor.last_version,
        dated[-1].key if dated else cursor.dated,
    )


def _key(line: StatementLine) -> LineKey:
    return LineKey(line.effective_at, line.version)


def _recorded_key(line: StatementLine) -> LineKey:
    return LineKey(line.recorded_at, line.version)


@dataclass(frozen=True, slots=True)
class Totals:
    """What lines of a statement add up to, in minor units."""

    credits: int = 0
    debits: int = 0
    credit_lines: int = 0
    debit_lines: int = 0

    def plus(self, lines: Sequence[StatementLine]) -> "Totals":
        changes = [line.change for line in lines]
        credits = [change for change in changes if change > 0]
        added = sum(credits)
        return Totals(
            self.credits + added,
            self.debits + added - sum(changes),
            self.credit_lines + len(credits),
            self.debit_lines + len(changes) - len(credits),
        )


StatementPart = Statement | Sequence[StatementLine] | Totals
"""A statement is told as what it is about, lines in their order, and their totals at the end."""
