"""A trade: two life cycles, one attempt at a time, and what comes next."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.amount import Amount
from domain.asset import Instrument
from domain.errors import IllegalTransition
from domain.ids import AttemptId
from domain.side import Side
from domain.trade.attempt import TRANSITIONS as ATTEMPT_TRANSITIONS
from domain.trade.attempt import WITHOUT_FILL, AttemptAction, AttemptState
from domain.trade.outcome import (
    ORDER_WORKING,
    Absent,
    Filled,
    NotSent,
    Outcome,
    Rejected,
    Unknown,
)
from domain.trade.trade import (
    EXECUTION_WINDOW,
    PUBLIC_STATE,
    TERMINAL,
    TRANSITIONS,
    PublicTradeState,
    Step,
    Trade,
    TradeAction,
    TradeState,
    Transition,
)
from domain.transition import advance
from tests.support.builders import (
    BTC,
    NGN,
    NOW,
    USD,
    a_fill,
    a_prepared_trade,
    a_quote,
    a_sent_trade,
    a_trade,
    an_attempt,
    an_id,
    ngn,
    seconds,
    sent,
    some_terms,
)

S = TypeVar("S", bound=StrEnum)
A = TypeVar("A", bound=StrEnum)

ATTEMPT_LIFE = """
            send  abandon   fill    reject    find_absent  lose     fill_late
prepared    sent  not_sent  -       -         -            -        -
sent        -     not_sent  filled  rejected  absent       unknown  -
filled      -     -         -       -         -            -        -
rejected    -     -         -       -         -            -        -
not_sent    -     -         -       -         -            -        -
absent      -     -         -       -         -            -        absent
unknown     -     -         filled  rejected  absent       -        -
"""

TRADE_LIFE = """
                 submit     fill    settle   reject    lose             resume
