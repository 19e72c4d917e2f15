"""Circuit breakers: what opens one, what closes it, and what never does."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from domain.liquidity.circuit import Circuit, CircuitRule, CircuitState, LpOutcome, record_of
from tests.support.builders import NOW

RULE: Final = CircuitRule(
    failures_in_a_row=5,
    window=timedelta(seconds=30),
    calls_at_least=20,
    failed_percent=50,
    open_for=timedelta(seconds=5),
    probes=3,
)
CLOSED: Final = Circuit(since=NOW, window_began_at=NOW)
OPEN: Final = replace(CLOSED, state=CircuitState.OPEN)
HALF_OPEN: Final = replace(CLOSED, state=CircuitState.HALF_OPEN)

GOOD: Final = LpOutcome.QUOTED
BAD: Final = LpOutcome.FAILED

OUTCOMES: Final = st.lists(st.sampled_from(LpOutcome), max_size=60)
STATES: Final = st.sampled_from([CLOSED, OPEN, HALF_OPEN])


def seconds(number: int) -> timedelta:
    return timedelta(seconds=number)


def test_so_many_failures_in_a_row_open_it() -> None:
    almost = CLOSED.heard([BAD] * 4, NOW, RULE)

    assert almost.state is CircuitState.CLOSED
    assert almost.heard([BAD], NOW, RULE).state is CircuitState.OPEN


def test_an_answer_in_between_begins_the_row_anew() -> None:
    assert CLOSED.heard([BAD] * 4 + [GOOD] + [BAD] * 4, NOW, RULE).state is CircuitState.CLOSED


def test_a_share_of_failures_opens_it_too() -> None:
    few = CLOSED.heard([GOOD, BAD] * 9, NOW, RULE)

    assert few.state is CircuitState.CLOSED
    assert few.heard([GOOD, BAD], NOW, RULE).state is CircuitState.OPEN


def test_a_share_is_taken_within_one_window() -> None:
    before = CLOSED.heard([GOOD, BAD] * 9, NOW, RULE)

    after = before.heard([GOOD, BAD] * 9, NOW + RULE.window, RULE)

    assert after.state is CircuitState.CLOSED
    assert (after.window_calls, after.window_failures) == (18, 9)


def test_a_refusal_is_an_answer() -> None:
    refused = [LpOutcome.REFUSED, LpOutcome.REJECTED] * 40

    assert CLOSED.heard(refused, NOW, RULE).state is CircuitState.CLOSED


def test_what_is_not_known_is_a_failure() -> None:
    for outcome in (LpOutcome.UNKNOWN, LpOutcome.NOT_SENT, LpOutcome.LATE):
        assert CLOSED.heard([outcome] * 5, NOW, RULE).state is CircuitState.OPEN


def test_it_is_tried_when_it_was_open_long_enough() -> None:
    assert OPEN.at(NOW + RULE.open_for - timedelta(microseconds=1), RULE) == OPEN

    tried = OPEN.at(NOW + RULE.open_for, RULE)

    assert (tried.state, tried.since) == (CircuitState.HALF_OPEN, NOW + RULE.open_for)


def test_answers_to_those_who_try_close_it_and_one_failure_opens_it() -> None:
    assert HALF_OPEN.heard([GOOD] * 2, NOW, RULE).state is CircuitState.HALF_OPEN
    assert HALF_OPEN.heard([GOOD] * 3, NOW, RULE).state is CircuitState.CLOSED
    assert HALF_OPEN.heard([GOOD, GOOD, BAD], NOW, RULE).state is CircuitState.OPEN


@given(OUTCOMES)
def test_an_open_one_hears_nothing(outcomes: list[LpOutcome]) -> None:
    assert OPEN.heard(outcomes, NOW + seconds(1), RULE) == OPEN


@given(OUTCOMES, OUTCOMES, STATES)
def test_how_outcomes_are_batched_makes_no_difference(
    some: list[LpOutcome], more: list[LpOutcome], circuit: Circuit
) -> None:
    apart = circuit.heard(some, NOW, RULE).heard(more, NOW, RULE)

    assert apart == circuit.heard(some + more, NOW, RULE)


@given(OUTCOMES)
def test_a_closed_one_stays_closed_while_less_fails_than_the_rule_says(
    outcomes: list[LpOutcome],
) -> None:
    row = longest = failures = 0
    share = False
    for calls, outcome in enumerate(outcomes, start=1):
        row = 0 if outcome.is_answer else row + 1
        failures += not outcome.is_answer
        longest = max(longest, row)
        share = share or (row > 0 and calls >= 20 and failures * 2 >= calls)

    circuit = CLOSED.heard(outcomes, NOW, RULE)

    assert (circuit.state is CircuitState.OPEN) == (longest >= 5 or share)


@given(STATES, st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=40))
def test_whatever_happens_an_lp_that_answers_from_now_on_is_asked_again(
    circuit: Circuit, history: list[tuple[int, bool]]
) -> None:
    now = NOW
    for passed, is_answer in history:
        now += seconds(passed)
        circuit = circuit.heard([GOOD if is_answer else BAD], now, RULE).at(now, RULE)

    now += RULE.open_for
    circuit = circuit.at(now, RULE).heard([GOOD] * RULE.probes, now, RULE)

    assert circuit.state is CircuitState.CLOSED


@given(OUTCOMES)
def test_every_call_is_counted_once_under_its_own_name(outcomes: list[LpOutcome]) -> None:
    record = record_of([(outcome, 7) for outcome in outcomes])

    assert record.requests + record.orders == len(outcomes)
    assert record.quote_ms == 7 * outcomes.count(LpOutcome.QUOTED)
    for outcome in LpOutcome:
        assert record._asdict()[outcome.value] == outcomes.count(outcome)
