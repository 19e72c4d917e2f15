"""Two ways to load a server: as much as it takes, and a given rate whatever it takes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

from benchmarks import machine
from benchmarks.client import Failed

Times = TypeVar("Times")


@dataclass(frozen=True, slots=True)
class Slice(Generic[Times]):
    """What was done in one stretch of time."""

    seconds: float
    done: list[Times]

    @property
    def per_second(self) -> float:
        return len(self.done) / self.seconds


async def closed_loop(
    operation: Callable[[int], Awaitable[Times]], *, seconds: float, concurrency: int
) -> Slice[Times]:
    """Keep `concurrency` operations under way; those begun in time are finished and counted."""
    began = time.perf_counter()
    deadline = began + seconds
    numbers = count()
    done: list[Times] = []

    async def work() -> None:
        while time.perf_counter() < deadline:
            try:
                done.append(await operation(next(numbers)))
            except Failed:
                # Counted; a server that refuses at once must not be asked in a tight loop.
                await asyncio.sleep(0.05)

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return Slice(time.perf_counter() - began, done)


async def open_loop(
    operation: Callable[[int], Awaitable[Times]], *, seconds: float, per_second: float
) -> Slice[tuple[float, Times]]:
    """Begin operations at fixed instants, late ones too, and return each with its due time.

    An operation that had to wait for a slow one before it was due all the same: its latency counts
    from there, or the slowest moments would be measured by the fewest operations.
    """
    began = time.perf_counter()
    done: list[tuple[float, Times]] = []

    async def one(number: int, due: float) -> None:
        with suppress(Failed):  # counted
            done.append((due, await operation(number)))

    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * per_second)):
            due = began + number / per_second
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(one(number, due))
    return Slice(time.perf_counter() - began, done)


async def with_cores(load: Awaitable[Slice[Times]]) -> tuple[Slice[Times], dict[str, float]]:
    """Return what a load did, and how many processors each part was busy with it."""
    before = machine.cpu_seconds()
    done = await load
    return done, machine.cores(before, machine.cpu_seconds(), done.seconds)


def quantile_ms(seconds: list[float], share: float) -> float:
    """Return the value that `share` of them do not exceed, in milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000
