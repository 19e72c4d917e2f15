"""Leases by name."""

from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from ports.lease import Lease, LeaseStore

_ACQUIRE = """
UPDATE core.leases SET token = token + 1, leased_until = core.now() + $2::interval
WHERE name = $1 AND leased_until <= core.now()
RETURNING token
"""

_RENEW = """
UPDATE core.leases SET leased_until = core.now() + $3::interval
WHERE name = $1 AND token = $2 AND leased_until > core.now()
RETURNING true
"""

_HOLD = """
SELECT true FROM core.leases WHERE name = $1 AND token = $2 AND leased_until > core.now()
FOR UPDATE
"""


class PostgresLeases(LeaseStore):
    """Its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def acquire(self, name: str, *, lease_for: timedelta) -> Lease | None:
        token = await self._ask(_ACQUIRE, name, lease_for)
        return Lease(name, token) if token else None

    async def renew(self, lease: Lease, *, lease_for: timedelta) -> bool:
        return bool(await self._ask(_RENEW, lease.name, lease.token, lease_for))

    async def _ask(self, query: str, *arguments: object) -> Any:
        async with borrowed_driver(self._engine) as driver:
            return await driver.fetchval(query, *arguments)


async def hold(driver: Any, lease: Lease) -> bool:
    """Say whether the lease is still ours, and keep it from being taken until the commit."""
    return bool(await driver.fetchval(_HOLD, lease.name, lease.token))
