"""A trade is an accepted quote on its way to settlement, one attempt after the other."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from domain.amount import Amount
from domain.asset import Instrument
from domain.ids import ApiKeyId, AttemptId, EntryId, QuoteId, TenantId, TradeId, TransferId
from domain.party import Party
from domain.price import Price
from domain.side import Side
from domain.trade.attempt import TRANSITIONS as ATTEMPT_TRANSITIONS
from domain.trade.attempt import WITHOUT_FILL, Attempt, AttemptAction, AttemptState
from domain.trade.outcome import (
    ORDER_WORKING,
    Absent,
    Filled,
    NotSent,
    Outcome,
    Rejected,
    Unknown,
)
from domain.transition import advance
from domain.waterfall import Waterfall

EXECUTION_WINDOW: Final = timedelta(seconds=30)
"""An attempt not sent so long after the accept is never sent."""

ATTEMPTS_PER_LP: Final = 2
"""An LP is asked again only when its quote had expired, and once."""

RESOLVE_WITHIN: Final = timedelta(minutes=15)
"""How long an outcome may be unknown before a person looks at it."""

FIRST_CHECK: Final = timedelta(milliseconds=200)
LAST_CHECK: Final = timedelta(seconds=30)

_WHOLE: Final = 10_000


class TradeState(StrEnum):
    PENDING = "pending"
    SUBMITTED = "submitted"
    FILLED = "filled"
    SETTLED = "settled"
    REJECTED = "rejected"
    OUTCOME_UNKNOWN = "outcome_unknown"


class TradeAction(StrEnum):
    SUBMIT = "submit"
    FILL = "fill"
    SETTLE = "settle"
    REJECT = "reject"
    LOSE = "lose"
    RESUME = "resume"


TRANSITIONS: Final = {
    (TradeState.PENDING, TradeAction.SUBMIT): TradeState.SUBMITTED,
    (TradeState.PENDING, TradeAction.REJECT): TradeState.REJECTED,
    (TradeState.SUBMITTED, TradeAction.FILL): TradeState.FILLED,
    (TradeState.SUBMITTED, TradeAction.REJECT): TradeState.REJECTED,
    (TradeState.SUBMITTED, TradeAction.LOSE): TradeState.OUTCOME_UNKNOWN,
    (TradeState.OUTCOME_UNKNOWN, TradeAction.FILL): TradeState.FILLED,
    # The unknown attempt is proven not to have filled, so a backup may be asked.
    (TradeState.OUTCOME_UNKNOWN, TradeAction.RESUME): TradeState.SUBMITTED,
    (TradeState.FILLED, TradeAction.SETTLE): TradeState.SETTLED,
}


class PublicTradeState(StrEnum):
    """What partners see; every internal state maps to one of these."""

    PENDING = "pending"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SETTLED = "settled"
    REJECTED = "rejected"


PUBLIC_STATE: Final = {
    TradeState.PENDING: PublicTradeState.PENDING,
    TradeState.SUBMITTED: PublicTradeState.PENDING,
    TradeState.FILLED: PublicTradeState.PENDING,
    TradeState.SETTLED: PublicTradeState.SETTLED,
    TradeState.REJECTED: PublicTradeState.REJECTED,
    TradeState.OUTCOME_UNKNOWN: PublicTradeState.OUTCOME_UNKNOWN,
}

TERMINAL: Final = frozenset({TradeState.SETTLED, TradeState.REJECTED})


class Step(StrEnum):
    """What a trade needs next."""

    PREPARE = "prepare"
    SEND = "send"
    ABANDON = "abandon"
    MARK_LOST = "mark_lost"
    CHECK = "check"
    SETTLE = "settle"
    REJECT = "reject"
    NOTHING = "nothing"


WINDOW_PASSED: Final = "EXECUTION_WINDOW_PASSED"
PRICE_MOVED: Final = "PRICE_MOVED"
UNEXPECTED_FILL: Final = "UNEXPECTED_FILL"
LP_QUOTE_EXPIRED: Final = "LP_QUOTE_EXPIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerIds:
    """Ids of all that a trade will ever write to the ledger, saved with the accept.

    A settlement that is run again after a crash writes under the same ids, and so writes once.
    """

    hold_entry: EntryId
    hold: TransferId
    settlement_entry: EntryId
    settlement: tuple[TransferId, ...]
    release_entry: EntryId
    release: TransferId


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step of the trade or of one attempt, with who took it and on what evidence.

    Attributes:
        attempt: the attempt's number, or 0 for the trade itself.
    """

    attempt: int
    from_state: str
    to_state: str
    action: str
    actor: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """Attributes:
    lp_order: the LPs that may be tried, in order.
    tolerance_bps: how much worse than quoted a later LP price may be.
    rejection_reason: why it was rejected, empty otherwise.
    unknown_since: when the outcome became unknown, while it is.
    transitions: steps taken since the trade was loaded, to be stored with it.
    """

    id: TradeId
    tenant_id: TenantId
    quote_id: QuoteId
    party: Party
    side: Side
    instrument: Instrument
    base_amount: Amount
    quote_amount: Amount
    waterfall: Waterfall
    lp_order: tuple[str, ...]
    tolerance_bps: int
    accepted_at: datetime
    accepted_by: ApiKeyId
    ledger_ids: LedgerIds
    correlation_id: str
    state: TradeState = TradeState.PENDING
    attempts: tuple[Attempt, ...] = ()
    rejection_reason: str = ""
    unknown_since: datetime | None = None
    ended_at: datetime | None = None
    version: int = 1
    transitions: tuple[Transition, ...] = ()

    @property
    def price(self) -> Price:
        return Price.of(self.base_amount, self.quote_amount)

    @property
    def gives(self) -> Amount:
        return self.quote_amount if self.side is Side.BUY else self.base_amount

    @property
    def receives(self) -> Amount:
        return self.base_amount if self.side is Side.BUY else self.quote_amount

    @property
    def public_state(self) -> PublicTradeState:
        return PUBLIC_STATE[self.state]

    @property
    def is_ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def execute_by(self) -> datetime:
        return self.accepted_at + EXECUTION_WINDOW

    @property
    def attempt(self) -> Attempt:
        """The latest attempt."""
        return self.attempts[-1]

    @property
    def _is_without_fill(self) -> bool:
        return all(attempt.state in WITHOUT_FILL for attempt in self.attempts)

    @property
    def resolve_by(self) -> datetime | None:
        """When a person must look at an outcome that is still unknown."""
        return self.unknown_since + RESOLVE_WITHIN if self.unknown_since else None

    @property
    def lp_fill(self) -> Amount:
        """What the LP really took or paid in the quote asset."""
        amount = self.attempt.filled_amount
        assert amount is not None
        return amount

    @property
    def found_absent(self) -> tuple[Attempt, ...]:
        """The attempts that were concluded absent since the trade was loaded."""
        found = {
            step.attempt for step in self.transitions if step.action == AttemptAction.FIND_ABSENT
        }
        return tuple(attempt for attempt in self.attempts if attempt.number in found)

    def next_step(self, now: datetime) -> Step:
        if self.is_ended:
            return Step.NOTHING
        if not self.attempts:
            return Step.PREPARE
        match self.attempt.state:
            case AttemptState.PREPARED:
                return Step.ABANDON if now >= self.execute_by else Step.SEND
            case AttemptState.SENT:
                return Step.MARK_LOST
            case AttemptState.UNKNOWN:
                return Step.CHECK
            case AttemptState.FILLED:
                return Step.SETTLE
            case AttemptState.REJECTED | AttemptState.NOT_SENT | AttemptState.ABSENT:
                may_go_on = now < self.execute_by and self.next_lp() is not None
                return Step.PREPARE if may_go_on else Step.REJECT
            case state:
                assert_never(state)

    def next_lp(self) -> str | None:
        """Return the LP to try next: the same one if only its quote had expired, or the next."""
        tried = [attempt.lp for attempt in self.attempts]
        has_only_expired = bool(self.attempts) and self.attempt.reason == LP_QUOTE_EXPIRED
        if has_only_expired and tried.count(self.attempt.lp) < ATTEMPTS_PER_LP:
            return self.attempt.lp
        return next((lp for lp in self.lp_order if lp not in tried), None)

    def is_within_tolerance(self, lp_amount: Amount) -> bool:
        """Say whether an LP's amount is at most the tolerance worse than the quoted one."""
        assert lp_amount.asset == self.waterfall.lp.asset
        quoted = self.waterfall.lp.units
        if self.side is Side.BUY:
            return lp_amount.units * _WHOLE <= quoted * (_WHOLE + self.tolerance_bps)
        return lp_amount.units * _WHOLE >= quoted * (_WHOLE - self.tolerance_bps)

    def prepare(
        self,
        id: AttemptId,
        *,
        actor: str,
        lp: str | None = None,
        lp_reference: str = "",
        lp_amount: Amount | None = None,
        lp_expires_at: datetime | None = None,
    ) -> "Trade":
        """Add an attempt at `lp`, or at the next LP in order."""
        assert not self.is_ended
        assert self._is_without_fill, "another LP is asked only after proof that none executed"
        lp = lp or self.next_lp()
        assert lp is not None
        attempt = Attempt(
            id=id,
            number=len(self.attempts) + 1,
            lp=lp,
            lp_reference=lp_reference,
            lp_amount=lp_amount,
            lp_expires_at=lp_expires_at,
        )
        made = Transition(
            attempt=attempt.number,
            from_state="",
            to_state=attempt.state,
            action="prepare",
            actor=actor,
            evidence="",
        )
        return replace(
            self,
            attempts=(*self.attempts, attempt),
            transitions=(*self.transitions, made),
        )

    def send(
        self,
        *,
        actor: str,
        now: datetime,
        lp_reference: str,
        lp_amount: Amount,
        lp_expires_at: datetime,
    ) -> "Trade":
        """Record, before the first byte leaves, that the LP is about to get the order."""
        assert now < self.execute_by, "too late to be sent"
        attempt = replace(
            self.attempt,
            lp_reference=lp_reference,
            lp_amount=lp_amount,
            lp_expires_at=lp_expires_at,
            sent_at=now,
        )
        trade = self._with_attempt(attempt, AttemptAction.SEND, actor, "")
        if trade.state is TradeState.PENDING:
            trade = trade._advance(TradeAction.SUBMIT, actor, "")
        return trade

    def conclude(self, outcome: Outcome, *, actor: str, now: datetime) -> "Trade":
        """Record what became of the latest attempt; the outcome is the evidence.

        Where the venue has shown a fill that nobody asked for, its later "no" proves nothing:
        only a fill as asked, or two operators by `resolve`, lead out of that. Where it has said
        that it has the order, it takes a fill, a verdict, or the two operators.
        """
        is_doubtful = self.attempt.reason == UNEXPECTED_FILL
        if is_doubtful and not isinstance(outcome, Filled):
            return self._lost(UNEXPECTED_FILL, outcome.evidence, actor=actor, now=now)
        is_at_venue = self.attempt.reason == ORDER_WORKING
        if is_at_venue and isinstance(outcome, Absent | Unknown):
            return self._lost(ORDER_WORKING, outcome.evidence, actor=actor, now=now)
        return self.resolve(outcome, actor=actor, now=now)

    def resolve(self, outcome: Outcome, *, actor: str, now: datetime) -> "Trade":
        """Record an outcome that is beyond doubt."""
        match outcome:
            case Filled():
                return self._filled(outcome, actor=actor, now=now)
            case Rejected():
                reason = LP_QUOTE_EXPIRED if outcome.lp_quote_expired else outcome.reason
                attempt = replace(self.attempt, reason=reason)
                return self._without_fill(attempt, AttemptAction.REJECT, actor, outcome.evidence)
            case NotSent():
                attempt = replace(
                    self.attempt,
                    reason=outcome.reason,
                    lp_reference=outcome.lp_reference or self.attempt.lp_reference,
                    lp_amount=outcome.lp_amount or self.attempt.lp_amount,
                )
                return self._without_fill(attempt, AttemptAction.ABANDON, actor, outcome.evidence)
            case Absent():
                attempt = replace(self.attempt, reason="ABSENT")
                return self._without_fill(
                    attempt, AttemptAction.FIND_ABSENT, actor, outcome.evidence
                )
            case Unknown():
                return self._lost(outcome.reason, outcome.evidence, actor=actor, now=now)
            case other:
                assert_never(other)

    def fill_late(self, number: int, fill: Filled, *, actor: str) -> "Trade":
        """Note that an attempt that was concluded absent was filled: nothing of the trade changes.

        Raises `IllegalTransition` for an attempt in any other state.
        """
        attempt = self.attempts[number - 1]
        assert attempt.number == number
        state = advance(ATTEMPT_TRANSITIONS, attempt.state, AttemptAction.FILL_LATE)
        taken = Transition(
            attempt=number,
            from_state=attempt.state,
            to_state=state,
            action=AttemptAction.FILL_LATE,
            actor=actor,
            evidence=fill.evidence,
        )
        return replace(self, transitions=(*self.transitions, taken))

    def settle(self, *, actor: str, now: datetime) -> "Trade":
        return replace(self._advance(TradeAction.SETTLE, actor, ""), ended_at=now)

    def reject(self, *, actor: str, now: datetime) -> "Trade":
        """End without a fill; the reason is the latest attempt's, or that time ran out."""
        assert self.attempts
        assert self._is_without_fill, "an LP may have executed"
        reason = self.attempt.reason
        if now >= self.execute_by and self.next_lp() is not None:
            reason = WINDOW_PASSED
        trade = self._advance(TradeAction.REJECT, actor, reason)
        return replace(trade, rejection_reason=reason, ended_at=now)

    def _filled(self, fill: Filled, *, actor: str, now: datetime) -> "Trade":
        is_ours = fill.base == self.base_amount and fill.quote.asset == self.quote_amount.asset
        if not is_ours or not fill.quote.is_positive:
            # All or none was asked for. Something else was executed, so nothing is settled and
            # nothing is released before a person has looked.
            return self._lost(UNEXPECTED_FILL, fill.evidence, actor=actor, now=now)
        attempt = replace(
            self.attempt,
            venue_order_id=fill.venue_order_id,
            filled_amount=fill.quote,
            reason="",
            next_check_at=None,
        )
        trade = self._with_attempt(attempt, AttemptAction.FILL, actor, fill.evidence)
        trade = replace(trade, unknown_since=None)
        return trade._advance(TradeAction.FILL, actor, fill.evidence)

    def _without_fill(
        self, attempt: Attempt, action: AttemptAction, actor: str, evidence: str
    ) -> "Trade":
        trade = self._with_attempt(replace(attempt, next_check_at=None), action, actor, evidence)
        if trade.state is TradeState.OUTCOME_UNKNOWN:
            trade = replace(trade, unknown_since=None)
            trade = trade._advance(TradeAction.RESUME, actor, evidence)
        return trade

    def _lost(self, reason: str, evidence: str, *, actor: str, now: datetime) -> "Trade":
        checks = self.attempt.checks + 1
        attempt = replace(
            self.attempt,
            reason=reason,
            checks=checks,
            next_check_at=now + min(FIRST_CHECK * 2 ** min(checks - 1, 16), LAST_CHECK),
        )
        if attempt.state is AttemptState.UNKNOWN:
            return replace(self, attempts=(*self.attempts[:-1], attempt))
        trade = self._with_attempt(attempt, AttemptAction.LOSE, actor, evidence)
        trade = replace(trade, unknown_since=now)
        return trade._advance(TradeAction.LOSE, actor, evidence)

    def _with_attempt(
        self, attempt: Attempt, action: AttemptAction, actor: str, evidence: str
    ) -> "Trade":
        state = advance(ATTEMPT_TRANSITIONS, attempt.state, action)
        taken = Transition(
            attempt=attempt.number,
            from_state=attempt.state,
            to_state=state,
            action=action,
            actor=actor,
            evidence=evidence,
        )
        return replace(
            self,
            attempts=(*self.attempts[:-1], replace(attempt, state=state)),
            transitions=(*self.transitions, taken),
        )

    def _advance(self, action: TradeAction, actor: str, evidence: str) -> "Trade":
        state = advance(TRANSITIONS, self.state, action)
        taken = Transition(
            attempt=0,
            from_state=self.state,
            to_state=state,
            action=action,
            actor=actor,
            evidence=evidence,
        )
        return replace(self, state=state, transitions=(*self.transitions, taken))
