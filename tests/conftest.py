"""Servers that every test may ask for; each is started at most once in a run."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.database_url import APP_ROLE, WORK_ROLE, role_url
from app.stack.postgres import PostgresServer
from app.stack.stack import ReadyStack
from tests.support.platform import Platform, a_platform
from tests.support.stack import a_database, migrate, running_nats, running_postgres, running_reli


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL with an empty database."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def database_url(postgres_server: PostgresServer) -> str:
    """The owner's URL of a migrated sandbox database, shared by the whole run."""
    migrate(postgres_server.url)
    return postgres_server.url


@pytest.fixture(scope="session")
def app_database_url(database_url: str) -> str:
    """The same database as the app's role, for which row security holds."""
    return role_url(database_url, APP_ROLE)


@pytest.fixture(scope="session")
def work_database_url(database_url: str) -> str:
    """The same database as the workers' role."""
    return role_url(database_url, WORK_ROLE)


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """A real NATS server with JetStream."""
    with running_nats() as server:
        yield server.url


@pytest.fixture(scope="session")
def running_stack() -> Iterator[ReadyStack]:
    """The whole of Reli as `reli up` runs it: two servers, one worker, two venues, Envoy."""
    with running_reli("--serve", "2") as ready:
        yield ready


@pytest.fixture(scope="session")
async def platform(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """The platform inside the test's process; make a tenant of your own and nobody disturbs you."""
    home: Path = tmp_path_factory.mktemp("platform")
    async with a_platform(database_url, home) as running:
        yield running


@pytest.fixture(scope="module")
async def own_platform(
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Platform]:
    """The same on a database of the module's own: what is done to it is done to nobody else's."""
    module = request.module.__name__.rpartition(".")[-1]
    url = await a_database(postgres_server.url, module)
    async with a_platform(url, tmp_path_factory.mktemp(module)) as running:
        yield running
