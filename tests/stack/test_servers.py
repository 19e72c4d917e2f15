"""The embedded servers are real, private and survive what they should."""

import asyncpg
import nats
import pytest

from app.stack.ports import Ports
from app.stack.postgres import PostgresServer
from app.stack.process import wait_until_ready
from tests.support.stack import running, scratch_home


async def test_postgres_wants_its_password(postgres_server: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres_server.url)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_server.url.replace(postgres_server.password, "guess"))


async def test_nats_wants_its_password_and_has_jetstream(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    assert (await client.jetstream().account_info()).limits is not None
    await client.close()


async def test_postgres_keeps_what_it_acknowledged_when_it_is_killed() -> None:
    with scratch_home() as home:
        for attempt in range(2):
            server = PostgresServer(
                home=home / "postgres",
                port=Ports(None).take(),
                password="of-tests-only",
                log=home / "postgres.log",
            )
            with running(server.start()) as child:
                wait_until_ready(child, server.is_ready)
                connection = await asyncpg.connect(server.url)
                if attempt == 0:
                    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
                    child.kill()
                else:
                    assert await connection.fetchval("SELECT answer FROM kept") == 42
                connection.terminate()
