"""What goes wrong in a run, when, and in which state of a trade it struck."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final


class Moment(StrEnum):
    """Where an actor stands when it waits for its turn."""

    BEFORE = "before"
    AFTER = "after"
    ASLEEP = "asleep"


class Port(StrEnum):
    """Kinds of ports, as far as faults tell them apart."""

    UNIT = "unit of work"
    LP = "LP call"
    QUEUE = "claim"
    EVENTS = "event log"
    SLEEP = "sleep"


class Fault(StrEnum):
    CRASH = "crash"
    CRASH_INSIDE = "crash before commit"
    POWER_CUT = "power cut"
    FREEZE = "freeze"
    CANCEL = "call canceled"
    DB_REFUSES = "database refuses"
    COMMIT_UNHEARD = "commit unheard"


class Answer(StrEnum):
    """What a venue has said about an order."""

    NONE = ""
    NO = "no"
    OTHER = "other"


class Stalk(StrEnum):
    """What a run lies in wait for, beside its chances."""

    NOTHING = ""
    FREEZE_AT_NO = "freeze at no"
    """Its successor will hear the "no" too, go on to another venue, and must not be disturbed."""
    CRASH_AFTER_ANSWER = "crash after answer"
    FREEZE_AFTER_ANSWER = "freeze after answer"
    """Some units of work later, where an answer is on its way into the books."""


class BusFault(StrEnum):
    REFUSED = "bus refuses"
    ACK_LOST = "bus ack lost"
    CRASH = "crash while publishing"


@dataclass(slots=True, kw_only=True)
class Appetite:
    """How much of what a run may suffer, drawn from its seed.

    Attributes:
        rate: the chance of a fault at a gate of the money path; elsewhere it is a sixth of it.
        early: the share of that chance before there is a trade to harm.
        budget: how often each fault may strike.
    """

    rate: float
    early: float
    budget: Counter[Fault]
    stalk: Stalk
    bus_rate: float
    until: float

    @classmethod
    def draw(cls, random: Random) -> "Appetite":
        rate = random.choice((0.0, 0.04, 0.08, 0.15, 0.25, 0.35))
        budget = Counter(
            {
                Fault.CRASH: random.choice((0, 1, 1, 2, 3)),
                Fault.CRASH_INSIDE: random.choice((0, 0, 1)),
                Fault.POWER_CUT: random.choice((0, 0, 0, 1)),
                Fault.FREEZE: random.choice((0, 0, 1, 1, 2)),
                Fault.CANCEL: random.choice((0, 0, 1)),
                Fault.DB_REFUSES: random.choice((0, 0, 1)),
                Fault.COMMIT_UNHEARD: random.choice((0, 0, 1)),
            }
        )
        return cls(
            rate=rate,
            early=random.choice((0.05, 0.05, 0.3, 1.0)),
            budget=budget,
            stalk=random.choice(tuple(Stalk)),
            bus_rate=random.choice((0.0, 0.0, 0.1, 0.3)),
            until=random.choice((5.0, 10.0, 20.0)),
        )


_AT_A_GATE: Final = (Fault.CRASH, Fault.POWER_CUT, Fault.FREEZE, Fault.CANCEL)
_ELSEWHERE: Final = 6
"""How much rarer a fault is away from the money path."""
_PASSING: Final = 5
"""How much likelier it is in a state that is soon over, so that no such state goes unharmed."""
_IN_A_TURN: Final = (Fault.CRASH_INSIDE, Fault.DB_REFUSES, Fault.COMMIT_UNHEARD)


@dataclass(slots=True)
class FaultPlan:
    """Decides by the seed; `fired` counts fault by state."""

    random: Random
    appetite: Appetite
    units_left: int = 0
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)

    def at_gate(
        self,
        port: Port,
        moment: Moment,
        now: float,
        *,
        early: bool,
        passing: bool,
        answer: Answer,
    ) -> Fault | None:
        """Return what strikes an actor that waits there.

        `passing` says that a trade is in a state that few find it in.
        """
        if now < self.appetite.until and self.appetite.stalk is not Stalk.NOTHING:
            stalked = self._stalk(port, answer)
            if stalked is not None:
                self.appetite.stalk = Stalk.NOTHING
                return stalked
        rate = self._rate(port, now, early=early, passing=passing)
        if moment is Moment.AFTER and port is Port.LP:
            rate *= 2  # where the venue knows an answer and we do not, most is at stake
        elif moment is Moment.AFTER and port in (Port.QUEUE, Port.EVENTS):
            rate *= _ELSEWHERE  # few of them find anything to do, and come by here
        return self._draw(_AT_A_GATE, rate)

    def _stalk(self, port: Port, answer: Answer) -> Fault | None:
        if self.appetite.stalk is Stalk.FREEZE_AT_NO:
            return Fault.FREEZE if answer is Answer.NO else None
        if answer is not Answer.NONE:
            self.units_left = self.random.randint(1, 5)
        elif port is Port.UNIT and self.units_left:
            self.units_left -= 1
            if not self.units_left:
                is_crash = self.appetite.stalk is Stalk.CRASH_AFTER_ANSWER
                return Fault.CRASH if is_crash else Fault.FREEZE
        return None

    def in_turn(self, port: Port, now: float, *, early: bool, passing: bool) -> Fault | None:
        """Return what strikes inside the unit of work that begins."""
        if port is not Port.UNIT:
            return None
        return self._draw(_IN_A_TURN, self._rate(port, now, early=early, passing=passing))

    def at_bus(self, now: float) -> BusFault | None:
        if now >= self.appetite.until or self.random.random() >= self.appetite.bus_rate:
            return None
        return self.random.choice(tuple(BusFault))

    def count(self, what: str, states: list[str]) -> None:
        for state in states:
            self.fired[what, state] += 1

    def _rate(self, port: Port, now: float, *, early: bool, passing: bool) -> float:
        if now >= self.appetite.until:
            return 0.0
        rate = self.appetite.rate * (self.appetite.early if early else 1.0)
        rate *= _PASSING if passing else 1
        return rate if port in (Port.UNIT, Port.LP) else rate / _ELSEWHERE

    def _draw(self, faults: tuple[Fault, ...], rate: float) -> Fault | None:
        if self.random.random() >= rate:
            return None
        left = [fault for fault in faults if self.appetite.budget[fault]]
        if not left:
            return None
        fault = self.random.choice(left)
        self.appetite.budget[fault] -= 1
        return fault
