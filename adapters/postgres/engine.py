"""Connections: one pool a process, numbers as exact ints, and none that is dead lent twice."""

from asyncio import get_running_loop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy import Connection, PoolProxiedConnection, event
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


class Lent:
    """A connection of the pool, for as long as it is lent.

    Attributes:
        driver: for hot statements. SQLAlchemy does not see the driver's errors, so whoever uses it
            says when the connection is not as good as it was.
    """

    def __init__(self, engine: AsyncEngine, pooled: PoolProxiedConnection) -> None:
        driver = pooled.driver_connection
        assert driver is not None
        self.driver: Any = driver
        self._engine = engine
        self._pooled = pooled
        self._connection: AsyncConnection | None = None

    @property
    def connection(self) -> AsyncConnection:
        """The same connection, for statements written with SQLAlchemy.

        Made when it is asked for, because it costs three times what the loan does.
        """
        if self._connection is None:
            inner = Connection(self._engine.sync_engine, self._pooled)
            self._connection = AsyncConnection(self._engine, inner)
        return self._connection

    def drop(self) -> None:
        """Close it without asking the server, and let nobody have it again."""
        self.driver.terminate()
        # SQLAlchemy may have dropped it by itself.
        if self._pooled.is_valid:
            self._pooled.invalidate()

    def give_back(self) -> None:
        if self._pooled.is_valid:
            self._pooled.close()


@asynccontextmanager
async def lend(engine: AsyncEngine) -> AsyncIterator[Lent]:
    """Lend a connection; what its borrower began on it he also ends, or drops it."""
    lent = Lent(engine, await engine.raw_connection())
    try:
        yield lent
    finally:
        lent.give_back()


@asynccontextmanager
async def borrowed_driver(engine: AsyncEngine) -> AsyncIterator[Any]:
    """Lend the driver of a connection, for statements outside a unit of work.

    Only what the server itself refused leaves the connection as good as it was.
    """
    with translated():
        async with lend(engine) as lent:
            try:
                yield lent.driver
            except BaseException as error:
                if lent.driver.is_closed() or not isinstance(error, asyncpg.PostgresError):
                    lent.drop()
                raise


async def _discard_plans(driver: Any) -> None:
    await driver.execute("DISCARD PLANS")


async def _set_numeric_codec(driver: Any) -> None:
    # Every numeric column is a whole number of minor units. As text it is exact at any size and
    # three times cheaper to read than a Decimal.
    await driver.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=int, format="text"
    )
