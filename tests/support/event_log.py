"""Makes the events of a platform readable, as a working process does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.outbox import PostgresSequencer
from app.worker.event_sequencer import EventSequencer
from app.worker.loop import run_for_ever
from ports.lease import Lease
from tests.support.platform import Platform


@dataclass(frozen=True)
class Stamping:
    """Who gives sequences for as long as the lease is held."""

    sequencer: PostgresSequencer
    lease: Lease

    async def all(self) -> None:
        while await self.sequencer.stamp(self.lease, limit=1_000):
            pass


@asynccontextmanager
async def stamping(platform: Platform) -> AsyncIterator[Stamping]:
    """Hold the lease under which events get their sequences."""
    engine = make_engine(platform.settings.work_database_url, pool_size=2)
    leases = PostgresLeases(engine)
    lease = await leases.acquire("sequencer", lease_for=timedelta(minutes=5))
    assert lease is not None, "nobody else gives sequences meanwhile"
    try:
        yield Stamping(PostgresSequencer(engine), lease)
    finally:
        await leases.renew(lease, lease_for=timedelta())
        await engine.dispose()


async def stamp_events(platform: Platform) -> None:
    """Give every event that was committed its sequence."""
    async with stamping(platform) as stamps:
        await stamps.all()


@asynccontextmanager
async def sequencing(platform: Platform) -> AsyncIterator[None]:
    """Run what gives sequences, and what hears of them, as `reli work` and `reli serve` do."""
    clock = platform.container.clock()
    async with stamping(platform) as stamps:
        work = partial(EventSequencer(stamps.sequencer), stamps.lease)
        listen = platform.container.event_wakes().listen
        loops = [
            asyncio.create_task(run_for_ever("sequencer", clock, work, rest_s=0.03)),
            asyncio.create_task(run_for_ever("event wakes", clock, listen, rest_s=0.1)),
        ]
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.wait(loops)
