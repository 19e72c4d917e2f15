"""One run: a little market, its faults, healing, and the question whether all is well."""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from time import process_time
from typing import Final

from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.market import PostgresMarket
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from adapters.system.clock import SystemClock
from app.usecase.house.mirror_trades import CONSUMER as HOUSE_BOOK
from app.usecase.trade.make_receipts import CONSUMER as RECEIPTS
from domain.amount import Amount
from domain.ids import ApiKeyId, CustomerId, EntryId, TenantId, TransferId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer
from ports.market import Catalogue
from tests.crash.canary import NONE, Canary
from tests.crash.clock import SeededIds, VirtualLoop, VirtualTime, this_month
from tests.crash.database import Database, Place, TracedConnection
from tests.crash.faults import Appetite, FaultPlan
from tests.crash.oracle import ENDED, Evidence, late_fills, violations
from tests.crash.ports import SteadyMarket, Stream
from tests.crash.processes import Server, Surroundings, start_server, start_worker
from tests.crash.trace import Trace
from tests.crash.venue import Traits, Venue
from tests.crash.watch import watched_trades
from tests.crash.wire import WireVenue, open_wire_venues
from tests.crash.workload import BASE, QUOTE, Market
from tests.crash.world import Actor, Violation, World

RATE: Final = 150
"""Kobo for one satoshi."""

NAMES: Final = ("alpha", "beta")
WIRE_EVERY: Final = 4
"""One run in so many trades at venues of two wire formats, unless a bug is planted elsewhere."""
WIRE_STEP: Final = 10_000
"""Satoshis of which every venue trades a multiple."""

REST_WITHIN_S: Final = 240.0
LOOK_EVERY_S: Final = 0.5
VACUUM_EVERY: Final = 200
STUCK: Final = "outcome_unknown/unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a run."""

    number: int
    violations: list[str]
    trace: Trace | None
    turns: int
    cpu_s: float
    fired: Counter[tuple[str, str]]
    behaviors: Counter[str]
    states: Counter[str]

    def without_trace(self) -> "Result":
        return replace(self, trace=None)


@dataclass(slots=True)
class Theatre:
    """What all runs of one process share."""

    loop: VirtualLoop
    database: Database
    catalogue: Catalogue
    start: datetime
    alarms: "Alarms"
    executions: int = 0
    nonces: Random = field(default_factory=Random)

    @classmethod
    async def open(cls, loop: VirtualLoop, place: Place) -> "Theatre":
        database = Database(place.url, place.clock)
        await database.open()
        clock = SystemClock()
        start = this_month(clock.now())
        return cls(
            loop,
            database,
            await PostgresMarket(database.app, clock).catalogue(),
            start,
            Alarms(),
        )

    async def close(self) -> None:
        await self.database.close()

    async def play(self, seed: int, number: int, canary: Canary) -> Result:
        """Play one run; the same seed and number give the same trace."""
        with ExitStack() as stack:
            # Last in is first called, so the canary's code is what is watched over.
            stack.enter_context(canary.planted())
            stack.enter_context(watched_trades())
            return await self._play(seed, number, canary)

    async def _play(self, seed: int, number: int, canary: Canary) -> Result:
        def stream(name: str) -> Random:
            return Random(f"{seed}:{number}:{name}")

        begun_at = process_time()
        time = VirtualTime(self.loop, self.start, self.database.clock.set)
        trace = Trace(self.start)
        plan = FaultPlan(stream("faults"), Appetite.draw(stream("appetite")))
        world = World(self.loop, time, plan, stream("schedule"), trace)
        TracedConnection.trace = None
        self.alarms.told = world.alarms
        await self.database.forget_queues()
        self.executions += 1
        if self.executions % VACUUM_EVERY == 0:
            await self.database.vacuum()
            gc.collect()
        cast = stream("cast")
        by_wire = canary is NONE and number % WIRE_EVERY == WIRE_EVERY - 1
        async with self._venues(world, stream, cast, by_wire=by_wire) as venues:
            nonce = self.nonces.getrandbits(32)
            stage = await _Stage.set_up(self, world, stream, cast, venues, canary, nonce)
            stage.market.step = WIRE_STEP if by_wire else 1
            TracedConnection.trace = trace
            found: list[str] = []
            try:
                await stage.perform()
            except Violation as violation:
                found.append(str(violation))
            TracedConnection.trace = None
            for actor in list(world.actors):
                world.kill(actor)
            for task in stage.customers:
                task.cancel()
            await world.settle()
            found += world.alarms
            evidence = await stage.evidence()
            found += violations(evidence)
            trace.add(sorted(set(found)))
            behaviors: Counter[str] = Counter()
            for venue in venues.values():
                behaviors += venue.fired
            behaviors += late_fills(evidence)
        return Result(
            number=number,
            violations=sorted(set(found)),
            trace=trace,
            turns=world.turns,
            cpu_s=process_time() - begun_at,
            fired=plan.fired,
            behaviors=behaviors,
            states=Counter(world.states.values()),
        )

    @asynccontextmanager
    async def _venues(
        self, world: World, stream: Callable[[str], Random], cast: Random, *, by_wire: bool
    ) -> AsyncIterator[Mapping[str, Venue | WireVenue]]:
        """Have two venues, behind their ports or behind two wire formats."""
        if by_wire:
            async with open_wire_venues(NAMES, world.time, stream("wire")) as venues:
                yield venues
        else:
            yield {
                name: Venue(name, Traits.draw(cast), world.time, stream(f"venue {name}"), RATE)
                for name in NAMES
            }


