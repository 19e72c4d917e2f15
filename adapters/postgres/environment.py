"""What this database was made for."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.errors import translated
from domain.ids import TenantId


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


async def read_environment(engine: AsyncEngine) -> Environment:
    with translated():
        async with engine.connect() as connection:
            row = (
                await connection.execute(text("SELECT name, house_id FROM core.environment"))
            ).one()
    return Environment(row.name, TenantId(row.house_id))
