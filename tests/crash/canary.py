"""Bugs planted from the outside, one at a time; the harness is worth what it finds of them.

Some of them the database would stop by itself: a unique key here, a CHECK there. Such a second
lock is taken away too, since it is the bug in the code that is to be found.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import adapters.postgres.ledger as ledger_adapter
import adapters.postgres.trade as trade_adapter
import app.usecase.trade.execute_trade as execution
from adapters.postgres.consumer import PostgresInbox
from adapters.postgres.late_check import PostgresLateChecks
from adapters.postgres.outbox import PostgresOutbox
from adapters.postgres.trade import PostgresTrades
from app.usecase.quote.accept_quote import AcceptQuote
from app.usecase.trade.bookkeeping import release_funds, settle_funds
from app.usecase.trade.execute_trade import ExecuteTrade
from domain.event import Event
from domain.ids import AttemptId, EntryId, TenantId, TransferId
from domain.quote.quote import Quote
from domain.trade.attempt import Attempt
from domain.trade.late_check import LateCheck
from domain.trade.outcome import NotSent, Rejected, Unknown
from domain.trade.trade import Step, Trade, TradeState
from ports.consumer import LoggedEvent
from ports.ids import IdSource
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpCapabilities,
    LpQuote,
    LpQuoteRequest,
    LpStatus,
)
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from tests.crash.clock import SeededIds
from tests.crash.ports import TurnUnits
from tests.crash.watch import COMMITTED, replaced


def _unchanged(lp: LiquidityProvider, _ids: IdSource) -> LiquidityProvider:
    return lp


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Attributes:
    wrap_lp: what stands between the platform and each venue.
    planted: replaces code of the platform as long as its block lasts.
    """

    name: str
    wrap_lp: Callable[[LiquidityProvider, IdSource], LiquidityProvider] = _unchanged
    planted: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True, slots=True)
class _Between(LiquidityProvider):
    """Passes everything on."""

    inner: LiquidityProvider
    ids: IdSource

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def capabilities(self) -> LpCapabilities:
        return self.inner.capabilities

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        return await self.inner.request_quote(request)

    async def execute(self, **order: Any) -> ExecutionOutcome:
        return await self.inner.execute(**order)

    async def get_status(self, **order: Any) -> LpStatus:
        return await self.inner.get_status(**order)


class SendsAgainUnderNewId(_Between):
    """Asks again when no answer came, and calls it another order."""

    async def execute(self, **order: Any) -> ExecutionOutcome:
        outcome = await self.inner.execute(**order)
        if not isinstance(outcome, Unknown):
            return outcome
        return await self.inner.execute(**{**order, "client_order_id": self.ids.new(AttemptId)})


class TakesSilenceForNo(_Between):
    """No answer is no fill, it believes."""

    async def execute(self, **order: Any) -> ExecutionOutcome:
        outcome = await self.inner.execute(**order)
        if not isinstance(outcome, Unknown):
            return outcome
        return Rejected(reason=outcome.reason, evidence=outcome.evidence)


_BLIND_SAVE: Final = """
WITH ended AS (DELETE FROM core.trade_queue WHERE tenant_id = $1 AND trade_id = $2)
UPDATE core.trades SET state = $3, unknown_since = NULL, ended_at = $4, version = version + 1
WHERE tenant_id = $1 AND id = $2
RETURNING version
"""


@contextmanager
def no_compare_and_set() -> Iterator[None]:
    """A trade is settled from what was read in an earlier transaction, whatever it is by now."""

    async def update(self: ExecuteTrade, lease: Any, change: Any) -> Trade:
        async with self.units_of_work.begin(lease.tenant_id) as uow:
            before = await uow.trades.get(lease.trade_id)
            trade = self._follow(change(before, now := await uow.now()), now)
        if trade.state is not TradeState.SETTLED or before.is_ended:
            return await original(self, lease, change)
        async with self.units_of_work.begin(lease.tenant_id) as uow:
            assert isinstance(uow.trades, PostgresTrades)
            is_first = not (await uow.trades.get(trade.id)).is_ended
            await _save_blindly(uow.trades, trade)
            await self.announce(uow, "trade.settled", trade, correlation_id="", now=now)
            if is_first:
                await settle_funds(uow, trade)
                await self._raise_break(uow, trade, now)
        return replace(trade, transitions=())

    original = ExecuteTrade._update
    with replaced(ExecuteTrade, "_update", update):
        yield


async def _save_blindly(trades: PostgresTrades, trade: Trade) -> None:
    driver, tenant = trades._scope.driver, trades._scope.tenant
    version = await driver.fetchval(_BLIND_SAVE, tenant, trade.id.uuid, trade.state, trade.ended_at)
    await driver.execute(
        f"WITH t AS (SELECT $2::uuid AS id), {trade_adapter._steps_of('t', 3)} SELECT 1",
        tenant,
        trade.id.uuid,
        *trade_adapter._steps([(trade, version)]),
    )
    COMMITTED.write(trade)


