"""The desk at which a process decides whom of the LPs it asks, and hears what came of it."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from domain.liquidity.circuit import CircuitRule, CircuitState, LpOutcome
from domain.liquidity.errors import LpHalted
from domain.liquidity.lp import Lp
from domain.side import Side
from ports.clock import Clock
from ports.lp import LpBoard

CIRCUIT_OPEN: Final = "LP_CIRCUIT_OPEN"
LP_HALTED: Final = LpHalted.reason
LP_BUSY: Final = "LP_BUSY"

ASKED_AT_ONCE: Final = 256
"""Requests for quotes under way at one LP; one that is stuck holds up no more than these."""

HEARD_AT_MOST: Final = 512
"""Calls to one LP that are kept until they are reported; of more only the latest are."""

PROBES_EVERY_S: Final = 1.0

Heard = Sequence[tuple[LpOutcome, int]]
"""What became of calls to an LP, and how many milliseconds each took."""


class LpDesk:
    """One in each process; what it decides by and what it hears are in memory."""

    def __init__(self, board: LpBoard, clock: Clock, rule: CircuitRule) -> None:
        self._board = board
        self._clock = clock
        self._rule = rule
        self._heard: dict[str, deque[tuple[LpOutcome, int]]] = {}
        self._probes: dict[str, tuple[float, int]] = {}
        self._asked: Counter[str] = Counter()

    async def lps(self) -> Mapping[str, Lp]:
        """Return how every connected LP stands."""
        return await self._board.lps()

    def quote_refusal(self, lp: Lp, side: Side) -> str:
        """Return why an LP is not to be asked for the price of a new quote now, or nothing."""
        if self._asked[lp.name] >= ASKED_AT_ONCE:
            return LP_BUSY
        return self.refusal(lp, side)

    @contextmanager
    def asking(self, name: str) -> Iterator[None]:
        """Count a request for a quote as under way."""
        self._asked[name] += 1
        try:
            yield
        finally:
            self._asked[name] -= 1

    def refusal(self, lp: Lp, side: Side) -> str:
        """Return why an LP is to get neither a question nor an order now, or nothing.

        Whoever hears nothing of one that is being tried asks it: it is one of the few that may.
        """
        if not lp.trading_state.allows(side):
            return LP_HALTED
        match lp.circuit.state:
            case CircuitState.CLOSED:
                return ""
            case CircuitState.OPEN:
                return CIRCUIT_OPEN
            case CircuitState.HALF_OPEN:
                return "" if self._may_probe(lp.name) else CIRCUIT_OPEN

    def hear(self, name: str, outcome: LpOutcome, *, took_ms: int = 0) -> None:
        """Note what became of a call to an LP."""
        heard = self._heard.get(name)
        if heard is None:
            heard = self._heard[name] = deque(maxlen=HEARD_AT_MOST)
        heard.append((outcome, took_ms))

    def take_heard(self) -> Mapping[str, Heard]:
        """Return what was noted since the last time, by LP."""
        heard, self._heard = self._heard, {}
        return heard

    def _may_probe(self, name: str) -> bool:
        now = self._clock.monotonic()
        began_at, probes = self._probes.get(name, (now, 0))
        if now - began_at >= PROBES_EVERY_S:
            began_at, probes = now, 0
        if probes >= self._rule.probes:
            return False
        self._probes[name] = began_at, probes + 1
        return True


class OnlookersDesk:
    """The desk for those who only want to know a price.

    They share answers, so what they hear says little of an LP, and none of the few calls that try
    one out is theirs.
    """

    def __init__(self, desk: LpDesk) -> None:
        self._desk = desk

    async def lps(self) -> Mapping[str, Lp]:
        return await self._desk.lps()

    def quote_refusal(self, lp: Lp, side: Side) -> str:
        if lp.circuit.state is CircuitState.HALF_OPEN:
            return CIRCUIT_OPEN
        return self._desk.refusal(lp, side)

    def asking(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def hear(self, name: str, outcome: LpOutcome, *, took_ms: int = 0) -> None:
        pass
