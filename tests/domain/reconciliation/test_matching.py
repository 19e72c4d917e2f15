"""Which lines are the same money, whatever order they come in."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ids import BreakId, LineId
from domain.reconciliation.break_ import BreakKind
from domain.reconciliation.judging import judge
from domain.reconciliation.matching import (
    MOST_PARTS,
    Line,
    LineSide,
    Matching,
    MatchRule,
    match_lines,
    total,
)
from domain.reconciliation.statement import LineKind

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=15)


class Lines:
    """Lines with ids of their own."""

    def __init__(self) -> None:
        self.made: list[Line] = []

    def theirs(self, units: int, *references: str, minutes: int = 0) -> Line:
        return self._line(LineSide.STATEMENT, units, references, minutes)

    def ours(self, units: int, *references: str, minutes: int = 0) -> Line:
        return self._line(LineSide.BOOK, units, references, minutes)

    def _line(
        self,
        side: LineSide,
        units: int,
        references: tuple[str, ...],
        minutes: int,
        kind: LineKind = LineKind.OTHER,
    ) -> Line:
        number = len(self.made) + 1
        line = Line(
            LineId(UUID(int=number)),
            side,
            "NGN",
            units,
            NOON + timedelta(minutes=minutes),
            references or (f"own-{number}",),
            kind,
        )
        self.made.append(line)
        return line

    def matched(self) -> Matching:
        return match_lines(self.made, WINDOW)


def test_a_common_reference_joins_lines_whatever_lies_between_them_in_time() -> None:
    lines = Lines()
    theirs = lines.theirs(5, "alpha-1", "attempt-1")
    ours = lines.ours(5, "trade-1", "attempt-1", minutes=60 * 24 * 30)

    (match,) = lines.matched().matches

    assert match.rule is MatchRule.REFERENCE
    assert match.group == ((theirs,), (ours,))


def test_several_lines_of_one_reference_match_if_they_add_up() -> None:
    lines = Lines()
    lines.theirs(5, "batch")
    lines.ours(2, "a", "batch")
    lines.ours(3, "b", "batch")

    (match,) = lines.matched().matches

    assert match.rule is MatchRule.REFERENCE
    assert len(match.group.lines) == 3


def test_a_second_fill_of_one_order_is_left_over_and_matches_nothing_else() -> None:
    lines = Lines()
    lines.theirs(5, "alpha-1", "attempt-1")
    second = lines.theirs(5, "alpha-2", "attempt-1")
    lines.ours(5, "trade-1", "attempt-1")
    other = lines.ours(5, "a deposit")

    found = lines.matched()

    assert len(found.matches) == 1
    assert found.rest == ((second,), (other,))


def test_another_amount_under_the_same_reference_is_a_difference() -> None:
    lines = Lines()
    lines.theirs(-1005, "attempt-1")
    lines.ours(-1000, "attempt-1")

    (difference,) = lines.matched().differences

    assert difference.difference == -5


def test_a_payment_and_its_return_under_one_reference_need_no_counterpart() -> None:
    lines = Lines()
    lines.theirs(70, "payment-1")
    lines.theirs(-70, "return-1", "payment-1")

    found = lines.matched()

    assert [match.rule for match in found.matches] == [MatchRule.REFERENCE]
    assert found.rest == ((), ())


def test_without_a_reference_equal_amounts_match_within_the_window_and_not_beyond() -> None:
    lines = Lines()
    lines.theirs(5)
    lines.ours(5, minutes=15)
    late = lines.ours(7, minutes=16)
    lonely = lines.theirs(7)

    found = lines.matched()

    assert [match.rule for match in found.matches] == [MatchRule.AMOUNT]
    assert found.rest == ((lonely,), (late,))


def test_one_line_equals_the_sum_of_a_few_either_way() -> None:
    lines = Lines()
    lines.theirs(100)
    lines.ours(60, minutes=1)
    lines.ours(40, minutes=2)
    lines.ours(-900)
    lines.theirs(-500, minutes=3)
    lines.theirs(-300, minutes=3)
    lines.theirs(-100, minutes=3)

    found = lines.matched()

    assert sorted(len(match.group.lines) for match in found.matches) == [3, 4]
    assert {match.rule for match in found.matches} == {MatchRule.SUM}
    assert found.rest == ((), ())


def test_a_sum_that_could_be_made_in_two_ways_is_not_guessed() -> None:
    lines = Lines()
    lines.theirs(100)
    for units in (60, 40, 70, 30):
        lines.ours(units)

    assert lines.matched().matches == ()


def test_a_sum_of_more_parts_than_the_bound_is_not_looked_for() -> None:
    lines = Lines()
    lines.theirs(31)
    for units in (1, 2, 4, 8, 16):
        lines.ours(units)
    assert len(lines.made) - 1 > MOST_PARTS

    assert lines.matched().matches == ()


def test_an_opening_balance_matches_no_payment_of_its_amount() -> None:
    lines = Lines()
    lines._line(LineSide.STATEMENT, 5, ("opening",), 0, LineKind.OPENING)
    lines.ours(5)

    assert lines.matched().matches == ()


SOME_LINES = st.lists(
    st.tuples(
        st.sampled_from(LineSide),
        st.sampled_from(["BTC", "NGN"]),
        st.integers(-6, 6).filter(bool),
        st.integers(0, 40),
        st.lists(st.sampled_from("abcdefghij"), max_size=2, unique=True),
        st.sampled_from([LineKind.OTHER, LineKind.TRADE, LineKind.CORRECTION]),
    ),
    max_size=24,
).map(
    lambda rows: [
        Line(
            LineId(UUID(int=number)),
            side,
            asset,
            units,
            NOON + timedelta(minutes=minutes),
            (f"own-{number}", *references),
            kind,
        )
        for number, (side, asset, units, minutes, references, kind) in enumerate(rows, start=1)
    ]
)


@given(lines=SOME_LINES)
def test_every_line_is_in_exactly_one_place_and_every_match_adds_up(lines: list[Line]) -> None:
    found = match_lines(lines, WINDOW)

    places = Counter(
        line.id
        for group in (
            *(match.group for match in found.matches),
            *found.differences,
            found.rest,
        )
        for line in group.lines
    )
    assert places == Counter(line.id for line in lines)
    for match in found.matches:
        assert not match.group.difference
        assert len({line.asset for line in match.group.lines}) == 1
    for difference in found.differences:
        assert difference.statement
        assert difference.book
        assert difference.difference


@given(lines=SOME_LINES, data=st.data())
def test_the_order_of_the_lines_does_not_matter(lines: list[Line], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(lines))

    one, other = match_lines(lines, WINDOW), match_lines(shuffled, WINDOW)

    assert set(one.matches) == set(other.matches)
    assert set(one.differences) == set(other.differences)
    assert one.rest == other.rest


@settings(max_examples=50)
@given(lines=SOME_LINES, minutes=st.integers(-5, 60), broken=st.data())
def test_every_line_is_matched_a_break_or_waits_and_differences_add_up(
    lines: list[Line], minutes: int, broken: st.DataObject
) -> None:
    some = broken.draw(st.lists(st.sampled_from(lines), unique=True)) if lines else []
    breaks = {line.id: BreakId(UUID(int=index // 2 + 1)) for index, line in enumerate(some)}
    judged = judge(
        match_lines(lines, WINDOW),
        breaks,
        now=NOON + timedelta(minutes=minutes),
        told_until=NOON + timedelta(minutes=minutes),
        grace=timedelta(minutes=2),
    )

    groups = [
        *(match.group.lines for match in judged.matches),
        *(found.group.lines for found in judged.found),
        judged.waiting,
        *(group.lines for group in judged.kept.values()),
    ]
    places = Counter(line.id for group in groups for line in group)
    assert places == Counter(line.id for line in lines)
    assert set(breaks.values()) == {*judged.kept, *judged.explained}
    unexplained = [
        *(found.group.difference for found in judged.found),
        *(group.difference for group in judged.kept.values()),
        total(line for line in judged.waiting if line.side is LineSide.STATEMENT)
        - total(line for line in judged.waiting if line.side is LineSide.BOOK),
    ]
    theirs = total(line for line in lines if line.side is LineSide.STATEMENT)
    ours = total(line for line in lines if line.side is LineSide.BOOK)
    assert sum(unexplained) == theirs - ours


def test_a_line_waits_for_its_grace_and_is_a_break_after_it() -> None:
    lines = Lines()
    lines.theirs(5)
    lines.ours(7)
    found = lines.matched()

    def kinds(minutes: int) -> list[BreakKind]:
        at = NOON + timedelta(minutes=minutes)
        judged = judge(found, {}, now=at, told_until=at, grace=timedelta(minutes=2))
        return [one.kind for one in judged.found]

    assert kinds(1) == []
    assert kinds(2) == [BreakKind.MISSING_IN_BOOKS, BreakKind.MISSING_IN_STATEMENT]


def test_a_break_goes_on_as_long_as_it_is_about_the_same_lines() -> None:
    lines = Lines()
    theirs = lines.theirs(100, "attempt-1")
    known = {theirs.id: BreakId(UUID(int=1))}
    later = NOON + timedelta(days=1)

    same = judge(lines.matched(), known, now=later, told_until=later, grace=timedelta())
    lines.ours(90, "attempt-1")
    other = judge(lines.matched(), known, now=later, told_until=later, grace=timedelta())

    assert (list(same.kept), same.found) == ([BreakId(UUID(int=1))], ())
    assert [one.kind for one in other.found] == [BreakKind.AMOUNT_DIFFERS]
    assert other.explained == (BreakId(UUID(int=1)),)
