"""What `serve` and `work` run, wired to ports that wait for their turns."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, Final

from adapters.postgres.clock import PostgresClock
from adapters.postgres.consumer import PostgresEventFeed
from adapters.postgres.late_check import PostgresLateCheckQueue
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.outbox import PostgresOutboxReader, PostgresSequencer
from adapters.postgres.settings import PostgresSettings
from adapters.postgres.tenant import PostgresTenantDirectory
from adapters.postgres.trade import PostgresTradeQueue
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from app.container import ANSWER_WITHIN, LEASE, LIVE_TRADES, PATIENCE
from app.usecase.announce import Announce
from app.usecase.audit_trail import AuditTrail
from app.usecase.call import Call
from app.usecase.event.bury_event import BuryEvent
from app.usecase.house.mirror_trades import CONSUMER as HOUSE_BOOK
from app.usecase.house.mirror_trades import MirrorTrades
from app.usecase.liquidity.lp_desk import LpDesk
from app.usecase.once import Once
from app.usecase.quote.accept_quote import AcceptQuote
from app.usecase.quote.create_quote import CreateQuote, QuotedAnswers, QuoteOrder
from app.usecase.quote.find_price import FindPrice
from app.usecase.trade.execute_trade import ExecuteTrade
from app.usecase.trade.look_late import LookLate
from app.usecase.trade.make_receipts import CONSUMER as RECEIPTS
from app.usecase.trade.make_receipts import MakeReceipts
from app.worker.event_follower import EventFollower
from app.worker.event_sequencer import EventSequencer
from app.worker.late_check_worker import LateCheckWorker
from app.worker.leased import Leased
from app.worker.loop import run_for_ever
from app.worker.outbox_relay import OutboxRelay
from app.worker.trade_runner import SupervisedTrades
from app.worker.trade_worker import TradeWorker
from domain.ids import QuoteId, TenantId
from domain.liquidity.circuit import CircuitRule
from domain.trade.trade import Trade
from ports.liquidity import LiquidityProvider
from ports.market import Catalogue
from ports.trade import TradeQueue
from tests.crash.canary import Canary
from tests.crash.clock import SeededIds
from tests.crash.database import Database
from tests.crash.ports import (
    FakeBus,
    SteadyBoard,
    SteadyMarket,
    Stream,
    TurnClock,
    TurnDatabaseClock,
    TurnFeed,
    TurnLateChecks,
    TurnLeases,
    TurnLp,
    TurnQueue,
    TurnReader,
    TurnSequencer,
    TurnUnits,
)
from tests.crash.venue import Venue
from tests.crash.wire import WireVenue
from tests.crash.world import Actor, World
from tests.support.builders import an_lp
from tests.support.chain import SIGNER

QUOTE_BUDGET: Final = timedelta(milliseconds=800)
TRADES_REST_S: Final = 1.0
EVENTS_REST_S: Final = 0.8
LATE_REST_S: Final = 2.0
LATE_LOOKS: Final = tuple(timedelta(seconds=after) for after in (0.5, 2, 6))
EVENTS_REST_AT_MOST_S: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is there whichever process runs."""

    world: World
    database: Database
    catalogue: Catalogue
    house_id: TenantId
    venues: Mapping[str, Venue | WireVenue]
    stream: Stream
    canary: Canary
    nonce: int


@dataclass(slots=True)
class Server:
    """A serving process."""

    actor: Actor
    world: World
    create_quote: CreateQuote
    accept_quote: AcceptQuote

    def quote(self, call: Call, order: QuoteOrder) -> "asyncio.Task[QuotedAnswers]":
        return self._handle(self.create_quote(call, order))

    def accept(self, call: Call, quote_id: QuoteId) -> "asyncio.Task[Trade]":
        return self._handle(self.accept_quote(call, quote_id))

    def _handle(self, handler: Any) -> "asyncio.Task[Any]":
        task = self.world.spawn(self.actor, handler)
        self.actor.calls[task] = None
        task.add_done_callback(lambda done: self.actor.calls.pop(done, None))
        return task


@dataclass(slots=True)
class _Parts:
    clock: TurnClock
    ids: SeededIds
    units: TurnUnits
    announce: Announce
    once: Once
    lps: Mapping[str, LiquidityProvider]
    desk: LpDesk
    runner: SupervisedTrades
    look_late: LookLate


