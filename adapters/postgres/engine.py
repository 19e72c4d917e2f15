"""Connections: one pool a process, numbers as exact ints, and none that is dead lent twice."""

from asyncio import get_running_loop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from adapters.postgres.errors import translated

_PLANS: Final = "plans"
_PLANS_KEPT_S: Final = 600.0


def make_engine(
    url: str, *, pool_size: int, isolation_level: str = "AUTOCOMMIT", name: str = "reli"
) -> AsyncEngine:
    """Return an engine for a plain `postgresql://` URL.

    With AUTOCOMMIT SQLAlchemy sends no BEGIN of its own: the unit of work says when a transaction
    begins, together with its tenant, in one round trip.
    """
    engine = create_async_engine(
        urlunsplit(urlsplit(url)._replace(scheme="postgresql+asyncpg")),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=2,
        pool_pre_ping=False,
        # The one used last is the one whose plans and catalogue are at hand.
        pool_use_lifo=True,
        isolation_level=isolation_level,
        connect_args={
            "timeout": 5,
            "command_timeout": 10,
            "server_settings": {"application_name": name, "timezone": "UTC"},
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _use_exact_numbers(connection: Any, _record: Any) -> None:
        connection.run_async(_set_numeric_codec)

    @event.listens_for(engine.sync_engine, "checkout")
    def _replace_closed(connection: Any, _record: Any, _proxy: Any) -> None:
        # What the driver was told while nobody used the connection; no round trip is spent.
        if connection.driver_connection.is_closed():
            raise DisconnectionError("the server has closed it")

    @event.listens_for(engine.sync_engine, "checkout")
    def _plan_anew(connection: Any, record: Any, _proxy: Any) -> None:
        plans = record.info.setdefault(_PLANS, _Plans(get_running_loop().time()))
        if plans.are_outgrown(get_running_loop().time()):
            try:
                connection.run_async(_discard_plans)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                raise DisconnectionError("the server has closed it") from error

    return engine


@dataclass(slots=True)
class _Plans:
    """How old the plans of a connection are.

    A plan is made for the size that a table has then. One made while it was nearly empty reads all
    rows of a tenant instead of asking by key, until the server's own statistics notice; that may
    take minutes, in which it costs ever more. Made again at twice the age each time, plans follow
    the growth and cost nothing to speak of.
    """

    made_at: float
    kept_for: float = 5.0

    def are_outgrown(self, now: float) -> bool:
        """Say whether to make them again, and if so count them as made now."""
        if now - self.made_at < self.kept_for:
            return False
        self.made_at = now
        self.kept_for = min(2 * self.kept_for, _PLANS_KEPT_S)
        return True


@asynccontextmanager
async def borrowed_driver(engine: AsyncEngine) -> AsyncIterator[Any]:
    """Lend the driver of a connection, for statements outside a unit of work.

    Only what the server itself refused leaves the connection as good as it was. SQLAlchemy does
    not see the driver's errors, and would lend a dead connection again.
    """
    with translated():
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                yield driver
            except BaseException as error:
                if driver.is_closed() or not isinstance(error, asyncpg.PostgresError):
                    await drop(connection, driver)
                raise


async def drop(connection: AsyncConnection, driver: Any) -> None:
    """Close a connection without asking the server, and let nobody have it again."""
    driver.terminate()
    await connection.invalidate()


async def _discard_plans(driver: Any) -> None:
    await driver.execute("DISCARD PLANS")


async def _set_numeric_codec(driver: Any) -> None:
    # Every numeric column is a whole number of minor units. As text it is exact at any size and
    # three times cheaper to read than a Decimal.
    await driver.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=int, format="text"
    )
