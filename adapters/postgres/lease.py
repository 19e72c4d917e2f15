"""Leases by name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from ports.lease import Lease, LeaseStore


def is_free(lease_for: str) -> str:
    """Return SQL that says whether nobody has a row's lease.

    One that lasts for far longer than leases do was given by a clock that was ahead then. Whoever
    has it loses it: what he writes is fenced by its token.
    """
    longest = f"greatest(2 * {lease_for}::interval, interval '1 minute')"
    return f"(leased_until <= core.now() OR leased_until > core.now() + {longest})"


_ACQUIRE = f"""
UPDATE core.leases SET token = token + 1, leased_until = core.now() + $2::interval
WHERE name = $1 AND {is_free("$2")}
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


@asynccontextmanager
async def held(
    engine: AsyncEngine, lease: Lease, *, if_any: str = "", arguments: tuple[object, ...] = ()
) -> AsyncIterator[Any]:
    """Lend a driver, in a transaction that keeps the lease from being taken until it commits.

    Lends None where the lease is no longer ours, and where `if_any`, a question, is answered no. It
    is asked before the transaction: asked again and again, mostly for nothing, that is one round
    trip.
    """
    async with borrowed_driver(engine) as driver:
        if if_any and not await driver.fetchval(if_any, *arguments):
            yield None
            return
        async with driver.transaction():
            yield driver if await hold(driver, lease) else None
