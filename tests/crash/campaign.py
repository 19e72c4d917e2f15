"""Many runs on several processes, and what is said about them."""

import asyncio
import multiprocessing
import os
import queue
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, Final

from tests.crash.canary import CANARIES
from tests.crash.clock import VirtualLoop
from tests.crash.database import Place, prepare
from tests.crash.run import Result, Theatre
from tests.crash.world import task_factory
from tests.support.stack import migrate, running_postgres

REPLAY_EVERY: Final = 50
PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one process is to play.

    Attributes:
        only: one run instead of `first`, `first + step`, and so on.
        is_hunt: stop at the first run that goes wrong.
        replay_every: how often a run is played twice to see that nothing but the seed decides.
    """

    place: Place
    seed: int
    canary: str
    first: int
    step: int
    count: int
    is_hunt: bool = False
    replay_every: int = REPLAY_EVERY


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
    findings: list[Finding] = field(default_factory=list)
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)
    behaviors: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result, canary: str) -> None:
        self.runs += 1
        self.turns += result.turns
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


def campaign(
    places: list[Place],
    *,
    seed: int,
    runs: int,
    canary: str = "none",
    is_hunt: bool = False,
    first: int = 0,
    progress_every_s: float = 10.0,
) -> Summary:
    """Play the runs on one process for each place, and say now and then how far it is."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    step = len(places)
    workers = [
        context.Process(
            target=play_many,
            args=(
                Task(
                    place=place,
                    seed=seed,
                    canary=canary,
                    first=first + offset,
                    step=step,
                    count=len(range(offset, runs, step)),
                    is_hunt=is_hunt,
                ),
                results,
            ),
            daemon=True,
        )
        for offset, place in enumerate(places)
    ]
    for worker in workers:
        worker.start()
    try:
        return _collect(workers, results, seed, runs, canary, is_hunt, progress_every_s)
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _collect(
    workers: list[BaseProcess],
    results: Any,
    seed: int,
    runs: int,
    canary: str,
    is_hunt: bool,
    progress_every_s: float,
) -> Summary:
    summary = Summary(seed)
    begun_at = said_at = monotonic()
    playing = len(workers)
    while playing:
        try:
            told = results.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise RuntimeError(f"no run ended within {PATIENCE_S} s") from None
        if told is None:
            playing -= 1
        elif isinstance(told, str):
            raise RuntimeError(told)
        else:
            result, replays = told
            summary.replays += replays
            summary.add(result, canary)
            if result.violations and not is_hunt:
                say(f"{summary.findings[-1].reproducer}  # {'; '.join(result.violations)}")
            if result.violations and is_hunt:
                break
        if monotonic() - said_at >= progress_every_s:
            said_at = monotonic()
            rate = summary.runs / (said_at - begun_at)
            say(f"  {summary.runs}/{runs} runs, {rate:.1f}/s, {len(summary.findings)} bad")
    summary.seconds = monotonic() - begun_at
    return summary


def play_many(task: Task, results: Any) -> None:
    """Play in a process of its own."""
    try:
        with VirtualRunner() as runner:
            runner.run(_play_many(task, results))
    except BaseException as error:
        results.put(f"{type(error).__name__}: {error}")
        raise
    results.put(None)


async def _play_many(task: Task, results: Any) -> None:
    theatre = await Theatre.open(_loop(), task.place)
    canary = CANARIES[task.canary]
    for position in range(task.count):
        number = task.first + position * task.step
        result = await theatre.play(task.seed, number, canary)
        replays = 0
        if result.violations or position % task.replay_every == 0:
            again = await theatre.play(task.seed, number, canary)
            replays = 1
            if again.digest != result.digest:
                result.violations.append(
                    f"not reproducible: {result.digest} and then {again.digest}"
                )
        results.put((result, replays))
        if result.violations and task.is_hunt:
            break
    await theatre.close()


async def play_one(place: Place, seed: int, number: int, canary: str) -> tuple[Result, Result]:
    """Play one run twice, and keep what happened."""
    theatre = await Theatre.open(_loop(), place)
    first = await theatre.play(seed, number, CANARIES[canary], keep_lines=True)
    second = await theatre.play(seed, number, CANARIES[canary], keep_lines=True)
    await theatre.close()
    return first, second


class VirtualRunner(asyncio.Runner):
    """Runs a coroutine on a loop whose time stands still."""

    def __init__(self) -> None:
        super().__init__(loop_factory=_new_loop)


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
