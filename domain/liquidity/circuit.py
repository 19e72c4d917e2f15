"""A circuit breaker: an LP that fails again and again is left alone until it answers again.

The idea is Michael Nygard's, in "Release It!": closed lets all calls through, open none, half-open
a few that try whether the other side is back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from domain.routing import LpRecord
from domain.transition import advance


class LpOutcome(StrEnum):
    """What became of one call to an LP, by the name of its count in `LpRecord`."""

    QUOTED = "quoted"
    REFUSED = "refused"
    LATE = "late"
    FAILED = "failed"
    FILLED = "filled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"

    @property
    def is_answer(self) -> bool:
        """Whether the LP answered; a refusal is an answer too."""
        return self in _ANSWERS


_ANSWERS: Final = frozenset(
    {LpOutcome.QUOTED, LpOutcome.REFUSED, LpOutcome.FILLED, LpOutcome.REJECTED}
)


class CircuitState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitAction(StrEnum):
    TRIP = "trip"
    PROBE = "probe"
    RECOVER = "recover"


TRANSITIONS: Final = {
    (CircuitState.CLOSED, CircuitAction.TRIP): CircuitState.OPEN,
    (CircuitState.OPEN, CircuitAction.PROBE): CircuitState.HALF_OPEN,
    (CircuitState.HALF_OPEN, CircuitAction.TRIP): CircuitState.OPEN,
    (CircuitState.HALF_OPEN, CircuitAction.RECOVER): CircuitState.CLOSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitRule:
    """When a circuit opens and closes.

    Attributes:
        failures_in_a_row: so many open it.
        window: how long calls are counted together before the count begins anew.
        calls_at_least: of fewer calls in a window no share is taken.
        failed_percent: a share of failures in a window that opens it.
        open_for: how long it stays open before the LP is tried.
        probes: answers in a row that close it, and calls a second that may try it.
    """

    failures_in_a_row: int = 5
    window: timedelta = timedelta(seconds=30)
    calls_at_least: int = 20
    failed_percent: int = 50
    open_for: timedelta = timedelta(seconds=5)
    probes: int = 3

    def __post_init__(self) -> None:
        assert self.failures_in_a_row > 0
        assert self.calls_at_least > 0
        assert 0 < self.failed_percent <= 100
        assert self.probes > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """Where the breaker of one LP stands.

    Attributes:
        since: when it came into its state.
        failures_in_a_row, answers_in_a_row: how many were heard last, one of them being zero.
        window_began_at: since when calls are counted.
        window_calls, window_failures: how many there were since then.
    """

    since: datetime
    window_began_at: datetime
    state: CircuitState = CircuitState.CLOSED
    failures_in_a_row: int = 0
    answers_in_a_row: int = 0
    window_calls: int = 0
    window_failures: int = 0

    def at(self, now: datetime, rule: CircuitRule) -> "Circuit":
        """Return it as it is once time has passed: one that was open long enough is tried."""
        if self.state is CircuitState.OPEN and now >= self.since + rule.open_for:
            return self._advance(CircuitAction.PROBE, now)
        return self

    def heard(self, outcomes: Iterable[LpOutcome], now: datetime, rule: CircuitRule) -> "Circuit":
        """Return it after calls to the LP, in the order in which they ended."""
        circuit = self
        for outcome in outcomes:
            circuit = circuit._after(outcome, now, rule)
        return circuit

    def _after(self, outcome: LpOutcome, now: datetime, rule: CircuitRule) -> "Circuit":
        if self.state is CircuitState.OPEN:
            # Asked before it opened: what it tells is known by now.
            return self
        circuit = self._counted(outcome, now, rule)
        if circuit._has_failed(rule):
            return circuit._advance(CircuitAction.TRIP, now)
        if circuit.state is CircuitState.HALF_OPEN and circuit.answers_in_a_row >= rule.probes:
            return circuit._advance(CircuitAction.RECOVER, now)
        return circuit

    def _counted(self, outcome: LpOutcome, now: datetime, rule: CircuitRule) -> "Circuit":
        is_over = now >= self.window_began_at + rule.window
        failed = 0 if outcome.is_answer else 1
        return replace(
            self,
            failures_in_a_row=self.failures_in_a_row + 1 if failed else 0,
            answers_in_a_row=0 if failed else self.answers_in_a_row + 1,
            window_began_at=now if is_over else self.window_began_at,
            window_calls=1 if is_over else self.window_calls + 1,
            window_failures=failed if is_over else self.window_failures + failed,
        )

    def _has_failed(self, rule: CircuitRule) -> bool:
        if self.state is CircuitState.HALF_OPEN:
            return self.failures_in_a_row > 0
        return self.failures_in_a_row >= rule.failures_in_a_row or (
            self.failures_in_a_row > 0
            and self.window_calls >= rule.calls_at_least
            and self.window_failures * 100 >= self.window_calls * rule.failed_percent
        )

    def _advance(self, action: CircuitAction, now: datetime) -> "Circuit":
        state = advance(TRANSITIONS, self.state, action)
        return Circuit(state=state, since=now, window_began_at=now)


def record_of(outcomes: Iterable[tuple[LpOutcome, int]]) -> LpRecord:
    """Return the counts of calls, each with how long it took in milliseconds."""
    counts = dict.fromkeys(LpRecord._fields, 0)
    for outcome, took_ms in outcomes:
        counts[outcome.value] += 1
        if outcome is LpOutcome.QUOTED:
            counts["quote_ms"] += took_ms
    return LpRecord(**counts)