def _parts(around: Surroundings, actor: Actor, random: Random, *, engine: Any) -> _Parts:
    world = around.world
    clock = TurnClock(world, actor)
    ids = SeededIds(world.time, random, nonce=around.nonce, skew=actor.skew)
    units = TurnUnits(
        world,
        actor,
        PostgresUnitOfWorkFactory(engine, SteadyMarket(around.catalogue), AccountIdCache()),
    )
    announce = Announce(ids)
    lps = {
        name: around.canary.wrap_lp(TurnLp(world, actor, venue, venue.line(clock)), ids)
        for name, venue in around.venues.items()
    }
    desk = LpDesk(SteadyBoard({name: an_lp(name) for name in lps}), clock, CircuitRule())
    execute = ExecuteTrade(
        units_of_work=units,
        ids=ids,
        clock=clock,
        announce=announce,
        providers=lps,
        desk=desk,
        actor=actor.name,
        patience=PATIENCE,
        late_looks=LATE_LOOKS,
    )
    look_late = LookLate(units, ids, announce, lps, actor.name, LATE_LOOKS)
    runner = SupervisedTrades(execute, units, clock, lease_for=LEASE, places=LIVE_TRADES)
    once = Once(units, AuditTrail(ids))
    return _Parts(clock, ids, units, announce, once, lps, desk, runner, look_late)


def start_server(around: Surroundings, actor: Actor, random: Random) -> Server:
    parts = _parts(around, actor, random, engine=around.database.app)
    around.world.start(actor)
    return Server(
        actor,
        around.world,
        CreateQuote(
            units_of_work=parts.units,
            once=parts.once,
            ids=parts.ids,
            announce=parts.announce,
            market=SteadyMarket(around.catalogue),
            settings=PostgresSettings(parts.units, parts.clock),
            find_price=FindPrice(
                ids=parts.ids,
                clock=parts.clock,
                database_clock=TurnDatabaseClock(
                    around.world, actor, PostgresClock(around.database.app, parts.clock)
                ),
                providers=parts.lps,
                desk=parts.desk,
                budget=QUOTE_BUDGET,
            ),
        ),
        AcceptQuote(
            units_of_work=parts.units,
            once=parts.once,
            ids=parts.ids,
            announce=parts.announce,
            runner=parts.runner,
            desk=parts.desk,
            lease_for=LEASE,
            answer_within=ANSWER_WITHIN,
        ),
    )


def start_worker(
    around: Surroundings, actor: Actor, random: Random, *, carries_events: bool
) -> None:
    world, database = around.world, around.database
    engine = database.work
    parts = _parts(around, actor, random, engine=engine)
    leases = TurnLeases(world, actor, PostgresLeases(engine))
    queue: TradeQueue = TurnQueue(world, actor, PostgresTradeQueue(engine))
    directory = PostgresTenantDirectory(engine, around.house_id)
    mirror = MirrorTrades(
        units_of_work=parts.units,
        ids=parts.ids,
        directory=directory,
    )
    events_clock = TurnClock(world, actor, EVENTS_REST_AT_MOST_S)
    sequencer = Leased(
        "sequencer",
        leases,
        events_clock,
        EventSequencer(TurnSequencer(world, actor, PostgresSequencer(engine))),
        lease_for=LEASE,
    )
    relay = Leased(
        "relay",
        leases,
        events_clock,
        OutboxRelay(
            TurnReader(world, actor, PostgresOutboxReader(engine)),
            FakeBus(world, actor, around.stream),
        ),
        lease_for=LEASE,
    )
    bury = BuryEvent(
        units_of_work=parts.units, ids=parts.ids, announce=Announce(parts.ids), directory=directory
    )
    feed = TurnFeed(world, actor, PostgresEventFeed(engine))
    house = EventFollower(HOUSE_BOOK, feed, mirror, bury)
    make_receipts = MakeReceipts(units_of_work=parts.units, directory=directory, signer=SIGNER)
    receipts = EventFollower(RECEIPTS, feed, make_receipts, bury)
    trades = TradeWorker(queue, parts.runner, LEASE)

    late_checks = LateCheckWorker(
        TurnLateChecks(world, actor, PostgresLateCheckQueue(engine)), parts.look_late
    )

    async def follow_stream() -> bool:
        """A consumer of the bus: what was handed out twice or too early comes to it as well."""
        if not around.stream.to_deliver:
            return False
        position = random.randrange(len(around.stream.to_deliver))
        await mirror([around.stream.to_deliver.pop(position)])
        return True

    carrying = (
        ("sequencer", sequencer),
        ("relay", relay),
        ("house book", house),
        ("receipts", receipts),
        ("stream", follow_stream),
    )
    world.start(
        actor,
        run_for_ever("trades", parts.clock, trades, rest_s=TRADES_REST_S),
        run_for_ever("late checks", events_clock, late_checks, rest_s=LATE_REST_S),
        *(
            run_for_ever(name, events_clock, work, rest_s=EVENTS_REST_S)
            for name, work in carrying
            if carries_events
        ),
    )
