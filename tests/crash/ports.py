"""Every port of one actor; each call is a turn."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from domain.amount import Amount
from domain.asset import Instrument
from domain.ids import AttemptId, TenantId
from domain.liquidity.lp import Lp
from domain.side import Side
from domain.trade.outcome import Absent, Rejected
from ports.bus import Bus, BusUnavailable, OutboxReader, Sequencer, StampedEvent
from ports.clock import Clock, DatabaseClock
from ports.consumer import EventFeed, LoggedEvent
from ports.errors import DatabaseUnavailable
from ports.late_check import LateCheckLease, LateCheckQueue
from ports.lease import Lease, LeaseStore
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpCapabilities,
    LpQuote,
    LpQuoteRequest,
    LpStatus,
)
from ports.lp import LpBoard
from ports.market import Catalogue, Market
from ports.trade import TradeLease, TradeQueue
from ports.unit_of_work import Result, UnitOfWork, UnitOfWorkFactory, Work
from reli.event.v1 import event_pb2
from tests.crash.faults import Answer, BusFault, Fault, Port
from tests.crash.watch import COMMITTED
from tests.crash.world import Actor, Crashed, Turn, World


@dataclass(frozen=True, slots=True)
class TurnClock(Clock):
    """The actor's own clock, which may be off; sleeping is waiting for a turn.

    Attributes:
        longest: how long a sleep may last, while there is something better to do than what
            comes after it; nobody is promised to be woken in time.
    """

    world: World
    actor: Actor
    longest: float = 0.0

    def now(self) -> datetime:
        return self.world.time.instant(self.actor.skew)

    def monotonic(self) -> float:
        return self.world.time.now

    async def sleep(self, seconds: float) -> None:
        await self.world.pause(self.actor, seconds, longest=self.longest)


@dataclass(frozen=True, slots=True)
class SteadyMarket(Market):
    """Reference data, read once."""

    known: Catalogue

    async def catalogue(self) -> Catalogue:
        return self.known


@dataclass(frozen=True, slots=True)
class SteadyBoard(LpBoard):
    """Every LP is asked, whatever it did before."""

    known: Mapping[str, Lp]

    async def lps(self) -> Mapping[str, Lp]:
        return self.known


@dataclass(frozen=True, slots=True)
class TurnUnits(UnitOfWorkFactory):
    """A unit of work is one turn, its commit included."""

    world: World
    actor: Actor
    inner: UnitOfWorkFactory

    @asynccontextmanager
    async def begin(self, tenant_id: TenantId) -> AsyncIterator[UnitOfWork]:
        async with self._turn() as turn:
            COMMITTED.begin()
            async with self.inner.begin(tenant_id) as uow:
                yield uow
                await self._may_crash(turn)

    async def run(self, tenant_id: TenantId, work: Work[Result]) -> Result:
        async with self._turn() as turn:

            async def struck(uow: UnitOfWork) -> Result:
                COMMITTED.begin()
                result = await work(uow)
                await self._may_crash(turn)
                return result

            try:
                return await self.inner.run(tenant_id, struck)
            except Crashed:
                # It is gone at once; the group that it was in still has to be rolled back.
                await self.world.until_gone(self.actor, "GroupCommit._lead")
                raise

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Turn]:
        async with self.world.call(self.actor, Port.UNIT, "unit") as turn:
            if turn.fault is Fault.DB_REFUSES:
                raise DatabaseUnavailable("the connection was refused")
            yield turn
            COMMITTED.end(self.world)
            if turn.fault is Fault.COMMIT_UNHEARD:
                raise DatabaseUnavailable("the connection broke after COMMIT was sent")

    async def _may_crash(self, turn: Turn) -> None:
        if turn.fault is not Fault.CRASH_INSIDE:
            return
        self.world.crash(self.actor)
        # Who hears of it does so before the server's answer to the rollback can come.
        await self.world.settle()
        raise Crashed


@dataclass(frozen=True, slots=True)
class TurnDatabaseClock(DatabaseClock):
    world: World
    actor: Actor
    inner: DatabaseClock

    async def now(self) -> datetime:
        async with self.world.call(self.actor, Port.QUEUE, "read the clock"):
            return await self.inner.now()


@dataclass(frozen=True, slots=True)
class TurnQueue(TradeQueue):
    world: World
    actor: Actor
    inner: TradeQueue

    async def claim(self, *, limit: int, lease_for: timedelta) -> Sequence[TradeLease]:
        async with self.world.call(self.actor, Port.QUEUE, "claim") as turn:
            leases = await self.inner.claim(limit=limit, lease_for=lease_for)
            turn.is_idle = not leases
        # The database returns them in any order.
        return sorted(leases, key=lambda lease: lease.trade_id)


@dataclass(frozen=True, slots=True)
class TurnLateChecks(LateCheckQueue):
    world: World
    actor: Actor
    inner: LateCheckQueue

    async def claim(self, *, limit: int, lease_for: timedelta) -> Sequence[LateCheckLease]:
        async with self.world.call(self.actor, Port.QUEUE, "claim late") as turn:
            leases = await self.inner.claim(limit=limit, lease_for=lease_for)
            turn.is_idle = not leases
        return sorted(leases, key=lambda lease: (lease.trade_id, lease.attempt))


@dataclass(frozen=True, slots=True)
class TurnLeases(LeaseStore):
    world: World
    actor: Actor
    inner: LeaseStore

    async def acquire(self, name: str, *, lease_for: timedelta) -> Lease | None:
        async with self.world.call(self.actor, Port.EVENTS, f"acquire {name}") as turn:
            lease = await self.inner.acquire(name, lease_for=lease_for)
            turn.is_idle = lease is None
        return lease

    async def renew(self, lease: Lease, *, lease_for: timedelta) -> bool:
        async with self.world.call(self.actor, Port.EVENTS, f"renew {lease.name}"):
            return await self.inner.renew(lease, lease_for=lease_for)


@dataclass(frozen=True, slots=True)
class TurnSequencer(Sequencer):
    world: World
    actor: Actor
    inner: Sequencer

    async def stamp(self, lease: Lease, *, limit: int) -> int:
        async with self.world.call(self.actor, Port.EVENTS, "stamp") as turn:
            stamped = await self.inner.stamp(lease, limit=limit)
            turn.is_idle = not stamped
        return stamped


@dataclass(frozen=True, slots=True)
class TurnReader(OutboxReader):
    """The relay publishes inside its transaction, so that is one turn with faults inside."""

    world: World
    actor: Actor
    inner: OutboxReader

    async def relay(self, lease: Lease, bus: Bus, *, limit: int) -> int:
        async with self.world.call(self.actor, Port.EVENTS, "relay") as turn:
            published = await self.inner.relay(lease, bus, limit=limit)
            turn.is_idle = not published
        return published


@dataclass(frozen=True, slots=True)
class TurnFeed(EventFeed):
    world: World
    actor: Actor
    inner: EventFeed

    async def next_events(self, consumer: str, *, limit: int) -> Sequence[LoggedEvent]:
        async with self.world.call(self.actor, Port.EVENTS, "next events") as turn:
            events = await self.inner.next_events(consumer, limit=limit)
            turn.is_idle = not events
        return events

    async def pass_over(self, consumer: str, stretches: Sequence[Sequence[LoggedEvent]]) -> None:
        async with self.world.call(self.actor, Port.EVENTS, "pass over"):
            await self.inner.pass_over(consumer, stretches)

    async def count_failure(self, consumer: str, event: LoggedEvent) -> None:
        async with self.world.call(self.actor, Port.EVENTS, "count failure"):
            await self.inner.count_failure(consumer, event)


@dataclass(slots=True)
class Stream:
    """What the bus has stored, and what it still hands out."""

    stored: list[StampedEvent] = field(default_factory=list)
    to_deliver: list[LoggedEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FakeBus(Bus):
    """Stores, refuses, or stores and fails to say so; hands out each event up to three times."""

    world: World
    actor: Actor
    stream: Stream

    async def publish(self, event: StampedEvent) -> None:
        self._take([event])

    async def publish_together(self, events: Sequence[StampedEvent]) -> bool:
        is_able = len(events) > 1 and self.world.plan.random.choice((True, False))
        if is_able:
            self._take(events)
        return is_able

    def _take(self, events: Sequence[StampedEvent]) -> None:
        fault = self.world.plan.at_bus(self.world.time.now)
        if fault is not None:
            self.world.plan.count(fault, self.world.states_of(""))
        if fault is BusFault.REFUSED:
            raise BusUnavailable("the bus is away")
        for event in events:
            self.stream.stored.append(event)
            copies = self.world.plan.random.choice((0, 1, 1, 2, 3))
            self.stream.to_deliver += [_logged(event)] * copies
            self.world.trace.add("publish", event.sequence, event.type, fault, copies)
        if fault is BusFault.ACK_LOST:
            raise BusUnavailable("the bus did not answer")
        if fault is BusFault.CRASH:
            self.world.crash(self.actor)
            raise Crashed


def _logged(event: StampedEvent) -> LoggedEvent:
    return LoggedEvent(
        id=event.id,
        tenant_id=event.tenant_id,
        sequence=event.sequence,
        type=event.type,
        subject=event_pb2.Event.FromString(event.payload).subject,
        failures=0,
    )


class TurnVenue(Protocol):
    """A venue of a run, whatever is between it and the platform."""

    name: str

    def latency(self) -> float:
        """Return how long the next answer takes, in seconds."""

    def line(self, clock: Clock) -> LiquidityProvider:
        """Return what a process with that clock has of it; all answers come at once."""


@dataclass(frozen=True, slots=True)
class TurnLp(LiquidityProvider):
    """One actor's line to a venue."""

    world: World
    actor: Actor
    venue: TurnVenue
    line: LiquidityProvider

    @property
    def name(self) -> str:
        return self.venue.name

    @property
    def capabilities(self) -> LpCapabilities:
        return self.line.capabilities

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        async with self.world.call(self.actor, Port.LP, "request quote") as turn:
            turn.delay = self.venue.latency()
            given = await self.line.request_quote(request)
            self.world.trace.add("quote", self.name, request, given)
        return given

    async def execute(
        self,
        *,
        client_order_id: AttemptId,
        reference: str,
        instrument: Instrument,
        side: Side,
        base: Amount,
        quote: Amount,
    ) -> ExecutionOutcome:
        async with self.world.call(self.actor, Port.LP, "execute") as turn:
            turn.delay = self.venue.latency()
            outcome = await self.line.execute(
                client_order_id=client_order_id,
                reference=reference,
                instrument=instrument,
                side=side,
                base=base,
                quote=quote,
            )
            turn.answer = Answer.NO if isinstance(outcome, Rejected) else Answer.OTHER
            self.world.trace.add("execute", self.name, client_order_id, reference, outcome)
        return outcome

    async def get_status(
        self,
        *,
        client_order_id: AttemptId,
        reference: str,
        instrument: Instrument,
        side: Side,
        lp_quote_expires_at: datetime,
    ) -> LpStatus:
        async with self.world.call(self.actor, Port.LP, "status") as turn:
            turn.delay = self.venue.latency()
            status = await self.line.get_status(
                client_order_id=client_order_id,
                reference=reference,
                instrument=instrument,
                side=side,
                lp_quote_expires_at=lp_quote_expires_at,
            )
            is_no = isinstance(status, Rejected | Absent)
            turn.answer = Answer.NO if is_no else Answer.OTHER
            self.world.trace.add("status", self.name, client_order_id, status)
        return status