pending          submitted  -       -        rejected  -                -
submitted        -          filled  -        rejected  outcome_unknown  -
filled           -          -       settled  -         -                -
settled          -          -       -        -         -                -
rejected         -          -       -        -         -                -
outcome_unknown  -          filled  -        -         -                submitted
"""

REJECTED = Rejected(reason="NO_CREDIT", evidence="http 422")
LP_EXPIRED = Rejected(reason="stale", evidence="http 410", lp_quote_expired=True)
NOT_SENT = NotSent(reason="REFUSED_CONNECTION", evidence="connect")
ABSENT = Absent(evidence="status 404")
UNKNOWN = Unknown(reason="TIMEOUT", evidence="no answer")

LAST_INSTANT = EXECUTION_WINDOW - timedelta(microseconds=1)


def _assert_life(
    life: str, table: Mapping[tuple[S, A], S], states: type[S], actions: type[A]
) -> None:
    """Assert that `table` is what the text says, for the full product of states and actions."""
    header, *rows = life.strip().splitlines()
    names = header.split()
    cells = {row.split()[0]: dict(zip(names, row.split()[1:], strict=True)) for row in rows}
    assert (set(cells), set(names)) == (set(states), set(actions))
    for state in states:
        for action in actions:
            expected = cells[state][action]
            if expected == "-":
                with pytest.raises(IllegalTransition):
                    advance(table, state, action)
            else:
                assert advance(table, state, action) == expected


def test_every_pair_of_attempt_state_and_action_is_in_the_table_or_refused() -> None:
    _assert_life(ATTEMPT_LIFE, ATTEMPT_TRANSITIONS, AttemptState, AttemptAction)


def test_every_pair_of_trade_state_and_action_is_in_the_table_or_refused() -> None:
    _assert_life(TRADE_LIFE, TRANSITIONS, TradeState, TradeAction)


def test_a_terminal_state_is_one_that_nothing_leaves() -> None:
    assert {state for state, _ in TRANSITIONS} == set(TradeState) - TERMINAL
    left = {state for (state, _), then in ATTEMPT_TRANSITIONS.items() if then is not state}
    assert set(AttemptState) - left == WITHOUT_FILL | {AttemptState.FILLED}


def test_every_state_has_a_public_face_and_only_ends_look_like_ends() -> None:
    assert set(PUBLIC_STATE) == set(TradeState)
    assert {PUBLIC_STATE[state] for state in TradeState} == set(PublicTradeState)
    for state in TradeState:
        assert (str(PUBLIC_STATE[state]) in set(TERMINAL)) == (state in TERMINAL)
        assert (PUBLIC_STATE[state] == "outcome_unknown") == (state == "outcome_unknown")


@pytest.mark.parametrize("state", AttemptState)
@pytest.mark.parametrize(
    ("outcome", "action"),
    [
        ("fill", AttemptAction.FILL),
        (REJECTED, AttemptAction.REJECT),
        (LP_EXPIRED, AttemptAction.REJECT),
        (NOT_SENT, AttemptAction.ABANDON),
        (ABSENT, AttemptAction.FIND_ABSENT),
        (UNKNOWN, AttemptAction.LOSE),
    ],
    ids=["fill", "rejected", "lp quote expired", "not sent", "absent", "unknown"],
)
def test_an_outcome_moves_an_attempt_as_its_table_says(
    state: AttemptState, outcome: Outcome | str, action: AttemptAction
) -> None:
    trade = _with_attempt_in(state)
    outcome = a_fill(trade) if isinstance(outcome, str) else outcome
    if state is AttemptState.UNKNOWN and action is AttemptAction.LOSE:
        expected: AttemptState | None = AttemptState.UNKNOWN
    else:
        expected = ATTEMPT_TRANSITIONS.get((state, action))

    if expected is None:
        with pytest.raises(IllegalTransition):
            trade.conclude(outcome, actor="worker", now=NOW)
    else:
        assert trade.conclude(outcome, actor="worker", now=NOW).attempt.state is expected


@pytest.mark.parametrize("state", set(AttemptState) - {AttemptState.PREPARED})
def test_only_a_prepared_attempt_is_sent(state: AttemptState) -> None:
    with pytest.raises(IllegalTransition):
        sent(_with_attempt_in(state))


def test_an_accepted_trade_starts_pending_with_the_first_lp() -> None:
    trade = a_prepared_trade()

    assert (trade.state, trade.version) == (TradeState.PENDING, 1)
    assert (trade.attempt.number, trade.attempt.lp) == (1, "alpha")
    assert trade.attempt.state is AttemptState.PREPARED
    assert trade.transitions == (
        Transition(
            attempt=1,
            from_state="",
            to_state="prepared",
            action="prepare",
            actor="accept",
            evidence="",
        ),
    )


def test_an_attempt_keeps_the_lp_quote_that_it_was_prepared_with() -> None:
    id = an_id(AttemptId)

    trade = a_trade().prepare(
        id,
        actor="accept",
        lp="gamma",
        lp_reference="quote-7",
        lp_amount=ngn("5.00"),
        lp_expires_at=NOW,
    )

    attempt = trade.attempt
    assert (attempt.id, attempt.lp, attempt.lp_reference) == (id, "gamma", "quote-7")
    assert (attempt.lp_amount, attempt.lp_expires_at) == (ngn("5.00"), NOW)


def test_sending_submits_the_trade_before_the_first_byte_leaves() -> None:
    trade = a_prepared_trade().send(
        actor="worker",
        now=NOW + seconds(1),
        lp_reference="quote-8",
        lp_amount=ngn("6.00"),
        lp_expires_at=NOW + seconds(2),
    )

    assert trade.state is TradeState.SUBMITTED
    assert trade.attempt.state is AttemptState.SENT
    assert trade.attempt.sent_at == NOW + seconds(1)
    assert trade.attempt.lp_reference == "quote-8"
    assert trade.attempt.lp_amount == ngn("6.00")
    assert trade.attempt.lp_expires_at == NOW + seconds(2)
    assert [(t.attempt, t.from_state, t.to_state, t.action) for t in trade.transitions[1:]] == [
        (1, "prepared", "sent", "send"),
        (0, "pending", "submitted", "submit"),
    ]


def test_an_attempt_is_never_sent_once_the_window_has_passed() -> None:
    trade = a_prepared_trade()

    assert trade.execute_by == trade.accepted_at + seconds(30)
    assert sent(trade, now=trade.execute_by - timedelta(microseconds=1)).attempt.sent_at
    with pytest.raises(AssertionError, match="too late"):
        sent(trade, now=trade.execute_by)


def test_a_fill_is_kept_with_its_evidence_and_settles_the_trade() -> None:
    trade = a_sent_trade()

    filled = trade.conclude(a_fill(trade, quote=ngn("1500000.01")), actor="worker", now=NOW)

    assert filled.state is TradeState.FILLED
    assert filled.public_state is PublicTradeState.PENDING
    assert filled.lp_fill == ngn("1500000.01")
    assert filled.attempt.venue_order_id == "venue-1"
    assert not filled.is_ended
    assert [(t.attempt, t.action, t.evidence) for t in filled.transitions[-2:]] == [
        (1, "fill", "execution report"),
        (0, "fill", "execution report"),
    ]

    settled = filled.settle(actor="settler", now=NOW + seconds(2))

    assert (settled.state, settled.ended_at) == (TradeState.SETTLED, NOW + seconds(2))
    assert settled.is_ended
    assert settled.transitions[-1].actor == "settler"
    assert (settled.gives, settled.receives) == (trade.gives, trade.receives)


@pytest.mark.parametrize(
    "change", ["base", "base asset", "quote asset", "nothing paid", "negative"]
)
@pytest.mark.parametrize("found_unknown", [False, True])
def test_a_fill_of_something_else_is_unknown_until_a_person_has_looked(
    change: str, found_unknown: bool
) -> None:
    trade = a_sent_trade()
    if found_unknown:
        trade = trade.conclude(UNKNOWN, actor="worker", now=NOW)
    base, quote = trade.base_amount, trade.waterfall.lp
    fill = {
        "base": a_fill(trade, base=Amount(BTC, base.units - 1)),
        "base asset": a_fill(trade, base=Amount(USD, base.units)),
        "quote asset": a_fill(trade, quote=Amount(USD, quote.units)),
        "nothing paid": a_fill(trade, quote=Amount(NGN, 0)),
        "negative": a_fill(trade, quote=Amount(NGN, -1)),
    }[change]

    after = trade.conclude(fill, actor="worker", now=NOW)

    assert after.state is TradeState.OUTCOME_UNKNOWN
    assert after.attempt.state is AttemptState.UNKNOWN
    assert after.attempt.reason == "UNEXPECTED_FILL"
    assert after.attempt.filled_amount is None
    assert after.next_step(NOW) is Step.CHECK


def test_a_lost_outcome_is_asked_about_ever_less_often() -> None:
    trade = a_sent_trade()
    delays = []
    for _ in range(10):
        trade = trade.conclude(UNKNOWN, actor="worker", now=NOW)
        assert trade.attempt.next_check_at is not None
        delays.append((trade.attempt.next_check_at - NOW) / timedelta(milliseconds=1))

    assert delays == [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]
    assert trade.attempt.checks == 10
    assert [t.action for t in trade.transitions].count("lose") == 2, "one attempt, one trade"


def test_a_trade_knows_since_when_its_outcome_is_unknown() -> None:
    lost = a_sent_trade().conclude(UNKNOWN, actor="worker", now=NOW)
    still = lost.conclude(
        Unknown(reason="STILL_NOTHING", evidence="x"), actor="worker", now=NOW + seconds(9)
    )

    assert lost.state is TradeState.OUTCOME_UNKNOWN
    assert (lost.unknown_since, still.unknown_since) == (NOW, NOW)
    assert (lost.attempt.reason, still.attempt.reason) == ("TIMEOUT", "STILL_NOTHING")
    assert still.state is TradeState.OUTCOME_UNKNOWN


def test_asking_again_about_the_backup_keeps_what_is_known_of_the_first() -> None:
    first = a_sent_trade().conclude(REJECTED, actor="worker", now=NOW)
    second = sent(first.prepare(an_id(AttemptId), actor="worker"))
    lost = second.conclude(UNKNOWN, actor="worker", now=NOW)

    still = lost.conclude(UNKNOWN, actor="worker", now=NOW)

    assert still.attempts[0] == first.attempt
    assert [attempt.state.value for attempt in still.attempts] == ["rejected", "unknown"]


@pytest.mark.parametrize("outcome", [REJECTED, ABSENT], ids=["rejected", "absent"])
def test_evidence_of_no_fill_leads_out_of_unknown_and_on_to_the_backup(outcome: Outcome) -> None:
    lost = a_sent_trade().conclude(UNKNOWN, actor="worker", now=NOW)

    found = lost.conclude(outcome, actor="operator", now=NOW + seconds(2))

    assert found.state is TradeState.SUBMITTED
    assert found.unknown_since is None
    assert found.attempt.next_check_at is None
    assert found.transitions[-1].action == "resume"
    assert found.transitions[-1].actor == "operator"
    assert found.transitions[-1].evidence == outcome.evidence
    assert found.next_step(NOW + seconds(2)) is Step.PREPARE
    assert found.next_lp() == "beta"


def test_evidence_of_a_fill_leads_out_of_unknown_to_settlement() -> None:
    lost = a_sent_trade().conclude(UNKNOWN, actor="worker", now=NOW)

    found = lost.conclude(a_fill(lost), actor="worker", now=NOW)

    assert found.state is TradeState.FILLED
    assert found.unknown_since is None
    assert found.attempt.next_check_at is None
    assert found.next_step(NOW + timedelta(days=3)) is Step.SETTLE


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (REJECTED, "NO_CREDIT"),
        (LP_EXPIRED, "LP_QUOTE_EXPIRED"),
        (NOT_SENT, "REFUSED_CONNECTION"),
        (ABSENT, "ABSENT"),
        (UNKNOWN, "TIMEOUT"),
    ],
    ids=["rejected", "lp quote expired", "not sent", "absent", "unknown"],
)
def test_an_attempt_keeps_why_there_was_no_fill(outcome: Outcome, reason: str) -> None:
    after = a_sent_trade().conclude(outcome, actor="worker", now=NOW)

    assert after.attempt.reason == reason
    assert after.transitions[-1].evidence == outcome.evidence


def test_the_backup_is_asked_after_a_rejection_and_nobody_after_the_last() -> None:
    first = a_sent_trade().conclude(REJECTED, actor="worker", now=NOW)

    second = sent(first.prepare(an_id(AttemptId), actor="worker"), now=NOW)

    assert [attempt.lp for attempt in second.attempts] == ["alpha", "beta"]
    assert [attempt.number for attempt in second.attempts] == [1, 2]
    assert second.state is TradeState.SUBMITTED

    last = second.conclude(REJECTED, actor="worker", now=NOW)

    assert last.next_lp() is None
    assert last.next_step(NOW) is Step.REJECT
    with pytest.raises(AssertionError):
        last.prepare(an_id(AttemptId), actor="worker")


def test_an_lp_whose_quote_had_expired_is_asked_once_more_before_the_backup() -> None:
    trade = a_sent_trade()
    lps = ["alpha"]
    for _ in range(3):
        trade = trade.conclude(LP_EXPIRED, actor="worker", now=NOW)
        trade = sent(trade.prepare(an_id(AttemptId), actor="worker"), now=NOW)
        lps.append(trade.attempt.lp)
    trade = trade.conclude(LP_EXPIRED, actor="worker", now=NOW)

    assert lps == ["alpha", "alpha", "beta", "beta"]
    assert trade.next_lp() is None


def test_an_lp_that_refused_for_another_reason_is_not_asked_again() -> None:
    trade = a_sent_trade().conclude(LP_EXPIRED, actor="worker", now=NOW)
    trade = sent(trade.prepare(an_id(AttemptId), actor="worker"), now=NOW)
    trade = trade.conclude(REJECTED, actor="worker", now=NOW)

    assert trade.next_lp() == "beta"


@pytest.mark.parametrize("state", set(AttemptState) - WITHOUT_FILL)
def test_no_second_lp_is_asked_while_the_first_may_have_executed(state: AttemptState) -> None:
    with pytest.raises(AssertionError, match="after proof"):
        _with_attempt_in(state).prepare(an_id(AttemptId), actor="worker")


@pytest.mark.parametrize("state", set(AttemptState) - WITHOUT_FILL)
def test_a_trade_is_not_rejected_while_an_lp_may_have_executed(state: AttemptState) -> None:
    with pytest.raises(AssertionError, match="may have executed"):
        _with_attempt_in(state).reject(actor="worker", now=NOW)


def test_a_trade_that_tried_nobody_is_not_rejected() -> None:
    with pytest.raises(AssertionError):
        a_trade().reject(actor="worker", now=NOW)


@pytest.mark.parametrize("state", set(AttemptState) - {AttemptState.FILLED})
def test_only_a_filled_trade_is_settled(state: AttemptState) -> None:
    with pytest.raises(IllegalTransition):
        _with_attempt_in(state).settle(actor="worker", now=NOW)


def test_an_ended_trade_does_nothing_more() -> None:
    filled = a_sent_trade()
    settled = filled.conclude(a_fill(filled), actor="w", now=NOW).settle(actor="w", now=NOW)
    rejected = _with_attempt_in(AttemptState.REJECTED).reject(actor="w", now=NOW)

    for ended in (settled, rejected):
        assert ended.is_ended
        assert ended.next_step(NOW) is Step.NOTHING
        with pytest.raises(AssertionError):
            ended.prepare(an_id(AttemptId), actor="w")
        with pytest.raises(IllegalTransition):
            ended.settle(actor="w", now=NOW)
    with pytest.raises(IllegalTransition):
        rejected.reject(actor="w", now=NOW)


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (LAST_INSTANT, "NO_CREDIT"),
        (EXECUTION_WINDOW, "EXECUTION_WINDOW_PASSED"),
    ],
)
def test_a_rejection_names_the_lp_reason_unless_time_kept_others_from_being_asked(
    after: timedelta, reason: str
) -> None:
    trade = a_sent_trade().conclude(REJECTED, actor="worker", now=NOW)

    ended = trade.reject(actor="worker", now=NOW + after)

    assert ended.state is TradeState.REJECTED
    assert ended.rejection_reason == reason
    assert ended.ended_at == NOW + after
    assert ended.transitions[-1].evidence == reason


def test_a_rejection_by_every_lp_is_not_blamed_on_the_clock() -> None:
    trade = a_sent_trade(a_quote(lp_order=("alpha",))).conclude(REJECTED, actor="w", now=NOW)

    assert trade.reject(actor="w", now=NOW + seconds(60)).rejection_reason == "NO_CREDIT"


@pytest.mark.parametrize(
    ("state", "in_window", "after_window"),
    [
        (None, Step.PREPARE, Step.PREPARE),
        (AttemptState.PREPARED, Step.SEND, Step.ABANDON),
        (AttemptState.SENT, Step.MARK_LOST, Step.MARK_LOST),
        (AttemptState.UNKNOWN, Step.CHECK, Step.CHECK),
        (AttemptState.FILLED, Step.SETTLE, Step.SETTLE),
        (AttemptState.REJECTED, Step.PREPARE, Step.REJECT),
        (AttemptState.NOT_SENT, Step.PREPARE, Step.REJECT),
        (AttemptState.ABSENT, Step.PREPARE, Step.REJECT),
    ],
)
def test_the_next_step_follows_from_the_latest_attempt_and_the_clock(
    state: AttemptState | None, in_window: Step, after_window: Step
) -> None:
    trade = a_trade() if state is None else _with_attempt_in(state)

    assert trade.next_step(NOW) is in_window
    assert trade.next_step(NOW + LAST_INSTANT) is in_window
    assert trade.next_step(NOW + EXECUTION_WINDOW) is after_window


@pytest.mark.parametrize("state", WITHOUT_FILL)
def test_a_trade_without_another_lp_is_rejected(state: AttemptState) -> None:
    trade = replace(_with_attempt_in(state), lp_order=("alpha",))

    assert trade.next_step(NOW) is Step.REJECT


@pytest.mark.parametrize(
    ("side", "at_the_limit", "beyond"),
    [
        # 10 bps of 1,500,000.00 is 1,500.00: a buyer's LP may ask more, a seller's pay less.
        (Side.BUY, "1501500.00", "1501500.01"),
        (Side.SELL, "1498500.00", "1498499.99"),
    ],
)
def test_the_tolerance_ends_to_the_unit(side: Side, at_the_limit: str, beyond: str) -> None:
    trade = a_trade(a_quote(side=side, tolerance_bps=10))

    assert trade.is_within_tolerance(ngn(at_the_limit))
    assert not trade.is_within_tolerance(ngn(beyond))


@pytest.mark.parametrize(("side", "better"), [(Side.BUY, "0.01"), (Side.SELL, "9000000.00")])
def test_a_better_lp_price_is_always_within_tolerance(side: Side, better: str) -> None:
    assert a_trade(a_quote(side=side, tolerance_bps=0)).is_within_tolerance(ngn(better))


@given(st.integers(1, 10**9), st.integers(0, 1_000), st.integers(-(10**6), 10**6))
def test_tolerance_is_exact_where_it_is_no_whole_unit(lp: int, bps: int, difference: int) -> None:
    quote = a_quote(terms=some_terms(lp_quote=Amount(NGN, lp)), tolerance_bps=bps)
    is_within = difference * 10_000 <= lp * bps

    assert a_trade(quote).is_within_tolerance(Amount(NGN, lp + difference)) == is_within


@pytest.mark.parametrize(
    ("expires_at", "needs"),
    [(None, True), (NOW, True), (NOW + timedelta(microseconds=1), False)],
)
def test_an_expired_lp_quote_is_asked_for_again(expires_at: datetime | None, needs: bool) -> None:
    attempt = replace(an_attempt(AttemptState.PREPARED), lp_expires_at=expires_at)

    assert attempt.needs_new_lp_quote(NOW) is needs


@pytest.mark.parametrize("state", AttemptState)
def test_an_attempt_is_live_until_its_outcome_is_known(state: AttemptState) -> None:
    is_live = state in {AttemptState.PREPARED, AttemptState.SENT, AttemptState.UNKNOWN}

    assert an_attempt(state).is_live is is_live


def test_a_buyer_gives_quote_and_receives_base_and_a_seller_the_reverse() -> None:
    buy, sell = a_trade(a_quote(side=Side.BUY)), a_trade(a_quote(side=Side.SELL))

    assert (buy.gives, buy.receives) == (buy.quote_amount, buy.base_amount)
    assert (sell.gives, sell.receives) == (sell.base_amount, sell.quote_amount)


def test_a_trade_has_the_price_of_its_quote() -> None:
    quote = a_quote(instrument=Instrument(BTC, NGN))

    assert a_trade(quote).price == quote.price


def _with_attempt_in(state: AttemptState) -> Trade:
    """Return a trade that came to have its first attempt in `state`."""
    prepared = a_prepared_trade()
    if state is AttemptState.PREPARED:
        return prepared
    trade = sent(prepared)
    outcomes: dict[AttemptState, Filled | Rejected | NotSent | Absent | Unknown] = {
        AttemptState.FILLED: a_fill(trade),
        AttemptState.REJECTED: REJECTED,
        AttemptState.NOT_SENT: NOT_SENT,
        AttemptState.ABSENT: ABSENT,
        AttemptState.UNKNOWN: UNKNOWN,
    }
    if state is AttemptState.SENT:
        return trade
    return trade.conclude(outcomes[state], actor="worker", now=NOW)


def test_that_a_venue_finds_no_order_which_it_said_it_has_proves_nothing() -> None:
    trade = a_sent_trade()
    there = Unknown(reason=ORDER_WORKING, evidence="it is being worked on")
    taken = trade.conclude(there, actor="test", now=NOW)

    for answer in (
        Unknown(reason="LP_TIMEOUT", evidence="nothing"),
        Absent(evidence="no such order"),
    ):
        taken = taken.conclude(answer, actor="test", now=NOW)
        assert taken.state is TradeState.OUTCOME_UNKNOWN
        assert taken.attempt.reason == ORDER_WORKING

    no = taken.conclude(Rejected(reason="NO", evidence="no"), actor="test", now=NOW)
    assert no.attempt.state is AttemptState.REJECTED
    assert taken.conclude(a_fill(trade), actor="test", now=NOW).state is TradeState.FILLED
    resolved = taken.resolve(Absent(evidence="two operators"), actor="test", now=NOW)
    assert resolved.attempt.state is AttemptState.ABSENT


@pytest.mark.parametrize("reason", ["LP_TIMEOUT", "FOUND_SENT", "LP_ORDER_NOT_FOUND"])
def test_what_a_venue_says_later_of_having_the_order_is_remembered_in_place_of_what_was_known(
    reason: str,
) -> None:
    trade = a_sent_trade().conclude(Unknown(reason=reason, evidence=""), actor="test", now=NOW)
    there = Unknown(reason=ORDER_WORKING, evidence="an odd state of ours")

    taken = trade.conclude(there, actor="test", now=NOW)
    later = taken.conclude(Absent(evidence="no such order"), actor="test", now=NOW)

    assert taken.attempt.reason == later.attempt.reason == ORDER_WORKING
    assert later.next_step(NOW) is Step.CHECK


def test_after_a_fill_that_nobody_asked_for_a_venues_no_proves_nothing() -> None:
    trade = a_sent_trade()
    less = Amount(BTC, trade.base_amount.units - 1)
    doubtful = trade.conclude(a_fill(trade, base=less), actor="test", now=NOW)

    for answer in (
        Rejected(reason="NO", evidence="no"),
        Absent(evidence="no such order"),
        Unknown(reason="LP_TIMEOUT", evidence="nothing"),
    ):
        later = doubtful.conclude(answer, actor="test", now=NOW)
        assert later.state is TradeState.OUTCOME_UNKNOWN
        assert later.attempt.reason == "UNEXPECTED_FILL"

    resolved = doubtful.resolve(Absent(evidence="two operators"), actor="test", now=NOW)
    assert resolved.attempt.state is AttemptState.ABSENT
