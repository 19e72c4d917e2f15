"""Looking late: as often as planned, until the LP has answered, and never at the trade's cost."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from domain.errors import IllegalTransition
from domain.ids import AttemptId
from domain.trade.attempt import AttemptAction, AttemptState
from domain.trade.late_check import (
    FIRST_RETRY,
    LAST_RETRY,
    LATE_LOOKS,
    LateCheck,
    plan_late_check,
)
from domain.trade.outcome import Absent, Rejected, Unknown
from domain.trade.trade import Trade, TradeState
from tests.support.builders import NOW, a_fill, a_sent_trade, an_id, seconds, sent

ABSENT = Absent(evidence="status 404")


def a_check(*, concluded_at: datetime = NOW) -> LateCheck:
    trade = a_sent_trade()
    return plan_late_check(trade.id, 1, LATE_LOOKS, concluded_at=concluded_at)


def a_trade_found_absent() -> Trade:
    trade = a_sent_trade()
    return trade.conclude(ABSENT, actor="worker", now=NOW + seconds(2))


def test_an_lp_is_asked_after_a_minute_ten_minutes_and_an_hour() -> None:
    check, asked_at = a_check(), []
    while check.due_at is not None:
        asked_at.append(check.due_at - NOW)
        check = check.look_in_vain(LATE_LOOKS, asked_at=check.due_at)

    assert asked_at == [timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1)]
    assert check.looks == 3


def test_looks_that_nobody_took_in_time_are_not_made_up_for() -> None:
    late = a_check().look_in_vain(LATE_LOOKS, asked_at=NOW + timedelta(minutes=30))
    last = late.look_in_vain(LATE_LOOKS, asked_at=NOW + timedelta(days=1))

    assert late.due_at == NOW + timedelta(hours=1)
    assert (last.due_at, last.looks) == (None, 2)


def test_an_answer_counts_for_when_it_was_asked_for_and_not_for_looks_that_came_due_since() -> None:
    asked_at = NOW + timedelta(minutes=1)

    noted_long_after = a_check().look_in_vain(LATE_LOOKS, asked_at=asked_at)

    assert noted_long_after.due_at == NOW + timedelta(minutes=10)


def test_silence_counts_for_nothing_and_is_met_with_longer_and_longer_pauses() -> None:
    check, pauses = a_check(), []
    for _ in range(30):
        check = check.go_unanswered(now=NOW)
        assert check.due_at is not None
        pauses.append(check.due_at - NOW)

    assert (check.looks, check.unanswered) == (0, 30)
    assert (pauses[0], pauses[-1]) == (FIRST_RETRY, LAST_RETRY)
    assert all(after in (before * 2, LAST_RETRY) for before, after in pairwise(pauses))


def test_once_the_lp_answers_the_pauses_begin_anew() -> None:
    answered = a_check().go_unanswered(now=NOW).look_in_vain(LATE_LOOKS, asked_at=NOW + seconds(70))

    assert (answered.looks, answered.unanswered) == (1, 0)
    assert answered.due_at == NOW + timedelta(minutes=10)


def test_a_fill_ends_the_looking() -> None:
    found = a_check().find_fill()

    assert (found.due_at, found.looks) == (None, 1)


def test_a_trade_names_the_attempts_that_it_has_just_found_absent() -> None:
    trade = a_trade_found_absent()
    assert [attempt.number for attempt in trade.found_absent] == [1]

    gone_on = trade.prepare(an_id(AttemptId), actor="worker")
    assert [attempt.number for attempt in gone_on.found_absent] == [1]

    stored = replace(gone_on, transitions=())
    assert stored.found_absent == ()


@pytest.mark.parametrize(
    "outcome", [Rejected(reason="NO", evidence="422"), Unknown(reason="LOST", evidence="none")]
)
def test_nothing_else_is_found_absent(outcome: Rejected | Unknown) -> None:
    trade = a_sent_trade().conclude(outcome, actor="worker", now=NOW)

    assert trade.found_absent == ()


def test_a_late_fill_is_kept_in_the_history_and_changes_nothing_else() -> None:
    trade = replace(a_trade_found_absent(), transitions=())
    fill = a_fill(trade, base=trade.base_amount + trade.base_amount)

    noted = trade.fill_late(1, fill, actor="work")

    assert replace(noted, transitions=()) == trade
    (step,) = noted.transitions
    assert (step.attempt, step.action) == (1, AttemptAction.FILL_LATE)
    assert (step.from_state, step.to_state) == (AttemptState.ABSENT, AttemptState.ABSENT)
    assert (step.actor, step.evidence) == ("work", fill.evidence)


def test_a_second_fill_leaves_a_settled_trade_settled() -> None:
    trade = a_trade_found_absent().prepare(an_id(AttemptId), actor="worker")
    trade = sent(trade, now=NOW + seconds(3))
    trade = trade.conclude(a_fill(trade), actor="worker", now=NOW + seconds(4))
    settled = trade.settle(actor="worker", now=NOW + seconds(4))

    noted = settled.fill_late(1, a_fill(settled), actor="work")

    assert noted.state is TradeState.SETTLED
    assert noted.lp_fill == settled.lp_fill
    assert noted.attempts == settled.attempts


def test_only_what_was_concluded_absent_is_filled_late() -> None:
    lost = a_sent_trade().conclude(Unknown(reason="LOST", evidence="none"), actor="worker", now=NOW)

    with pytest.raises(IllegalTransition):
        lost.fill_late(1, a_fill(lost), actor="work")
