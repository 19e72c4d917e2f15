"""The whole life of a trade: whatever LPs answer, whatever the clock does, whoever crashes."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.errors import IllegalTransition
from domain.ids import AttemptId
from domain.side import Side
from domain.trade.attempt import WITHOUT_FILL, AttemptState
from domain.trade.outcome import Absent, NotSent, Outcome, Rejected, Unknown
from domain.trade.trade import (
    ATTEMPTS_PER_LP,
    EXECUTION_WINDOW,
    WINDOW_PASSED,
    Step,
    Trade,
    TradeState,
)
from tests.support.builders import NOW, a_fill, a_quote, a_trade, an_id, seconds, sent

OUTCOMES: list[Callable[[Trade], Outcome]] = [
    a_fill,
    lambda trade: a_fill(trade, base=trade.base_amount + trade.base_amount),
    lambda trade: Rejected(reason="NO_CREDIT", evidence="verdict"),
    lambda trade: Rejected(reason="stale", evidence="verdict", lp_quote_expired=True),
    lambda trade: NotSent(reason="REFUSED_CONNECTION", evidence="connect"),
    lambda trade: Absent(evidence="status"),
    lambda trade: Unknown(reason="TIMEOUT", evidence="silence"),
]

ANY_OUTCOME = st.sampled_from(OUTCOMES)
ANY_MOVE = st.sampled_from(["prepare", "send", "conclude", "settle", "reject"])


class LifeOfATrade(RuleBasedStateMachine):
    trade: Trade
    now: datetime

    @initialize(
        side=st.sampled_from(Side),
        lps=st.sampled_from([("alpha",), ("alpha", "beta"), ("alpha", "beta", "gamma")]),
    )
    def accept(self, side: Side, lps: tuple[str, ...]) -> None:
        self.now = NOW
        self.trade = a_trade(a_quote(side=side, lp_order=lps))

    @rule(milliseconds=st.integers(1, 20_000))
    def time_passes(self, milliseconds: int) -> None:
        self.now += timedelta(milliseconds=milliseconds)

    @rule(outcome=ANY_OUTCOME)
    def follow_the_next_step(self, outcome: Callable[[Trade], Outcome]) -> None:
        step = self.trade.next_step(self.now)
        match step:
            case Step.PREPARE:
                self._move("prepare", outcome)
            case Step.SEND:
                self._move("send", outcome)
            case Step.ABANDON:
                self._conclude(NotSent(reason=WINDOW_PASSED, evidence="clock"))
            case Step.MARK_LOST:
                self._conclude(Unknown(reason="CRASH", evidence="found sent"))
            case Step.CHECK:
                # Status never says that an order was not sent.
                found = outcome(self.trade)
                if not isinstance(found, NotSent):
                    self._conclude(found)
            case Step.SETTLE:
                self._move("settle", outcome)
            case Step.REJECT:
                self._move("reject", outcome)
            case Step.NOTHING:
                assert self.trade.is_ended

    @precondition(lambda self: self.trade.attempts and self.trade.attempt.state == "sent")
    @rule(outcome=ANY_OUTCOME)
    def the_lp_answers(self, outcome: Callable[[Trade], Outcome]) -> None:
        self._conclude(outcome(self.trade))

    @rule(move=ANY_MOVE, outcome=ANY_OUTCOME)
    def somebody_forces_a_move(self, move: str, outcome: Callable[[Trade], Outcome]) -> None:
        # Refused or not: the invariants say whether it was rightly allowed.
        with suppress(IllegalTransition, AssertionError, IndexError):
            self._move(move, outcome)

    def _move(self, move: str, outcome: Callable[[Trade], Outcome]) -> None:
        match move:
            case "prepare":
                self.trade = self.trade.prepare(an_id(AttemptId), actor="worker")
            case "send":
                self.trade = sent(self.trade, now=self.now)
            case "conclude":
                self._conclude(outcome(self.trade))
            case "settle":
                self.trade = self.trade.settle(actor="worker", now=self.now)
            case "reject":
                self.trade = self.trade.reject(actor="worker", now=self.now)

    def _conclude(self, outcome: Outcome) -> None:
        self.trade = self.trade.conclude(outcome, actor="worker", now=self.now)

    @invariant()
    def at_most_one_attempt_ever_fills(self) -> None:
        filled = [a for a in self.trade.attempts if a.state is AttemptState.FILLED]
        assert len(filled) <= 1

    @invariant()
    def an_attempt_follows_only_proof_that_no_earlier_one_filled(self) -> None:
        assert all(attempt.state in WITHOUT_FILL for attempt in self.trade.attempts[:-1])

    @invariant()
    def a_rejected_trade_has_no_attempt_that_may_have_filled(self) -> None:
        if self.trade.state is TradeState.REJECTED:
            assert all(attempt.state in WITHOUT_FILL for attempt in self.trade.attempts)
            assert self.trade.rejection_reason

    @invariant()
    def trade_and_attempt_agree(self) -> None:
        latest = self.trade.attempts[-1].state if self.trade.attempts else None
        is_unknown = latest is AttemptState.UNKNOWN
        assert (self.trade.state is TradeState.OUTCOME_UNKNOWN) == is_unknown
        assert (self.trade.unknown_since is not None) == is_unknown
        is_filled = latest is AttemptState.FILLED
        assert (self.trade.state in {TradeState.FILLED, TradeState.SETTLED}) == is_filled
        was_sent = any(attempt.sent_at for attempt in self.trade.attempts)
        assert self.trade.state is not TradeState.PENDING or not was_sent
        assert (self.trade.ended_at is not None) == self.trade.is_ended
        for attempt in self.trade.attempts:
            waits = attempt.state is AttemptState.UNKNOWN
            assert (attempt.next_check_at is not None) == waits
            assert (attempt.filled_amount is not None) == (attempt.state == "filled")

    @invariant()
    def every_step_is_recorded_without_a_gap(self) -> None:
        latest = {0: TradeState.PENDING.value}
        for step in self.trade.transitions:
            assert step.from_state == latest.get(step.attempt, "")
            assert step.to_state != step.from_state
            assert step.actor
            latest[step.attempt] = step.to_state
        now = {attempt.number: attempt.state.value for attempt in self.trade.attempts}
        assert latest == {0: self.trade.state.value, **now}
        assert list(now) == list(range(1, len(now) + 1))

    @invariant()
    def nothing_is_sent_once_the_window_has_passed(self) -> None:
        for attempt in self.trade.attempts:
            assert attempt.sent_at is None or attempt.sent_at < NOW + EXECUTION_WINDOW
        if self.now >= NOW + EXECUTION_WINDOW:
            assert self.trade.next_step(self.now) is not Step.SEND

    @invariant()
    def no_lp_is_asked_too_often(self) -> None:
        lps = [attempt.lp for attempt in self.trade.attempts]
        assert all(lps.count(lp) <= ATTEMPTS_PER_LP for lp in lps)
        assert lps == sorted(lps), "in the order of the quote"

    @invariant()
    def the_next_step_is_nothing_exactly_at_the_end(self) -> None:
        is_over = self.trade.next_step(self.now) is Step.NOTHING
        assert is_over == (self.trade.state in {TradeState.SETTLED, TradeState.REJECTED})

    def teardown(self) -> None:
        """Every trade comes to its end, if only the LPs say in the end what happened."""
        if not hasattr(self, "trade"):
            return
        for _ in range(20):
            self.now += seconds(1)
            self.follow_the_next_step(OUTCOMES[0] if self.now.second % 2 else OUTCOMES[2])
        assert self.trade.is_ended


LifeOfATrade.TestCase.settings = settings(max_examples=300, stateful_step_count=30)
test_the_life_of_a_trade = LifeOfATrade.TestCase
