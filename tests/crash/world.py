"""Turns: every port call waits at a gate, and a seeded driver opens one gate at a time.

A transaction runs to its end inside its turn, so nobody ever waits for a lock and real time
decides nothing. A crash drops the actor that waits at a gate: its tasks end, its memory is gone,
and whatever it still tries to call raises `Crashed`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any, Final

from tests.crash.clock import VirtualLoop, VirtualTime
from tests.crash.faults import Answer, Fault, FaultPlan, Moment, Port
from tests.crash.trace import Trace

LEASE_S: Final = 3.0
SUBJECT: ContextVar[str] = ContextVar("subject", default="")
"""What a call is about: the quote, until its trade is known."""

_ACTOR: ContextVar["Actor | None"] = ContextVar("actor", default=None)


class Crashed(BaseException):
    """The process is gone; no code of it may go on."""


class Violation(AssertionError):
    """What must never be."""


@dataclass(eq=False, slots=True, kw_only=True)
class Actor:
    """One incarnation of a process.

    Attributes:
        skew: how far its own clock is off, in seconds.
        weight: how often it gets a turn, compared with the others.
        frozen_until: until when the system has stopped it.
    """

    name: str
    skew: float
    weight: int
    is_alive: bool = True
    frozen_at: float = 0.0
    frozen_until: float = 0.0
    calls: dict[asyncio.Task[Any], None] = field(default_factory=dict)
    tasks: dict[asyncio.Task[Any], None] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Gate:
    actor: Actor | None
    port: Port
    what: str
    moment: Moment
    ready_at: float
    future: "asyncio.Future[None]"
    subject: str
    soonest: float
    answer: Answer = Answer.NONE


@dataclass(eq=False, slots=True)
class Turn:
    """A turn in progress; its body may say how long its answer takes, and what it is.

    Attributes:
        is_idle: there was nothing to do, so there is nothing to lose on the way back.
    """

    gate: Gate
    fault: Fault | None = None
    delay: float = 0.0
    answer: Answer = Answer.NONE
    is_idle: bool = False
    is_over: asyncio.Event = field(default_factory=asyncio.Event)


class World:
    """The gates, the clock and the driver of one run."""

    def __init__(
        self, loop: VirtualLoop, time: VirtualTime, plan: FaultPlan, random: Random, trace: Trace
    ) -> None:
        self.loop = loop
        self.time = time
        self.plan = plan
        self.trace = trace
        self.random = random
        self.actors: list[Actor] = []
        self.gates: list[Gate] = []
        self.turn: Turn | None = None
        self.turns = 0
        self.restarts: list[tuple[float, str]] = []
        self.alarms: list[str] = []
        self.states: dict[str, str] = {}
        self.trade_of: dict[str, str] = {}
        self.order_of: dict[str, tuple[str, str]] = {}
        self.is_quiet = False
        self._settling = 0

    # Actors

    def start(self, actor: Actor, *mains: Any) -> None:
        self.actors.append(actor)
        for main in mains:
            self.spawn(actor, main)

    def spawn(self, actor: Actor, main: Any) -> "asyncio.Task[Any]":
        """Run a coroutine as part of an actor; what it starts is part of it too."""
        token = _ACTOR.set(actor)
        try:
            return self.loop.create_task(main)
        finally:
            _ACTOR.reset(token)

    def kill(self, actor: Actor) -> None:
        actor.is_alive = False
        if actor in self.actors:
            self.actors.remove(actor)
        for task in list(actor.tasks):
            if task is not asyncio.current_task(self.loop):
                task.cancel()

    async def until_gone(self, actor: Actor, what: str) -> None:
        """Wait for those tasks of a dead actor that run the coroutine of that name."""
        left = [task for task in actor.tasks if _name_of(task) == what]
        if left:
            await asyncio.wait(left)

    # Gates, as the actors see them

    async def pause(self, actor: Actor | None, seconds: float, *, longest: float = 0.0) -> None:
        """Sleep; up to `longest`, if that is more, while there is something better to do."""
        now = self.time.now
        delay = seconds if self.is_quiet else max(seconds, longest)
        await self._wait(actor, Port.SLEEP, "sleep", Moment.ASLEEP, delay, now + seconds)

    def hurry(self) -> None:
        """From here on nobody sleeps longer than asked."""
        self.is_quiet = True
        for gate in self.gates:
            gate.ready_at = min(gate.ready_at, gate.soonest)

    @asynccontextmanager
    async def call(self, actor: Actor, port: Port, what: str) -> AsyncIterator[Turn]:
        """Make one port call as one turn; the caller hears of it in another."""
        gate = await self._wait(actor, port, what, Moment.BEFORE, 0.0)
        assert self.turn is None, f"{what} inside of {self.turn}"
        early, passing = self._is_early(gate), self._is_passing(gate)
        fault = self.plan.in_turn(port, self.time.now, early=early, passing=passing)
        self.turn = turn = Turn(gate, fault)
        if turn.fault is not None:
            self._fired(turn.fault, gate)
        try:
            yield turn
        except Exception as error:
            self.trace.add("raised", actor.name, what, type(error).__name__)
            raise
        finally:
            turn.is_over.set()
        if turn.is_idle or turn.fault is Fault.COMMIT_UNHEARD:
            return
        await self._wait(actor, port, what, Moment.AFTER, turn.delay, answer=turn.answer)

    async def _wait(
        self,
        actor: Actor | None,
        port: Port,
        what: str,
        moment: Moment,
        delay: float,
        soonest: float = inf,
        *,
        answer: Answer = Answer.NONE,
    ) -> Gate:
        if actor is not None and not actor.is_alive:
            raise Crashed
        gate = Gate(
            actor,
            port,
            what,
            moment,
            self.time.now + delay,
            self.loop.create_future(),
            self._subject(),
            soonest,
            answer,
        )
        self.gates.append(gate)
        try:
            await gate.future
        finally:
            if gate in self.gates:
                self.gates.remove(gate)
        return gate

    def _subject(self) -> str:
        task = asyncio.current_task(self.loop)
        name = task.get_name() if task is not None else ""
        return name if name.startswith("trade_") else SUBJECT.get()

    # The driver

    async def settle(self) -> None:
        """Let everybody run up to the next gate."""
        # Whoever crashes in the middle of a step waits for the same as the step does.
        self._settling += 1
        try:
            while not self.loop.is_idle_but_for(self._settling - 1):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
        finally:
            self._settling -= 1

    async def step(self, spawn: Callable[[str], None]) -> None:
        """Open one gate, or let time pass to where one can be opened."""
        self.time.advance(self.random.uniform(0.0005, 0.01))
        self._restart(spawn)
        await self.settle()
        await self._wake()
        ready = self._ready()
        if not ready:
            await self._skip()
            return
        now = self.time.now
        weights = [gate.actor.weight if gate.actor is not None else 8 for gate in ready]
        gate = self.random.choices(ready, weights)[0]
        self.turns += 1
        name = gate.actor.name if gate.actor is not None else "client"
        fault = None
        if gate.actor is not None:
            fault = self.plan.at_gate(
                gate.port,
                gate.moment,
                now,
                early=self._is_early(gate),
                passing=self._is_passing(gate),
                answer=gate.answer,
            )
        self.trace.add("open", round(now * 1e6), name, gate.what, gate.moment, fault)
        if fault is not None and self._strike(fault, gate):
            await self.settle()
            return
        await self._open(gate)

    async def _wake(self) -> None:
        """End all sleeps that are over: to wake has no effect on anybody else."""
        rested = [gate for gate in self._ready() if gate.moment is Moment.ASLEEP]
        for gate in rested:
            gate.future.set_result(None)
        if rested:
            await self.settle()

    def _ready(self) -> list[Gate]:
        now = self.time.now
        return [
            gate
            for gate in self.gates
            if gate.ready_at <= now and (gate.actor is None or gate.actor.frozen_until <= now)
        ]

    async def _open(self, gate: Gate) -> None:
        gate.future.set_result(None)
        await self.settle()
        if self.turn is not None:
            await self.turn.is_over.wait()
            self.turn = None
            await self.settle()

    async def _skip(self) -> None:
        """Nothing can be done now: pass the time until something can."""
        now = self.time.now
        ahead = [
            max(gate.ready_at, gate.actor.frozen_until if gate.actor is not None else 0.0)
            for gate in self.gates
        ]
        ahead += [at for at, _ in self.restarts]
        if not ahead:
            raise Violation("everybody waits for nobody")
        self.time.advance(max(min(ahead) - now, 0.0) + 1e-6)
        await self.settle()

    def _restart(self, spawn: Callable[[str], None]) -> None:
        due = [one for one in self.restarts if one[0] <= self.time.now]
        self.restarts = [one for one in self.restarts if one[0] > self.time.now]
        for _, role in due:
            spawn(role)
        self._thaw_zombies()

    def _thaw_zombies(self) -> None:
        """Wake a frozen process at the worst time: while its successor is at a venue."""
        now = self.time.now
        at_a_venue = {gate.actor for gate in self.gates if gate.what == "execute"}
        for actor in self.actors:
            has_lost_its_lease = actor.frozen_until > now > actor.frozen_at + LEASE_S
            if has_lost_its_lease and at_a_venue - {actor} and self.random.random() < 0.3:
                actor.frozen_until = now
                actor.weight = 64

    def heal(self) -> None:
        """From here on nothing fails and everybody is awake."""
        self.plan.appetite.until = 0.0
        for actor in self.actors:
            actor.frozen_until = 0.0
        now = self.time.now
        self.restarts = [(min(at, now + 1.0), role) for at, role in self.restarts]

    # Faults

    def _strike(self, fault: Fault, gate: Gate) -> bool:
        """Let the fault act at a gate; return whether the gate stays shut."""
        actor = gate.actor
        assert actor is not None
        match fault:
            case Fault.CRASH:
                self._fired(fault, gate)
                self.crash(actor)
            case Fault.POWER_CUT:
                self._fired(fault, gate)
                delay = self.random.choice((0.2, 1.0, 4.0, 32.0))
                for each in list(self.actors):
                    self.crash(each, delay)
            case Fault.FREEZE:
                self._fired(fault, gate)
                actor.frozen_at = self.time.now
                lengths = (15.0, 33.0) if gate.answer is Answer.NO else (1.0, 3.5, 6.0, 15.0, 33.0)
                actor.frozen_until = self.time.now + self.random.choice(lengths)
            case Fault.CANCEL:
                if not actor.calls:
                    return False
                self._fired(fault, gate)
                self.random.choice(list(actor.calls)).cancel()
            case _:
                raise AssertionError(fault)
        return True

    def crash(self, actor: Actor, delay: float | None = None) -> None:
        """Drop an actor; another one takes up its role from what is durable."""
        if not actor.is_alive:
            return
        if delay is None:
            delay = self.random.choice((0.05, 0.5, 1.0, 4.0))
        self.restarts.append((self.time.now + delay, actor.name.partition(".")[0]))
        self.kill(actor)

    def _fired(self, fault: Fault, gate: Gate) -> None:
        what = f"{fault} {gate.moment} {gate.port}" if fault in PLACED else str(fault)
        self.plan.count(what, self.states_of(gate.subject))

    def _is_early(self, gate: Gate) -> bool:
        return self.states_of(gate.subject) == [NO_TRADE]

    def _is_passing(self, gate: Gate) -> bool:
        return not PASSING.isdisjoint(self.states_of(gate.subject))

    def states_of(self, subject: str) -> list[str]:
        """Return the states of the trade that a gate is about, or of all trades of the run."""
        if subject:
            return [self.states.get(self.trade_of.get(subject, subject), NO_TRADE)]
        return list(self.states.values()) or [NO_TRADE]


NO_TRADE: Final = "no trade yet"
PASSING: Final = frozenset({"submitted/prepared", "rejected"})
"""States that few faults would find a trade in: soon over, or seldom come to."""
PLACED: Final = frozenset({Fault.CRASH, Fault.FREEZE})


def task_factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Task[Any]":
    """Note whose task it is, so that it can end with its process."""
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
    actor = _ACTOR.get()
    if actor is not None:
        actor.tasks[task] = None
        task.add_done_callback(lambda done: actor.tasks.pop(done, None))
    return task


def _name_of(task: "asyncio.Task[Any]") -> str:
    return getattr(task.get_coro(), "__qualname__", "")
