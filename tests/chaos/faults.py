"""What goes wrong, when and where: drawn from a seed, carried out on the real processes."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

import aiohttp

from app.stack.process import describe_exit
from tests.chaos.history import History
from tests.chaos.proxy import Proxy
from tests.chaos.recovery import Outage, Recovery
from tests.chaos.stack import ENVOY, NATS, POSTGRES, ChaosStack

EVERY_S: Final = 2.0
WATCH_S: Final = 0.05
READY_WITHIN_S: Final = 30.0

KILL: Final = "kill"
FREEZE: Final = "freeze"
WIPE: Final = "wipe"
PROXY_FAULTS: Final = ("cut", "cut after", "delay", "blackhole")

_GROUPS: Final = ("serve", "work", POSTGRES, NATS, ENVOY)

# Shuffled and dealt again and again: a short run sees most of it, a long one all of it evenly.
_DECK: Final = (
    *((KILL, group) for group in (*_GROUPS, *_GROUPS, "serve", "work")),
    *((FREEZE, group) for group in _GROUPS),
    (WIPE, NATS),
    *((kind, "proxy") for kind in PROXY_FAULTS),
    ("cut", "proxy"),
)

# What magic amounts cannot ask for; while it is set, they mean nothing.
_VENUE_FAULTS: Final = (
    *("late_fill", "late_fill"),
    *("garbage", "cut_after_fill", "refuse_quote", "other_price"),
)

# A venue's quote lives for 10 s, and half a second later its "no such order" is believed by whoever
# asks. What is hidden for longer than that is a late fill.
_HIDDEN_MS: Final = (10_000, 20_000)

Say = Callable[[str], None]


@dataclass(slots=True)
class Supervisor:
    """Starts again whatever ended, and says so when nobody had killed it."""

    stack: ChaosStack
    history: History
    say: Say
    _killed: set[str] = field(default_factory=set)

    async def watch(self) -> None:
        while True:
            for name in self.stack.names:
                if name not in self._killed and not self.stack.is_running(name):
                    code = self.stack.exit_code(name)
                    assert code is not None
                    self.history.violate("survival", "", name, f"ended with {describe_exit(code)}")
                    self.say(f"{name} ended by itself with {describe_exit(code)}")
                    self.stack.restart(name)
            await asyncio.sleep(WATCH_S)

    def kill(self, name: str) -> None:
        self._killed.add(name)
        self.stack.kill(name)

    async def restart(self, name: str) -> None:
        self.stack.restart(name)
        self._killed.discard(name)
        await self.ready(name)

    async def ready(self, name: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not await asyncio.to_thread(self.stack.is_ready, name):
            if time.monotonic() > deadline:
                self.history.violate("survival", "", name, f"not ready in {READY_WITHIN_S:g} s")
                return
            await asyncio.sleep(WATCH_S)


@dataclass(slots=True)
class Faults:
    """One fault every two seconds, never two at the same place.

    Attributes:
        only: a kind, a group or both, such as `kill postgres`, to look at it alone.
    """

    stack: ChaosStack
    supervisor: Supervisor
    proxies: Mapping[str, Proxy]
    recovery: Recovery
    random: Random
    say: Say
    only: str = ""
    fired: Counter[str] = field(default_factory=Counter)
    _deck: list[tuple[str, str]] = field(default_factory=list)
    _busy: set[str] = field(default_factory=set)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, until: float) -> None:
        """Break things until that instant of the monotonic clock, then wait until all is well."""
        while True:
            await asyncio.sleep(self.random.uniform(0.75 * EVERY_S, 1.25 * EVERY_S))
            if time.monotonic() >= until:
                break
            kind, target = self._draw()
            if target in self._busy:
                continue
            task = asyncio.create_task(self._fire(kind, target))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await self.heal()

    async def heal(self) -> None:
        if self._running:
            await asyncio.wait(self._running)
        for proxy in self.proxies.values():
            proxy.heal()

    def _draw(self) -> tuple[str, str]:
        if not self._deck:
            deck = [card for card in _DECK if self.only in " ".join(card)]
            self._deck = self.random.sample(deck, len(deck))
        kind, group = self._deck.pop()
        if group == "proxy":
            return kind, f"proxy of {self.random.choice([*self.proxies])}"
        return kind, self.random.choice(self.stack.named(group))

    async def _fire(self, kind: str, target: str) -> None:
        self._busy.add(target)
        self.fired[f"{kind} {target.split('-')[0]}"] += 1
        outage = self.recovery.begin(kind, target, stops_writes=_stops_writes(kind, target))
        try:
            seconds = await self._carry_out(kind, target)
        finally:
            self.recovery.end(outage)
            self._busy.discard(target)
        self.say(f"{kind:<10}{target:<20}{seconds:5.1f} s{_back(outage)}")

    async def _carry_out(self, kind: str, target: str) -> float:
        began = time.monotonic()
        if kind in PROXY_FAULTS:
            await self._cut(kind, self.proxies[target.removeprefix("proxy of ")])
        elif kind == FREEZE:
            self.stack.freeze(target)
            await asyncio.sleep(self.random.uniform(2, 8))
            self.stack.thaw(target)
        else:
            self.supervisor.kill(target)
            if kind == WIPE:
                self.stack.wipe_nats()
                await asyncio.sleep(self.random.uniform(0.5, 2))
            await self.supervisor.restart(target)
        return time.monotonic() - began

    async def _cut(self, kind: str, proxy: Proxy) -> None:
        match kind:
            case "cut":
                proxy.cut()
                return
            case "cut after":
                proxy.cut_after(self.random.randint(1, 5_000))
            case "delay":
                proxy.delay(self.random.uniform(0.02, 0.3))
            case _:
                proxy.blackhole()
        await asyncio.sleep(self.random.uniform(1, 5))
        proxy.heal()


def _stops_writes(kind: str, target: str) -> bool:
    # With one of its processes down or frozen the rest of a group still answers, but a balancer
    # needs time to learn which.
    return target == f"proxy of {POSTGRES}" or target.startswith((POSTGRES, ENVOY, "serve"))


def _back(outage: Outage) -> str:
    return "" if outage.seconds is None else f"   writes after {outage.seconds:5.2f} s"


async def misbehave(
    admin_url: str, random: Random, session: aiohttp.ClientSession, until: float
) -> None:
    """Let a venue answer wrongly every now and then, a few times in a row."""
    while time.monotonic() < until:
        await asyncio.sleep(random.uniform(0.5, 1.5))
        if random.random() < 0.3:
            count = random.randint(1, 3)
            behavior = random.choice(_VENUE_FAULTS)
            late_ms = random.randint(*_HIDDEN_MS)
            async with session.put(
                f"{admin_url}/v1/behavior",
                json={"behavior": behavior, "count": count, "late_ms": late_ms},
            ) as response:
                response.raise_for_status()
    async with session.delete(f"{admin_url}/v1/behavior") as response:
        response.raise_for_status()
