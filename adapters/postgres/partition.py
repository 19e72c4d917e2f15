"""Partitions, made by the one function that may."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.errors import translated
from ports.partition import Partitions


class PostgresPartitions(Partitions):
    """Its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def make(self, *, months_ahead: int) -> int:
        with translated():
            async with self._engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                made: int = await driver.fetchval("SELECT core.make_partitions($1)", months_ahead)
        return made
