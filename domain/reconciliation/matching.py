"""Matching: which lines of a source and which lines of the book are the same money.

Three rules, in this order, each on what the ones before left over, always within one asset:

1. reference: lines that share a reference, directly or over others, belong together. Where both
   sides of such a group add up to the same, all of it is one match. Where they do not, lines of
   equal amounts are paired in the order of their times, and what is then left on both sides differs
   in its amount. Lines of one side alone that share a reference and add up to nothing, as a payment
   and its return, are a match as well. A line whose reference the other side knows takes part in no
   later rule.
2. amount: lines of the same amount at most a window apart are paired in the order of their times.
3. sum: a line of one side equals two to four lines of the other, of its sign, at most a window
   away. Looked at are the twelve nearest in time; if one such set exists and no other, it is one.

The bounds of the third rule keep its work in proportion to the lines, and a total bounds the rest:
lines beyond it stay unmatched. The result does not depend on the order of the lines.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import combinations, islice
from typing import Final, NamedTuple

from domain.ids import LineId
from domain.reconciliation.statement import STATED, LineKind, SourceKind

MOST_PARTS: Final = 4
"""How many lines one line may equal the sum of."""
MOST_CANDIDATES: Final = 12
"""Among how many, the nearest in time, they are looked for."""
MOST_LOOKS: Final = 64
"""How many lines are looked at for those candidates."""
MOST_SUMS: Final = 1_000_000
"""How many sums are tried in one matching of one asset."""


class LineSide(StrEnum):
    """Who says it."""

    STATEMENT = "statement"
    BOOK = "book"


class MatchRule(StrEnum):
    """Why lines are taken for the same money; the last two are what people decided."""

    REFERENCE = "reference"
    AMOUNT = "amount"
    SUM = "sum"
    LINK = "link"
    ADJUSTMENT = "adjustment"


class Line(NamedTuple):
    """One line of either side, signed as the source has it.

    Attributes:
        asset: its code.
        references: all by which it is known.
    """

    id: LineId
    side: LineSide
    asset: str
    units: int
    value_at: datetime
    references: tuple[str, ...]
    kind: LineKind = LineKind.OTHER

    @property
    def place(self) -> tuple[datetime, int, tuple[str, ...], LineId]:
        """What decides among lines that are otherwise alike."""
        return self.value_at, self.units, self.references, self.id


class Group(NamedTuple):
    """Lines of both sides that belong together, in the order of their places."""

    statement: tuple[Line, ...]
    book: tuple[Line, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.statement + self.book

    @property
    def difference(self) -> int:
        """What the source has more than the book."""
        return total(self.statement) - total(self.book)


class Match(NamedTuple):
    """Lines that are the same money: both sides add up to the same."""

    rule: MatchRule
    group: Group


@dataclass(frozen=True, slots=True)
class Rules:
    """Attributes:
    window: how far apart in time two lines without a common reference may be.
    grace: how long a line may wait for its counterpart before it is a break.
    """

    window: timedelta
    grace: timedelta


RULES: Final = {
    # A fill is in the books within seconds, and after a lost answer within a minute or so.
    SourceKind.LP: Rules(window=timedelta(minutes=15), grace=timedelta(minutes=2)),
    # Value dates are days, and weekends lie between them.
    SourceKind.RAIL: Rules(window=timedelta(days=3), grace=timedelta()),
}
"""What holds for the lines of a source of each kind."""


@dataclass(frozen=True, slots=True)
class Matching:
    """Every line is in exactly one of these.

    Attributes:
        differences: groups known by a common reference that do not add up to the same.
        rest: lines without any counterpart, each side's by asset and in the order of their places.
    """

    matches: tuple[Match, ...]
    differences: tuple[Group, ...]
    rest: Group


def total(lines: Iterable[Line]) -> int:
    return sum(line.units for line in lines)


def match_lines(lines: Iterable[Line], window: timedelta) -> Matching:
    """Return which lines are the same money."""
    by_asset: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_asset[line.asset].append(line)
    matches: list[Match] = []
    differences: list[Group] = []
    rest: list[Line] = []
    for asset in sorted(by_asset):
        ordered = sorted(by_asset[asset], key=lambda line: line.place)
        rank = {id(line): number for number, line in enumerate(ordered)}
        free: list[Line] = []
        left_over: list[Line] = []
        for group in _groups(ordered):
            if not group.difference:
                matches.append(Match(MatchRule.REFERENCE, group))
            elif not (group.statement and group.book):
                free += group.lines
            else:
                pairs, left = _equal_pairs(group)
                matches += [Match(MatchRule.REFERENCE, pair) for pair in pairs]
                if left.statement and left.book:
                    differences.append(left)
                else:
                    left_over += left.lines
        left_over += [line for line in free if line.kind not in STATED]
        free = [line for line in free if line.kind in STATED]
        free.sort(key=lambda line: rank[id(line)])
        pairs, free = _near_pairs(free, window)
        matches += [Match(MatchRule.AMOUNT, pair) for pair in pairs]
        sums, free = _sums(free, window)
        matches += [Match(MatchRule.SUM, found) for found in sums]
        left_over += free
        left_over.sort(key=lambda line: rank[id(line)])
        rest += left_over
    return Matching(tuple(matches), tuple(differences), _split(rest))


def _split(lines: Iterable[Line]) -> Group:
    lines = list(lines)
    return Group(
        tuple(line for line in lines if line.side is LineSide.STATEMENT),
        tuple(line for line in lines if line.side is LineSide.BOOK),
    )


def _groups(lines: Sequence[Line]) -> Iterator[Group]:
    """Yield the lines by what they share a reference with, in the order of each one's first."""
    parent = list(range(len(lines)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first_with: dict[str, int] = {}
    for index, line in enumerate(lines):
        for reference in line.references:
            first = first_with.setdefault(reference, index)
            one, other = root(first), root(index)
            # The lower one stays: a group is named by its first line.
            parent[max(one, other)] = min(one, other)
    members: dict[int, list[Line]] = defaultdict(list)
    for index, line in enumerate(lines):
        members[root(index)].append(line)
    for group in members.values():
        yield _split(group)


def _equal_pairs(group: Group) -> tuple[list[Group], Group]:
    """Pair equal amounts in the order of their times; return the pairs and what is left."""
    waiting: dict[int, list[Line]] = defaultdict(list)
    for line in reversed(group.book):
        waiting[line.units].append(line)
    pairs, left = [], []
    for line in group.statement:
        if waiting[line.units]:
            pairs.append(Group((line,), (waiting[line.units].pop(),)))
        else:
            left.append(line)
    rest = {line.id for lines in waiting.values() for line in lines}
    return pairs, Group(tuple(left), tuple(line for line in group.book if line.id in rest))


def _near_pairs(lines: Sequence[Line], window: timedelta) -> tuple[list[Group], list[Line]]:
    """Pair equal amounts in the order of their times, at most a window apart."""
    by_units: dict[int, list[Line]] = defaultdict(list)
    for line in lines:
        by_units[line.units].append(line)
    pairs: list[Group] = []
    paired: set[LineId] = set()
    for alike in by_units.values():
        statement, book = _split(alike)
        one = other = 0
        while one < len(statement) and other < len(book):
            theirs, ours = statement[one], book[other]
            if abs(theirs.value_at - ours.value_at) <= window:
                pairs.append(Group((theirs,), (ours,)))
                paired |= {theirs.id, ours.id}
                one, other = one + 1, other + 1
            elif theirs.value_at < ours.value_at:
                one += 1
            else:
                other += 1
    return pairs, [line for line in lines if line.id not in paired]


class _Side:
    """The free lines of one side and sign, by time."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._times = [line.value_at for line in lines]

    def near(self, line: Line, window: timedelta, taken: set[LineId]) -> list[Line]:
        """Return the nearest free lines that could be parts of it."""
        after = bisect_left(self._times, line.value_at)
        before = after - 1
        found: list[Line] = []
        for _ in range(MOST_LOOKS):
            gap_before = line.value_at - self._times[before] if before >= 0 else None
            gap_after = self._times[after] - line.value_at if after < len(self._times) else None
            if gap_before is not None and (gap_after is None or gap_before <= gap_after):
                gap, candidate, before = gap_before, self._lines[before], before - 1
            elif gap_after is not None:
                gap, candidate, after = gap_after, self._lines[after], after + 1
            else:
                break
            if gap > window:
                break
            if candidate.id not in taken and abs(candidate.units) < abs(line.units):
                found.append(candidate)
                if len(found) == MOST_CANDIDATES:
                    break
        return found


def _sums(lines: Sequence[Line], window: timedelta) -> tuple[list[Group], list[Line]]:
    """Find lines that equal the sum of a few of the other side, the largest first."""
    sides = {
        (side, sign): _Side(
            [line for line in lines if line.side is side and (line.units > 0) is sign]
        )
        for side in LineSide
        for sign in (True, False)
    }
    found: list[Group] = []
    taken: set[LineId] = set()
    budget = MOST_SUMS
    for line in sorted(lines, key=lambda line: (-abs(line.units), line.side, line.place)):
        if budget <= 0:
            break
        if line.id in taken:
            continue
        other = LineSide.BOOK if line.side is LineSide.STATEMENT else LineSide.STATEMENT
        candidates = sides[other, line.units > 0].near(line, window, taken)
        parts, tried = _only_parts(line, candidates)
        budget -= tried + MOST_LOOKS
        if parts:
            found.append(_split(sorted((line, *parts), key=lambda one: one.place)))
            taken |= {line.id, *(part.id for part in parts)}
    return found, [line for line in lines if line.id not in taken]


def _only_parts(line: Line, candidates: Sequence[Line]) -> tuple[tuple[Line, ...], int]:
    """Return the one set of candidates that adds up to the line, and how many were tried."""
    units = [candidate.units for candidate in candidates]
    only: tuple[int, int] | None = None
    tried = 0
    for size in range(2, MOST_PARTS + 1):
        for number, parts in enumerate(combinations(units, size)):
            tried += 1
            if sum(parts) == line.units:
                if only is not None:
                    return (), tried
                only = size, number
    if only is None:
        return (), tried
    size, number = only
    return next(islice(combinations(candidates, size), number, None)), tried
