"""What this database was made for."""

import logging
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.errors import translated
from domain.ids import TenantId
from ports.clock import Clock
from ports.errors import DatabaseBusy, DatabaseUnavailable

RETRY_S = 0.5

_log = logging.getLogger("reli.postgres")


@dataclass(frozen=True, slots=True)
class Environment:
    """Attributes:
    name: `sandbox` or `live`, for ever.
    house_id: the operator's own tenant.
    """

    name: str
    house_id: TenantId

    @property
    def is_sandbox(self) -> bool:
        return self.name == "sandbox"


async def await_environment(engine: AsyncEngine, clock: Clock) -> Environment:
    """Return what the database was made for as soon as it says so, however long it is away."""
    while True:
        try:
            return await read_environment(engine)
        except (DatabaseBusy, DatabaseUnavailable) as error:
            _log.warning("%s; trying again", error.message)
            await clock.sleep(RETRY_S)


async def read_environment(engine: AsyncEngine) -> Environment:
    with translated():
        async with engine.connect() as connection:
            row = (
                await connection.execute(text("SELECT name, house_id FROM core.environment"))
            ).one()
    return Environment(row.name, TenantId(row.house_id))
