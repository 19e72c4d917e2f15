"""Real servers for tests; each ends with the block that opened it, or with the test run itself."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from app.database_url import APP_ROLE, WORK_ROLE, role_url
from app.stack.nats import NatsServer
from app.stack.ports import Ports
from app.stack.postgres import PostgresServer
from app.stack.process import Child, wait_until_ready
from app.stack.stack import ReadyStack

PATIENT_QUOTE_BUDGET_MS = 900
"""A machine that runs tests may stand still for longer than a customer is to wait for a price.

A slow venue takes a second, and still is too late.
"""


@contextmanager
def scratch_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="reli-test-") as home:
        yield Path(home)


@contextmanager
def running(child: Child) -> Iterator[Child]:
    try:
        yield child
    finally:
        child.stop()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A fresh cluster that forgets everything in a power cut, and is fast for it."""
    with scratch_home() as home:
        server = PostgresServer(
            home=home / "postgres",
            port=Ports(None).take(),
            password="of-tests-only",
            log=home / "postgres.log",
            durable=False,
        )
        with running(server.start()) as child:
            wait_until_ready(child, server.is_ready)
            yield server


@contextmanager
def running_nats() -> Iterator[NatsServer]:
    with scratch_home() as home:
        server = NatsServer(
            home=home / "nats",
            port=Ports(None).take(),
            password="of-tests-only",
            log=home / "nats.log",
        )
        with running(server.start()) as child:
            wait_until_ready(child, server.is_ready)
            yield server


def reli_up(home: Path, *options: str) -> Child:
    """The whole stack, started the way a person or a script would start it."""
    # One that was killed left its file behind, and nobody is to take it for the new one's.
    (home / "ready.json").unlink(missing_ok=True)
    child = Child(
        name="reli",
        argv=[
            *[sys.executable, "-P", "-m", "app", "up"],
            *["--home", str(home / "home"), "--ready-file", str(home / "ready.json"), *options],
        ],
        log=home / "reli.log",
        env={key: value for key, value in os.environ.items() if not key.startswith("RELI_")}
        | {"RELI_LP_QUOTE_BUDGET_MS": str(PATIENT_QUOTE_BUDGET_MS)},
        death_signal=signal.SIGTERM,  # it has children of its own to stop in order
        grace_s=60.0,
    )
    child.start()
    return child


def wait_until_up(child: Child, home: Path) -> ReadyStack:
    ready_file = home / "ready.json"
    wait_until_ready(child, ready_file.exists, timeout_s=90)
    return ReadyStack(**json.loads(ready_file.read_text()))


@contextmanager
def running_reli(*options: str) -> Iterator[ReadyStack]:
    with scratch_home() as home, running(reli_up(home, *options)) as child:
        yield wait_until_up(child, home)


def migrate(database_url: str) -> None:
    """Bring the database up to date, as a sandbox."""
    from adapters.postgres.migrate import upgrade

    # It runs a loop of its own, which must not meet the one of the tests.
    with ThreadPoolExecutor(max_workers=1) as elsewhere:
        elsewhere.submit(
            upgrade,
            database_url,
            role_url(database_url, APP_ROLE),
            role_url(database_url, WORK_ROLE),
            "sandbox",
        ).result()


async def a_database(server_url: str, name: str) -> str:
    """Make a migrated database beside the shared one and return its owner's URL."""
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    migrate(url)
    return url


async def until_ready(child: Child, is_ready: Callable[[], bool]) -> None:
    """Wait without holding up the loop, on which the other side may have to answer."""
    await asyncio.to_thread(wait_until_ready, child, is_ready)
