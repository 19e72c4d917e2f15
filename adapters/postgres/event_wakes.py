"""Hears that tenants have new events, on one connection for a whole process."""

import asyncio
from asyncio import Future
from contextlib import suppress
from typing import Any, Final
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.outbox import WAKE_CHANNEL
from domain.ids import TenantId
from ports.event_log import EventWakes

ALIVE_EVERY_S: Final = 5.0
"""How often the database is asked for a sign of life: a connection that was cut off is silent too.
"""


class PostgresEventWakes(EventWakes):
    """Wakes nobody unless somebody listens."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # As long as somebody waits for one, and no longer.
        self._next: WeakValueDictionary[str, Future[None]] = WeakValueDictionary()

    def next_of(self, tenant_id: TenantId) -> "Future[None]":
        key = str(tenant_id.uuid)
        wake = self._next.get(key)
        if wake is None:
            wake = self._next[key] = asyncio.get_running_loop().create_future()
        return wake

    async def listen(self) -> bool:
        """Listen until canceled, or raise `DatabaseUnavailable`."""
        async with borrowed_driver(self._engine) as driver:
            is_cut = asyncio.Event()
            driver.add_termination_listener(lambda _: is_cut.set())
            await driver.add_listener(WAKE_CHANNEL, self._hear)
            for key in [*self._next]:  # they may have missed something
                self._wake(key)
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(is_cut.wait(), ALIVE_EVERY_S)
                await driver.fetchval("SELECT 1")

    def _hear(self, _driver: Any, _process: int, _channel: str, key: str) -> None:
        self._wake(key)

    def _wake(self, key: str) -> None:
        wake = self._next.pop(key, None)
        if wake is not None and not wake.done():
            wake.set_result(None)