@contextmanager
def no_intent() -> Iterator[None]:
    """The venue is called first, and what was sent is written down with the answer."""

    def prepared_only(self: AcceptQuote, *arguments: Any) -> Trade:
        with replaced(Attempt, "needs_new_lp_quote", lambda _self, _now: True):
            return original_trade(self, *arguments)

    async def attempt(self: ExecuteTrade, lease: Any, trade: Trade) -> Trade:
        lp_quote = await self._lp_quote(trade)
        if isinstance(lp_quote, NotSent):
            return await self._update(lease, self._concluding(lp_quote))
        outcome = await self.providers[trade.attempt.lp].execute(
            client_order_id=trade.attempt.id,
            reference=lp_quote.reference,
            instrument=trade.instrument,
            side=trade.side,
            base=trade.base_amount,
            quote=lp_quote.quote,
        )

        def record(trade: Trade, now: datetime) -> Trade:
            if trade.next_step(now) is not Step.SEND:
                return trade
            sent = trade.send(
                actor=self.actor,
                now=now,
                lp_reference=lp_quote.reference,
                lp_amount=lp_quote.quote,
                lp_expires_at=lp_quote.expires_at,
            )
            return sent.conclude(outcome, actor=self.actor, now=now)

        return await self._update(lease, record)

    original_trade = AcceptQuote._trade
    with (
        replaced(AcceptQuote, "_trade", prepared_only),
        replaced(ExecuteTrade, "_attempt", attempt),
    ):
        yield


@contextmanager
def released_twice() -> Iterator[None]:
    """The hold is released in a transaction of its own, under new ids, before the trade ends."""

    async def update(self: ExecuteTrade, lease: Any, change: Any) -> Trade:
        async with self.units_of_work.begin(lease.tenant_id) as uow:
            before = await uow.trades.get(lease.trade_id, lock=True)
            trade = self._follow(change(before, now := await uow.now()), now)
            if trade.state is TradeState.REJECTED and not before.is_ended:
                ids = replace(
                    trade.ledger_ids,
                    release_entry=self.ids.new(EntryId),
                    release=self.ids.new(TransferId),
                )
                await release_funds(uow, replace(trade, ledger_ids=ids))
        return await original(self, lease, change)

    async def nothing(_uow: UnitOfWork, _trade: Trade) -> None:
        pass

    original = ExecuteTrade._update
    assert ledger_adapter._WRITE.count("core.write_entries(") == 1
    write = ledger_adapter._WRITE.replace("core.write_entries(", "core.write_entries_unkeyed(")
    with (
        replaced(ExecuteTrade, "_update", update),
        replaced(execution, "release_funds", nothing),
        replaced(ledger_adapter, "_WRITE", write),
    ):
        yield


@contextmanager
def outbox_apart() -> Iterator[None]:
    """Events are stored once the change has been committed, in a transaction of their own."""
    waiting: list[Event] = []

    async def remember(_self: PostgresOutbox, *events: Event) -> None:
        waiting.extend(events)

    @asynccontextmanager
    async def begin(self: TurnUnits, tenant_id: TenantId) -> AsyncIterator[UnitOfWork]:
        events: list[Event] = []
        async with original_begin(self, tenant_id) as uow:
            waiting.clear()
            yield uow
            events += waiting
        if events:
            async with original_begin(self, tenant_id) as uow:
                assert isinstance(uow.outbox, PostgresOutbox)
                await original_add(uow.outbox, *events)

    original_begin, original_add = TurnUnits.begin, PostgresOutbox.add
    with (
        replaced(PostgresOutbox, "add", remember),
        replaced(TurnUnits, "begin", begin),
        replaced(TurnUnits, "run", UnitOfWorkFactory.run),
    ):
        yield


@contextmanager
def app_clock() -> Iterator[None]:
    """Whether a quote has expired is judged by the clock of the process."""

    async def accept(self: AcceptQuote, *arguments: Any) -> Any:
        assert isinstance(self.ids, SeededIds)
        app_now = self.ids.process_time

        def by_app_clock(quote: Quote, *, now: datetime) -> Quote:
            return original_quote_accept(quote, now=app_now)

        with replaced(Quote, "accept", by_app_clock):
            return await original(self, *arguments)

    original, original_quote_accept = AcceptQuote._accept, Quote.accept
    with replaced(AcceptQuote, "_accept", accept):
        yield


@contextmanager
def no_fencing() -> Iterator[None]:
    """Whoever ever held a trade may write it."""
    save = trade_adapter._SAVE
    fenced, unfenced = "q.token = g.token", "q.token >= g.token * 0"
    assert save.count(fenced) == 2
    with replaced(trade_adapter, "_SAVE", save.replace(fenced, unfenced)):
        yield


@contextmanager
def no_late_looks() -> Iterator[None]:
    """What was concluded absent is taken for absent for ever."""

    async def nothing(_self: PostgresLateChecks, _check: LateCheck) -> None:
        pass

    with replaced(PostgresLateChecks, "add", nothing):
        yield


@contextmanager
def no_inbox() -> Iterator[None]:
    """A consumer takes every event that is handed out for a new one."""

    async def receive(
        self: PostgresInbox,
        consumer: str,
        events: Sequence[LoggedEvent],
        *,
        noted: Sequence[LoggedEvent],
    ) -> bool:
        await self._advance(consumer, events)
        return True

    with replaced(PostgresInbox, "receive", receive):
        yield


NONE: Final = Canary(name="none")
CANARIES: Final = {
    canary.name: canary
    for canary in (
        NONE,
        Canary(name="new-client-order-id", wrap_lp=SendsAgainUnderNewId),
        Canary(name="timeout-is-reject", wrap_lp=TakesSilenceForNo),
        Canary(name="no-compare-and-set", planted=no_compare_and_set),
        Canary(name="no-intent", planted=no_intent),
        Canary(name="released-twice", planted=released_twice),
        Canary(name="outbox-apart", planted=outbox_apart),
        Canary(name="app-clock", planted=app_clock),
        Canary(name="no-fencing", planted=no_fencing),
        Canary(name="no-inbox", planted=no_inbox),
        Canary(name="no-late-looks", planted=no_late_looks),
    )
}
