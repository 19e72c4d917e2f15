"""Connections that died are never lent, and never come back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import adapters.postgres.engine as engine_module
from adapters.postgres.engine import borrowed_driver, make_engine
from adapters.postgres.errors import translated
from ports.errors import DatabaseBusy, DatabaseUnavailable

NAME = "dies often"
SIZE = 4
PID = "SELECT pg_backend_pid()"


@pytest.fixture
async def engine(app_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(app_database_url, pool_size=SIZE, name=NAME)
    yield engine
    await engine.dispose()


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def end_all(owner: asyncpg.Connection) -> None:
    """Do to every session of the engine what a restart of the server would."""
    await owner.execute(
        "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE application_name = $1",
        NAME,
    )
    await asyncio.sleep(0.05)


async def fill(engine: AsyncEngine) -> None:
    """Open every connection that the pool may have."""

    async def one() -> None:
        async with borrowed_driver(engine) as driver:
            await driver.fetchval("SELECT pg_sleep(0.05)")

    await asyncio.gather(*(one() for _ in range(SIZE)))


async def ask(engine: AsyncEngine, query: str, *, timeout: float | None = None) -> Any:
    async with borrowed_driver(engine) as driver:
        return await driver.fetchval(query, timeout=timeout)


async def test_connections_that_ended_in_the_pool_are_replaced_before_anybody_has_them(
    engine: AsyncEngine, owner: asyncpg.Connection
) -> None:
    await fill(engine)
    await end_all(owner)

    for _ in range(SIZE):
        assert await ask(engine, "SELECT 1") == 1
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT 1")) == 1


async def test_a_connection_that_ends_in_a_call_fails_that_call_only(
    engine: AsyncEngine, owner: asyncpg.Connection
) -> None:
    await fill(engine)
    asking = asyncio.create_task(ask(engine, "SELECT pg_sleep(5)"))
    await asyncio.sleep(0.1)
    await end_all(owner)
    with pytest.raises(DatabaseUnavailable):
        await asking

    for _ in range(2 * SIZE):
        assert await ask(engine, "SELECT 1") == 1


async def test_a_statement_that_was_given_up_does_not_leave_its_connection_to_others(
    engine: AsyncEngine,
) -> None:
    before = await ask(engine, PID)
    for _ in range(SIZE):
        with pytest.raises(DatabaseUnavailable):
            await ask(engine, "SELECT pg_sleep(5)", timeout=0.05)

    assert await ask(engine, PID) != before
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_connection_that_nobody_answers_is_a_database_that_is_away() -> None:
    # As the driver raises it when the server takes the connection and says nothing.
    with pytest.raises(DatabaseUnavailable), translated():
        raise TimeoutError from asyncio.CancelledError()


async def test_what_the_server_refuses_costs_no_connection(engine: AsyncEngine) -> None:
    before = await ask(engine, PID)
    await ask(engine, "SELECT set_config('statement_timeout', '10ms', false)")
    for _ in range(3):
        with pytest.raises(DatabaseBusy):
            await ask(engine, "SELECT pg_sleep(5)")

    assert await ask(engine, PID) == before


def test_plans_are_made_anew_at_twice_their_age_each_time() -> None:
    plans = engine_module._Plans(made_at=0.0)

    anew = [second for second in range(2_000) if plans.are_outgrown(float(second))]

    assert anew == [5, 15, 35, 75, 155, 315, 635, 1235, 1835]


async def test_a_connection_that_is_lent_makes_outgrown_plans_anew(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    discarded = []

    async def discard(driver: Any) -> None:
        discarded.append(await driver.fetchval(PID))

    monkeypatch.setattr(engine_module, "_discard_plans", discard)
    pid = await ask(engine, PID)
    assert discarded == []

    monkeypatch.setattr(engine_module._Plans, "are_outgrown", lambda *_: True)
    assert await ask(engine, PID) == pid
    assert discarded == [pid]


async def test_a_connection_that_died_while_plans_were_made_anew_is_replaced(
    engine: AsyncEngine, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await ask(engine, PID)

    async def die(driver: Any) -> None:
        if await driver.fetchval(PID) == pid:
            await end_all(owner)
            await driver.execute("DISCARD PLANS")

    monkeypatch.setattr(engine_module, "_discard_plans", die)
    monkeypatch.setattr(engine_module._Plans, "are_outgrown", lambda *_: True)

    assert await ask(engine, PID) != pid


async def test_the_connection_used_last_is_lent_first(engine: AsyncEngine) -> None:
    await fill(engine)

    assert len({await ask(engine, PID) for _ in range(2 * SIZE)}) == 1


STARTING_UP = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"


async def test_a_server_that_is_only_starting_is_unavailable() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(b"E" + (len(STARTING_UP) + 4).to_bytes(4, "big") + STARTING_UP)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    engine = make_engine(f"postgresql://a:b@127.0.0.1:{port}/c?ssl=disable", pool_size=1)
    try:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                async with borrowed_driver(engine):
                    pass
    finally:
        await engine.dispose()
        server.close()
