"""Brings a database to the current schema: roles first, then the migrations as their owner."""

import asyncio
import re
from importlib.resources import files
from urllib.parse import unquote, urlsplit

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.postgres.engine import make_engine

OWNER = "reli_owner"
DIRECTORY = "reli_directory"
APP = "reli_app"
WORK = "reli_work"

_ROLE_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "10s",
    "transaction_timeout": "15s",
    # Every hot statement asks by key: a plan made for the first values serves all, and planning
    # over partitions would cost more than running.
    "plan_cache_mode": "force_generic_plan",
    # Rows are found by a handful of parameters, whose number no plan knows: by key, never by
    # reading all that a tenant has. A plan made for a small table would do that with a bitmap.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
}


class EnvironmentFixed(RuntimeError):
    """Sandbox or live was fixed when the database was made."""


def upgrade(database_url: str, app_url: str, work_url: str, environment: str) -> None:
    """Create or upgrade the database behind `database_url`.

    The user of `database_url` must be able to create roles. `app_url` and `work_url` carry the
    passwords that the two runtime roles get. Raises `EnvironmentFixed` if the database was made
    for another environment.
    """
    asyncio.run(_upgrade(database_url, app_url, work_url, environment))


async def _upgrade(database_url: str, app_url: str, work_url: str, environment: str) -> None:
    if environment not in ("sandbox", "live"):
        raise ValueError(f"environment must be sandbox or live, was {environment}")
    engine = make_engine(database_url, pool_size=1, isolation_level="READ COMMITTED")
    try:
        async with engine.connect() as connection:
            # Several processes may start at once; one migrates, the others find it done.
            await connection.execute(text("SELECT pg_advisory_lock(hashtext('reli.migrate'))"))
            await connection.commit()
            await _make_roles(connection, app_url, work_url)
            await connection.commit()
            await connection.execute(text(f"SET ROLE {OWNER}"))
            await connection.execute(
                text("SELECT set_config('reli.environment', :name, false)"), {"name": environment}
            )
            await connection.commit()
            await connection.run_sync(_run_alembic)
            await connection.commit()
            made_for = await connection.scalar(text("SELECT name FROM core.environment"))
            if made_for != environment:
                raise EnvironmentFixed(f"this database was made for {made_for}, for ever")
            while await connection.scalar(text("SELECT core.make_partitions(3)")):
                await connection.commit()
    finally:
        await engine.dispose()


def _run_alembic(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("adapters.postgres") / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _make_roles(connection: AsyncConnection, app_url: str, work_url: str) -> None:
    for role in (OWNER, DIRECTORY):
        await _ensure_role(connection, role, "NOLOGIN")
    await _grant_role(connection, OWNER, "CURRENT_USER")
    await _grant_role(connection, DIRECTORY, OWNER)
    for role, url in ((APP, app_url), (WORK, work_url)):
        user, password = _credentials(url)
        if user != role:
            raise ValueError(f"the URL of {role} must name that user, not {user}")
        await _ensure_role(connection, role, f"LOGIN PASSWORD {_literal(password)}")
        for setting, value in _ROLE_SETTINGS.items():
            await connection.execute(text(f"ALTER ROLE {role} SET {setting} = '{value}'"))
    await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS core AUTHORIZATION {OWNER}"))


async def _ensure_role(connection: AsyncConnection, role: str, options: str) -> None:
    attributes = f"{options} NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOINHERIT"
    found = await connection.scalar(
        text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}
    )
    verb = "ALTER" if found else "CREATE"
    await connection.exec_driver_sql(f"{verb} ROLE {role} {attributes}")


async def _grant_role(connection: AsyncConnection, role: str, member: str) -> None:
    await connection.exec_driver_sql(f"GRANT {role} TO {member} WITH INHERIT FALSE, SET TRUE")


def _credentials(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return unquote(parts.username or ""), unquote(parts.password or "")


def _literal(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", value) or "\\" in value:
        raise ValueError("a role's password must be printable ASCII without spaces or backslashes")
    return "'" + value.replace("'", "''") + "'"
