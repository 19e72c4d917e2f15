"""Partitions, made by the one function that may."""

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from ports.partition import Partitions


class PostgresPartitions(Partitions):
    """Its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def make(self, *, months_ahead: int) -> int:
        made = 0
        async with borrowed_driver(self._engine) as driver:
            # Each is a transaction of its own, so that none is kept waiting for the next.
            while one := await driver.fetchval("SELECT core.make_partitions($1)", months_ahead):
                made += one
        return made
