"""What is to be done about lines once they are matched: which are breaks, and which may wait."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from domain.ids import BreakId, LineId
from domain.reconciliation.break_ import BreakKind
from domain.reconciliation.matching import Group, Line, LineSide, Match, Matching
from domain.reconciliation.statement import LineKind

_OF_KIND = {
    LineKind.OPENING: BreakKind.BALANCE_DIFFERS,
    LineKind.CORRECTION: BreakKind.STATEMENT_CHANGED,
}


class Finding(NamedTuple):
    """A break that is to be raised for these lines."""

    kind: BreakKind
    group: Group


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every line is in exactly one of the first four.

    Attributes:
        kept: breaks that stay as they are, with their lines.
        explained: breaks whose lines are matched now, or belong to another break.
    """

    matches: tuple[Match, ...]
    found: tuple[Finding, ...]
    waiting: tuple[Line, ...]
    kept: Mapping[BreakId, Group]
    explained: tuple[BreakId, ...]


def judge(
    matching: Matching,
    broken: Mapping[LineId, BreakId],
    *,
    now: datetime,
    told_until: datetime,
    grace: timedelta,
) -> Judgement:
    """Decide about every line.

    A line of the source may wait for the book until `grace` after its time, with what it differs
    from; a line of the book for the source until the source has told of a time so much later, so
    up to `told_until`. What says that the source contradicts itself waits for nobody. `broken` has
    the break of each line that has one; a break goes on only if it is about exactly the same lines
    as before.
    """
    before: dict[BreakId, set[LineId]] = defaultdict(set)
    for line_id, break_id in broken.items():
        before[break_id].add(line_id)
    until = {LineSide.STATEMENT: now, LineSide.BOOK: told_until}

    def is_due(line: Line) -> bool:
        return line.kind in _OF_KIND or line.value_at + grace <= until[line.side]

    found: list[Finding] = []
    waiting: list[Line] = []
    kept: dict[BreakId, Group] = {}
    groups = [
        *matching.differences,
        *(Group((line,), ()) for line in matching.rest.statement),
        *(Group((), (line,)) for line in matching.rest.book),
    ]
    for group in groups:
        known = broken.get(group.lines[0].id)
        if known is not None and before[known] == {line.id for line in group.lines}:
            kept[known] = group
        elif any(map(is_due, group.lines)):
            found.append(Finding(_kind(group), group))
        else:
            waiting += group.lines
    return Judgement(
        matches=matching.matches,
        found=tuple(found),
        waiting=tuple(waiting),
        kept=kept,
        explained=tuple(sorted(before.keys() - kept.keys())),
    )


def _kind(group: Group) -> BreakKind:
    if not group.book:
        return _OF_KIND.get(group.statement[0].kind, BreakKind.MISSING_IN_BOOKS)
    return BreakKind.AMOUNT_DIFFERS if group.statement else BreakKind.MISSING_IN_STATEMENT
