"""A process that starts before its database is there waits for it."""

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from app.stack.ports import LOOPBACK, Ports
from app.stack.process import Child
from tests.chaos.proxy import Proxy
from tests.support.stack import running

AWAY_S = 3.0
"""Longer than a process needs to load and to look for its database."""


@pytest.mark.parametrize(
    ("command", "variable"),
    [("serve", "RELI_APP_DATABASE_URL"), ("work", "RELI_WORK_DATABASE_URL")],
)
async def test_a_process_waits_for_its_database(
    command: str,
    variable: str,
    database_url: str,
    app_database_url: str,
    work_database_url: str,
    tmp_path: Path,
) -> None:
    url = urlsplit(app_database_url if command == "serve" else work_database_url)
    assert url.port is not None
    proxy, port = Proxy("postgres", url.port), Ports(None).take()
    who, at, _ = url.netloc.rpartition("@")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("RELI_")}
    child = Child(
        name=command,
        argv=[sys.executable, "-P", "-m", "app", command],
        log=tmp_path / "log",
        env=inherited
        | {
            variable: urlunsplit(url._replace(netloc=f"{who}{at}{LOOPBACK}:{port}")),
            "RELI_NATS_URL": f"nats://{LOOPBACK}:1",  # nobody is there, ever
            "RELI_GRPC_PORT": "0",
            "PYTHONUNBUFFERED": "1",
        },
    )
    child.start()
    with running(child):
        while "trying again" not in child.log.read_text():
            assert child.exit_code is None, child.log_tail()
            await asyncio.sleep(0.05)
        await asyncio.sleep(AWAY_S)
        assert child.exit_code is None, child.log_tail()

        await proxy.start(port)
        await _until_connected(database_url, f"reli {command}")
        await asyncio.sleep(0.5)
        assert child.exit_code is None, child.log_tail()
    await proxy.close()


async def _until_connected(database_url: str, name: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for _ in range(200):
            if await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", name
            ):
                return
            await asyncio.sleep(0.1)
    finally:
        await connection.close()
    raise AssertionError(f"{name} did not connect")
