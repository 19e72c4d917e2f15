"""Who waits for a lock in the database, and that nobody does so in a circle."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

DEADLOCKS: Final = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"

_LOOKED_FOR_AFTER: Final = """
SELECT setting::int / 1000.0 FROM pg_settings WHERE name = 'deadlock_timeout'
"""

_WAITING: Final = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'
"""

PATIENCE_S: Final = 10


async def until_waiting(database: asyncpg.Pool, name: str, *, backends: int = 1) -> None:
    """Return once so many connections of that name wait for locks."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await database.fetchval(_WAITING, name) >= backends:
                return
            await asyncio.sleep(0.005)


@asynccontextmanager
async def no_deadlock(database: asyncpg.Pool) -> AsyncIterator[None]:
    """Let what is inside end long before the server looks for a deadlock, and without one."""
    before = await database.fetchval(DEADLOCKS)
    patience: Any = await database.fetchval(_LOOKED_FOR_AFTER)
    async with asyncio.timeout(float(patience) / 2):
        yield
    assert await database.fetchval(DEADLOCKS) == before
