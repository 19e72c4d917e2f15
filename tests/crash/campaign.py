"""Many runs on several processes, and what is said about them."""

import asyncio
import gc
import logging
import multiprocessing
import os
import queue
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from tests.crash.canary import CANARIES, NONE
from tests.crash.clock import VirtualLoop
from tests.crash.database import Place, prepare
from tests.crash.run import Result, Theatre
from tests.crash.world import task_factory
from tests.support.stack import migrate, running_postgres

REPLAY_EVERY: Final = 50
PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Runs for one process: `first`, `first + step`, and so on.

    Attributes:
        is_hunt: stop at the first run that goes wrong.
    """

    seed: int
    canary: str
    first: int = 0
    step: int = 1
    count: int
    is_hunt: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One run that went wrong."""

    seed: int
    number: int
    canary: str
    violations: list[str]

    @property
    def reproducer(self) -> str:
        return f"make crash SEED={self.seed} RUN={self.number} CANARY={self.canary}"


@dataclass(slots=True)
class Summary:
    """What came of a campaign."""

    seed: int
    runs: int = 0
    replays: int = 0
    seconds: float = 0.0
    turns: int = 0
    cpu_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)
    behaviors: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result, canary: str) -> None:
        self.runs += 1
        self.turns += result.turns
        self.cpu_s += result.cpu_s
        self.fired += result.fired
        self.behaviors += result.behaviors
        self.states += result.states
        if result.violations:
            self.findings.append(Finding(self.seed, result.number, canary, result.violations))


@contextmanager
def stage(processes: int) -> Iterator[list[Place]]:
    """A server with one database for each process."""
    with running_postgres() as server:
        migrate(server.url)
        # The server's user must be able to read the clocks.
        server.home.parent.chmod(0o755)
        yield asyncio.run(prepare(server.url, server.home.parent, processes))


def clean_tasks(processes: int, *, seed: int, runs: int) -> list[list[Task]]:
    """Share the runs out among the processes."""
    return [
        [
            Task(
                seed=seed,
                canary=NONE.name,
                first=first,
                step=processes,
                count=len(range(first, runs, processes)),
            )
        ]
        for first in range(processes)
    ]


def hunts(processes: int, *, seed: int, at_most: int, canaries: Sequence[str]) -> list[list[Task]]:
    """Share the canaries out among the processes."""
    return [
        [
            Task(seed=seed, canary=canary, count=at_most, is_hunt=True)
            for canary in canaries[first::processes]
        ]
        for first in range(processes)
    ]


def play_all(
    places: Sequence[Place], tasks: Sequence[Sequence[Task]], *, progress_every_s: float = 10.0
) -> dict[str, Summary]:
    """Play on one process for each place; return what came of it, by canary."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    players = [
        context.Process(target=_play_tasks, args=(place, list(mine), results), daemon=True)
        for place, mine in zip(places, tasks, strict=True)
    ]
    for player in players:
        player.start()
    try:
        return _collect(results, tasks, progress_every_s)
    finally:
        for player in players:
            player.kill()
            player.join()


def _collect(
    results: Any, tasks: Sequence[Sequence[Task]], progress_every_s: float
) -> dict[str, Summary]:
    planned = [task for mine in tasks for task in mine]
    summaries = {task.canary: Summary(task.seed) for task in planned}
    clean_runs = sum(task.count for task in planned if not task.is_hunt)
    begun_at = said_at = monotonic()
    begun_at_of: dict[str, float] = {}
    playing, runs = len(tasks), 0
    while playing:
        told = _next(results)
        if told is None:
            playing -= 1
            continue
        task, result, replays = told
        summary = summaries[task.canary]
        summary.replays += replays
        summary.add(result, task.canary)
        summary.seconds = monotonic() - begun_at_of.setdefault(task.canary, monotonic())
        runs += 1
        if result.violations:
            say(f"{summary.findings[-1].reproducer}  # {'; '.join(result.violations)}")
        if monotonic() - said_at >= progress_every_s:
            said_at = monotonic()
            clean = summaries[NONE.name].runs if NONE.name in summaries else 0
            say(f"  {clean}/{clean_runs} clean runs, {runs / (said_at - begun_at):.1f} runs/s")
    return summaries


def _next(results: Any) -> Any:
    try:
        told = results.get(timeout=PATIENCE_S)
    except queue.Empty:
        raise RuntimeError(f"no run ended within {PATIENCE_S} s") from None
    if isinstance(told, str):
        raise RuntimeError(told)
    return told


def _play_tasks(place: Place, tasks: Sequence[Task], results: Any) -> None:
    """Play in a process of its own."""
    logging.disable(logging.WARNING)
    gc.disable()  # it costs a tenth, and a run leaves little behind
    try:
        with virtual_runner() as runner:
            runner.run(_play_many(place, tasks, results))
    except BaseException as error:
        results.put(f"{type(error).__name__}: {error}")
        raise
    results.put(None)


async def _play_many(place: Place, tasks: Sequence[Task], results: Any) -> None:
    theatre = await Theatre.open(_loop(), place)
    for task in tasks:
        for position in range(task.count):
            number = task.first + position * task.step
            result, replays = await _play(theatre, task, number, position)
            results.put((task, result, replays))
            if result.violations and task.is_hunt:
                break
    await theatre.close()


async def _play(theatre: Theatre, task: Task, number: int, position: int) -> tuple[Result, int]:
    """Play one run; now and then, and where it went wrong, once more to see the same."""
    canary = CANARIES[task.canary]
    result = await theatre.play(task.seed, number, canary)
    if not result.violations and position % REPLAY_EVERY:
        return result.without_trace(), 0
    again = await theatre.play(task.seed, number, canary)
    assert result.trace is not None and again.trace is not None
    digests = result.trace.digest(), again.trace.digest()
    if digests[0] != digests[1]:
        result.violations.append(f"not reproducible: {digests[0]}, then {digests[1]}")
    return result.without_trace(), 1


async def play_one(place: Place, seed: int, number: int, canary: str) -> tuple[Result, Result]:
    """Play one run twice, and keep what happened."""
    theatre = await Theatre.open(_loop(), place)
    first = await theatre.play(seed, number, CANARIES[canary])
    second = await theatre.play(seed, number, CANARIES[canary])
    await theatre.close()
    return first, second


def virtual_runner() -> asyncio.Runner:
    """Return what runs a coroutine on a loop whose time stands still."""
    return asyncio.Runner(loop_factory=_new_loop)


def _new_loop() -> VirtualLoop:
    loop = VirtualLoop()
    loop.set_task_factory(task_factory)
    # Tasks of dead processes end with errors that nobody is left to hear.
    loop.set_exception_handler(lambda _loop, _context: None)
    return loop


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def processes() -> int:
    return max(1, min(2, os.cpu_count() or 1))
