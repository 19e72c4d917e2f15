"""Connections: one pool a process, numbers as exact ints."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


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

    return engine


async def _set_numeric_codec(driver: Any) -> None:
    # Every numeric column is a whole number of minor units. As text it is exact at any size and
    # three times cheaper to read than a Decimal.
    await driver.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=int, format="text"
    )