@dataclass(slots=True)
class _Stage:
    """One run's cast."""

    theatre: Theatre
    world: World
    around: Surroundings
    market: Market
    random: Random
    servers: list[Server]
    deposits: dict[str, int] = field(default_factory=dict)
    customers: "list[asyncio.Task[None]]" = field(default_factory=list)
    incarnations: Counter[str] = field(default_factory=Counter)
    have_two_carriers: bool = False

    @classmethod
    async def set_up(
        cls,
        theatre: Theatre,
        world: World,
        stream: Callable[[str], Random],
        random: Random,
        venues: Mapping[str, Venue | WireVenue],
        canary: Canary,
        nonce: int,
    ) -> "_Stage":
        ids = SeededIds(world.time, stream("ids"), nonce=nonce)
        around = Surroundings(
            world=world,
            database=theatre.database,
            catalogue=theatre.catalogue,
            house_id=ids.new(TenantId),
            venues=venues,
            stream=Stream(),
            canary=canary,
            nonce=nonce,
        )
        servers: list[Server] = []
        market = Market(
            world=world,
            random=stream("customers"),
            ids=ids,
            catalogue=theatre.catalogue,
            tenant_id=ids.new(TenantId),
            customer_id=ids.new(CustomerId),
            api_key_id=ids.new(ApiKeyId),
            servers=lambda: servers,
        )
        stage = cls(theatre, world, around, market, random, servers)
        stage.have_two_carriers = random.random() < 0.35
        await stage._open_books(ids)
        return stage

    async def perform(self) -> None:
        """Play until everything is at rest, or say what does not come to rest."""
        for role in ("serve-1", "serve-2", "work-1", "work-2"):
            self._start(role)
        for number in range(self.random.choice((1, 1, 1, 2))):
            self.customers.append(self.world.loop.create_task(self.market.trade(number)))
        if await self._rests_within(self.world.plan.appetite.until):
            return
        self.world.heal()
        for venue in self.around.venues.values():
            venue.behaves = True
        if await self._rests_within(self.world.time.now + REST_WITHIN_S):
            return
        raise Violation("no rest within the time")

    async def _rests_within(self, end: float) -> bool:
        """Play on until `end`; return early, with True, when there is nothing left to do."""
        world, look_at = self.world, 0.0
        while world.time.now < end:
            await world.step(self._start)
            if world.time.now < look_at or not self._is_quiet():
                continue
            if not world.is_quiet:
                world.hurry()
            else:
                database, consumers = self.theatre.database, (HOUSE_BOOK, RECEIPTS)
                if not await database.backlog(self.market.tenant_id, consumers):
                    return True
            look_at = world.time.now + LOOK_EVERY_S
        return False

    async def evidence(self) -> Evidence:
        return Evidence(
            tenant_id=self.market.tenant_id,
            rows=await self.theatre.database.snapshot(self.market.tenant_id, self.around.house_id),
            venues=self.around.venues,
            heard=self.market.heard,
            stream=self.around.stream,
            deposits=self.deposits,
            base=BASE,
            quote=QUOTE,
        )

    def _is_quiet(self) -> bool:
        """Say whether nobody asks for anything and no trade can go further."""
        return all(customer.done() for customer in self.customers) and all(
            state in ENDED or (state == STUCK and self._can_never_end(trade_id))
            for trade_id, state in self.world.states.items()
        )

    def _can_never_end(self, trade_id: str) -> bool:
        lp, order = self.world.order_of[trade_id]
        return self.around.venues[lp].can_never_tell(order)

    def _start(self, role: str) -> None:
        self.incarnations[role] += 1
        name = f"{role}.{self.incarnations[role]}"
        random = Random(f"{self.world.random.random()} {name}")
        actor = Actor(
            name=name,
            skew=random.choice((0.0, 0.0, random.uniform(-2, 2))),
            weight=2 ** random.randint(0, 4),
        )
        if role.startswith("serve"):
            self.servers[:] = [one for one in self.servers if one.actor.is_alive]
            self.servers.append(start_server(self.around, actor, random))
        else:
            # Two that carry events get in each other's way; mostly one is enough.
            carries = role == "work-1" or self.have_two_carriers
            start_worker(self.around, actor, random, carries_events=carries)

    async def _open_books(self, ids: SeededIds) -> None:
        random, market = self.random, self.market
        await self.theatre.database.new_tenant(
            market.tenant_id,
            market.customer_id,
            market.api_key_id,
            self.around.house_id,
            quote_ttl_ms=random.choice((1_000, 1_500, 4_000)),
            markup_bps={f"{BASE}-{QUOTE}": random.choice((0, 50))},
            lp_order=tuple(random.sample(list(self.around.venues), k=random.choice((1, 2, 2)))),
            fee_bps=random.choice((0, 20)),
            at=self.world.time.instant(),
        )
        much = random.random() < 0.9
        self.deposits = {
            BASE: 100_000_000 if much else 1_000_000,
            QUOTE: 10**13 if much else 10**8,
        }
        units = PostgresUnitOfWorkFactory(
            self.theatre.database.app, SteadyMarket(self.theatre.catalogue), AccountIdCache()
        )
        async with units.begin(market.tenant_id) as uow:
            assets = [self.theatre.catalogue.assets[code] for code in self.deposits]
            pairs = [
                (AccountKey(AccountKind.EXTERNAL, asset, "sandbox"), own)
                for asset in assets
                for own in (
                    AccountKey(AccountKind.CUSTOMER, asset, str(market.customer_id)),
                    AccountKey(AccountKind.TREASURY, asset),
                )
            ]
            accounts = await uow.ledger.open_accounts([*dict.fromkeys(sum(pairs, ()))])
            transfers = tuple(
                Transfer(
                    id=ids.new(TransferId),
                    debit_account_id=accounts[outside],
                    credit_account_id=accounts[own],
                    amount=Amount(own.asset, self.deposits[own.asset.code]),
                    purpose="deposit",
                )
                for outside, own in pairs
            )
            await uow.ledger.commit(
                Entry(
                    id=ids.new(EntryId),
                    transfers=transfers,
                    source=EntrySource.DEPOSIT,
                    reference="crash",
                    effective_at=self.world.time.instant(),
                )
            )


class Alarms(logging.Handler):
    """Collects what the platform itself did not expect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []
        logging.getLogger("reli").addHandler(self)
        logging.getLogger("reli").propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.told.append(f"{record.getMessage()}: {type(error).__name__}: {error}")
