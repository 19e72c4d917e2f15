"""Executing a trade: one attempt after the other, each step recorded before and after the LP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from app.usecase.announce import Announce
from app.usecase.liquidity.lp_desk import LpDesk
from app.usecase.reconciliation.raise_break import raise_break
from app.usecase.trade.ask_status import LP_UNUSABLE, ask_status
from app.usecase.trade.bookkeeping import release_funds, settle_funds
from domain.errors import DomainError, may_pass
from domain.ids import AttemptId, BreakId, LpQuoteRequestId
from domain.liquidity.circuit import LpOutcome
from domain.reconciliation.break_ import Break, BreakKind
from domain.trade.attempt import Attempt, AttemptState
from domain.trade.errors import StaleLease
from domain.trade.late_check import plan_late_check
from domain.trade.outcome import (
    ORDER_WORKING,
    Filled,
    NotSent,
    Outcome,
    Rejected,
    Unknown,
)
from domain.trade.trade import (
    LAST_CHECK,
    LP_QUOTE_EXPIRED,
    PRICE_MOVED,
    WINDOW_PASSED,
    Step,
    Trade,
    TradeState,
)
from ports.clock import Clock
from ports.ids import IdSource
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpQuote,
    LpQuoteRequest,
    LpRefused,
    LpUnavailable,
    Working,
)
from ports.trade import TradeLease
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

FOUND_SENT = "FOUND_SENT"

KEEP_AGAIN_AFTER_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 20.0)
"""How long after a failure it is tried again to record what an LP answered."""

Change = Callable[[Trade, datetime], Trade]


@dataclass(frozen=True, slots=True)
class ExecuteTrade:
    """Runs a leased trade until it ends, or until only time can tell.

    The LP is called between two units of work and never inside one: what is about to be asked is
    committed before, what was answered after.

    Attributes:
        actor: who is working, kept with every transition.
        patience: how long a check of an unknown outcome is waited for before the lease is given
            back and a worker takes over.
        late_looks: how long after an attempt was concluded absent its LP is asked again, in
            ascending order.
    """

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    clock: Clock
    announce: Announce
    providers: Mapping[str, LiquidityProvider]
    desk: LpDesk
    actor: str
    patience: timedelta
    late_looks: Sequence[timedelta]

    async def __call__(self, lease: TradeLease, accepted: Trade | None = None) -> Trade:
        """Return the trade, ended or with its lease given back.

        Who has just accepted the trade hands it over and spares reading it; whoever else comes by
        the lease asks the database where the trade stands.

        Raises `StaleLease` when somebody else took the trade over, `VersionConflict`,
        `DatabaseBusy` or `DatabaseUnavailable`; the lease then runs out and the trade is picked up
        where the database knows it to be.
        """
        if accepted is None:
            trade = await self._update(lease, self._recover)
        elif accepted.attempt.state is AttemptState.SENT:
            trade = await self._execute(lease, accepted)
        else:
            trade = accepted
        while not trade.is_ended:
            match trade.attempt.state:
                case AttemptState.PREPARED:
                    trade = await self._attempt(lease, trade)
                case AttemptState.UNKNOWN:
                    wait = await self._until_check(lease, trade.attempt)
                    if wait > self.patience:
                        return trade
                    await self.clock.sleep(max(wait.total_seconds(), 0))
                    trade = await self._check(lease, trade)
                case state:
                    raise AssertionError(f"{trade.id} rests in attempt state {state}")
        return trade

    def _recover(self, trade: Trade, now: datetime) -> Trade:
        """Whoever had sent this attempt is gone, and what became of it is not known."""
        if trade.next_step(now) is not Step.MARK_LOST:
            return trade
        lost = Unknown(reason=FOUND_SENT, evidence="found sent, without an outcome")
        return trade.conclude(lost, actor=self.actor, now=now)

    async def _attempt(self, lease: TradeLease, trade: Trade) -> Trade:
        lp_quote = await self._lp_quote(trade)
        number = trade.attempt.number

        def send(trade: Trade, now: datetime) -> Trade:
            if isinstance(lp_quote, NotSent):
                return trade.conclude(lp_quote, actor=self.actor, now=now)
            step = trade.next_step(now)
            if step is Step.MARK_LOST:
                # Only who recorded that it is about to be sent may send it.
                raise StaleLease("somebody else sent the attempt meanwhile", trade_id=trade.id)
            if step is not Step.SEND:
                return trade
            return trade.send(
                actor=self.actor,
                now=now,
                lp_reference=lp_quote.reference,
                lp_amount=lp_quote.quote,
                lp_expires_at=lp_quote.expires_at,
            )

        trade = await self._update(lease, send)
        attempt = trade.attempt
        if attempt.number != number or attempt.state is not AttemptState.SENT:
            return trade
        return await self._execute(lease, trade)

    async def _execute(self, lease: TradeLease, trade: Trade) -> Trade:
        """Call the LP; that it is about to be called is committed.

        Whoever stood still after that commit does not call: others judge by the quote's end whether
        the LP can still get the order, and not every LP refuses one that comes later.
        """
        attempt = trade.attempt
        assert attempt.lp_amount is not None
        provider = self.providers.get(attempt.lp)
        outcome: Outcome = NotSent(reason=LP_UNUSABLE, evidence="the LP is not connected any more")
        now = self.clock.now()
        if attempt.needs_new_lp_quote(now):
            evidence = f"at {now.isoformat()}, and it was to be sent before the LP's quote ended"
            outcome = NotSent(reason=LP_QUOTE_EXPIRED, evidence=evidence)
        elif provider is not None:
            executed = await provider.execute(
                client_order_id=attempt.id,
                reference=attempt.lp_reference,
                instrument=trade.instrument,
                side=trade.side,
                base=trade.base_amount,
                quote=attempt.lp_amount,
            )
            self.desk.hear(provider.name, _heard(executed))
            outcome = executed
        return await self._keep(lease, attempt, outcome)

    async def _keep(self, lease: TradeLease, attempt: Attempt, outcome: Outcome) -> Trade:
        """Record what the LP answered: its status may be behind what it has just told us.

        Tried again while the database is busy or away, and past whoever has taken the trade over
        and knows less. An attempt that was concluded meanwhile stays as it is: by an earlier try
        whose commit was not confirmed, by somebody else, or by two operators.

        Raises `StaleLease` when somebody else took the trade over and the answer proves nothing, or
        nothing any more.
        """
        is_ours, is_proof = True, _is_proof(outcome)
        awaits_it = {AttemptState.SENT, AttemptState.UNKNOWN} if is_proof else {AttemptState.SENT}
        waits = iter(KEEP_AGAIN_AFTER_S)
        conclude = self._concluding(outcome)

        def conclude_awaited(trade: Trade, now: datetime) -> Trade:
            if trade.is_ended:
                return trade
            if trade.attempt.id != attempt.id:
                raise StaleLease("the attempt was concluded meanwhile", trade_id=trade.id)
            return conclude(trade, now) if trade.attempt.state in awaits_it else trade

        while True:
            try:
                return await self._update(lease, conclude_awaited, takes_over=not is_ours)
            except StaleLease:
                if not is_ours or not is_proof:
                    raise
                is_ours = False
            except DomainError as error:
                wait_s = next(waits, None)
                if wait_s is None or not may_pass(error):
                    error.add_note(f"what {attempt.lp} answered to {attempt.id}: {outcome}")
                    raise
                await self.clock.sleep(wait_s)

    async def _lp_quote(self, trade: Trade) -> LpQuote | NotSent:
        """Return the LP's quote to execute: the one at hand while it lives, or a new one.

        An LP that is halted or does not answer gets no order, so that the next one is tried.
        """
        attempt = trade.attempt
        provider = self.providers.get(attempt.lp)
        if provider is None:
            return NotSent(reason=LP_UNUSABLE, evidence="the LP is not connected any more")
        lp = (await self.desk.lps())[attempt.lp]
        if refusal := self.desk.refusal(lp, trade.side):
            return NotSent(reason=refusal, evidence=f"{lp.trading_state}, {lp.circuit.state}")
        if not attempt.needs_new_lp_quote(self.clock.now()):
            assert attempt.lp_amount is not None
            assert attempt.lp_expires_at is not None
            return LpQuote(
                reference=attempt.lp_reference,
                base=trade.base_amount,
                quote=attempt.lp_amount,
                expires_at=attempt.lp_expires_at,
            )
        request = LpQuoteRequest(
            id=self.ids.new(LpQuoteRequestId),
            instrument=trade.instrument,
            side=trade.side,
            fixed=trade.base_amount,
        )
        asked_at = self.clock.monotonic()
        try:
            lp_quote = await provider.request_quote(request)
        except (LpRefused, LpUnavailable) as error:
            is_refusal = isinstance(error, LpRefused)
            self.desk.hear(lp.name, LpOutcome.REFUSED if is_refusal else LpOutcome.FAILED)
            return NotSent(reason=error.reason, evidence=error.message)
        took_ms = round((self.clock.monotonic() - asked_at) * 1000)
        self.desk.hear(lp.name, LpOutcome.QUOTED, took_ms=took_ms)
        if lp_quote.base != trade.base_amount:
            return NotSent(reason=LP_UNUSABLE, evidence="the answer changes the base amount")
        if not trade.is_within_tolerance(lp_quote.quote):
            return NotSent(
                reason=PRICE_MOVED,
                evidence=f"{lp_quote.quote} against {trade.waterfall.lp} as quoted",
                lp_reference=lp_quote.reference,
                lp_amount=lp_quote.quote,
            )
        return lp_quote

    async def _until_check(self, lease: TradeLease, attempt: Attempt) -> timedelta:
        assert attempt.next_check_at is not None
        async with self.units_of_work.begin(lease.tenant_id) as uow:
            wait = attempt.next_check_at - await uow.now()
        # Planned by a clock that was ahead: it is not waited for.
        return wait if wait <= LAST_CHECK else timedelta()

    async def _check(self, lease: TradeLease, trade: Trade) -> Trade:
        status = await ask_status(self.providers, trade, trade.attempt)
        if isinstance(status, Working):
            status = Unknown(reason=ORDER_WORKING, evidence=status.evidence)
        return await self._update(lease, self._concluding(status))

    def _concluding(self, outcome: Outcome) -> Change:
        return lambda trade, now: trade.conclude(outcome, actor=self.actor, now=now)

    async def _update(
        self, lease: TradeLease, change: Change, *, takes_over: bool = False
    ) -> Trade:
        """Apply a change and all that follows from it without an LP, in one unit of work.

        Who takes over writes whoever has the lease, and gives it back at once.
        """

        async def work(uow: UnitOfWork) -> Trade:
            before = await uow.trades.get(lease.trade_id, lock=True)
            now = await uow.now()
            found = await self._resolved(uow, before, now)
            trade = self._follow(found or change(before, now), now)
            if trade == before:
                return trade
            writes_under = lease
            if takes_over:
                writes_under = await uow.trades.take_over(trade.id, lease_for=timedelta())
            saved = await uow.trades.save(trade, writes_under, due_at=self._due_at(trade, now))
            for attempt in trade.found_absent:
                check = plan_late_check(trade.id, attempt.number, self.late_looks, concluded_at=now)
                await uow.late_checks.add(check)
            if trade.state is not before.state and trade.state in _TOLD:
                await self.announce(
                    uow,
                    f"trade.{trade.state}",
                    saved,
                    correlation_id=trade.correlation_id,
                    now=now,
                )
            # Last: the accounts but the party's are shared by all of the tenant's trades.
            if trade.state is TradeState.SETTLED:
                await self._raise_break(uow, trade, now)
                await settle_funds(uow, trade)
            elif trade.state is TradeState.REJECTED:
                await release_funds(uow, trade)
            return saved

        return await self.units_of_work.run(lease.tenant_id, work)

    async def _resolved(self, uow: UnitOfWork, trade: Trade, now: datetime) -> Trade | None:
        """Apply what two operators found; their word outranks the venue's."""
        if not trade.attempts or trade.attempt.state is not AttemptState.UNKNOWN:
            return None
        resolution = await uow.trades.approved_resolution(trade)
        if resolution is None:
            return None
        actor = str(resolution.approved_by)
        return trade.resolve(resolution.outcome(trade), actor=actor, now=now)

    def _follow(self, trade: Trade, now: datetime) -> Trade:
        while True:
            match trade.next_step(now):
                case Step.PREPARE:
                    trade = trade.prepare(self.ids.new(AttemptId), actor=self.actor)
                case Step.ABANDON:
                    too_late = NotSent(reason=WINDOW_PASSED, evidence=f"at {now.isoformat()}")
                    trade = trade.conclude(too_late, actor=self.actor, now=now)
                case Step.SETTLE:
                    trade = trade.settle(actor=self.actor, now=now)
                case Step.REJECT:
                    trade = trade.reject(actor=self.actor, now=now)
                case Step.SEND | Step.MARK_LOST | Step.CHECK | Step.NOTHING:
                    return trade
                case other:
                    assert_never(other)

    async def _raise_break(self, uow: UnitOfWork, trade: Trade, now: datetime) -> None:
        if trade.is_within_tolerance(trade.lp_fill):
            return
        found = Break(
            id=self.ids.new(BreakId),
            tenant_id=trade.tenant_id,
            kind=BreakKind.FILL_BEYOND_TOLERANCE,
            trade_id=trade.id,
            amount=trade.lp_fill - trade.waterfall.lp,
            detail=f"filled at {trade.lp_fill} against {trade.waterfall.lp} as quoted",
            raised_at=now,
        )
        await raise_break(uow, self.announce, found, correlation_id=trade.correlation_id)

    def _due_at(self, trade: Trade, now: datetime) -> datetime | None:
        if trade.is_ended or trade.attempt.next_check_at is None:
            return None
        check_at = trade.attempt.next_check_at
        return check_at if check_at - now > self.patience else None


_TOLD = frozenset({TradeState.SETTLED, TradeState.REJECTED, TradeState.OUTCOME_UNKNOWN})


def _is_proof(outcome: Outcome) -> bool:
    """Say whether an answer tells more than that the outcome is unknown."""
    return not isinstance(outcome, Unknown) or outcome.reason == ORDER_WORKING


def _heard(outcome: ExecutionOutcome) -> LpOutcome:
    match outcome:
        case Filled():
            return LpOutcome.FILLED
        case Rejected():
            return LpOutcome.REJECTED
        case NotSent():
            return LpOutcome.NOT_SENT
        case Unknown():
            return LpOutcome.UNKNOWN
