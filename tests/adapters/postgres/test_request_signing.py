"""How nonces are noted: together while many come, and at once if one comes alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver, make_engine
from adapters.postgres.request_signing import PostgresSeenNonces
from adapters.system.clock import SystemClock
from domain.ids import RequestSigningKeyId, TenantId
from domain.tenant.request_signing import RequestSigningKey, SignatureAlgorithm
from ports.errors import DatabaseUnavailable
from tests.support.builders import an_id


class Held(SystemClock):
    """Lets nobody sleep less than the test wants."""

    def __init__(self) -> None:
        self.slept = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self.slept.wait()
        await asyncio.sleep(0.001)


class Listed(PostgresSeenNonces):
    """Writes down what each statement notes."""

    def __init__(self, engine: AsyncEngine, clock: Held) -> None:
        super().__init__(engine, clock)
        self.statements: list[list[str]] = []

    async def _note_together(self, driver: Any, batch: Sequence[Any]) -> None:
        self.statements.append([one.row[2] for one in batch])
        await super()._note_together(driver, batch)


@pytest.fixture
async def engine(app_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(app_database_url, pool_size=1, name="test nonces")
    yield engine
    await engine.dispose()


def a_key() -> RequestSigningKey:
    return RequestSigningKey(
        id=an_id(RequestSigningKeyId),
        tenant_id=an_id(TenantId),
        name="backend",
        algorithm=SignatureAlgorithm.ED25519,
        public_key=bytes(32),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def test_a_nonce_that_comes_alone_is_noted_at_once_and_the_next_ones_together(
    engine: AsyncEngine,
) -> None:
    clock, key = Held(), a_key()
    nonces = Listed(engine, clock)

    assert await nonces.note(key, "first")
    rest = [asyncio.create_task(nonces.note(key, name)) for name in ("c", "a", "b", "a")]
    await asyncio.sleep(0.05)
    assert nonces.statements == [["first"]]
    clock.slept.set()

    assert sorted(await asyncio.gather(*rest)) == [False, True, True, True]
    assert nonces.statements == [["first"], ["a", "a", "b", "c"]]
    assert not await nonces.note(key, "first")
    await nonces.drain()


async def test_a_connection_is_given_back_although_nonces_come_without_end(
    engine: AsyncEngine,
) -> None:
    clock, key = Held(), a_key()
    clock.slept.set()
    nonces = Listed(engine, clock)

    is_over = asyncio.Event()

    async def come_again(who: int) -> None:
        for number in count():
            if is_over.is_set():
                return
            assert await nonces.note(key, f"{who} {number}")

    coming = asyncio.gather(*(come_again(who) for who in range(4)))
    await asyncio.sleep(0.01)
    try:
        async with borrowed_driver(engine) as driver:  # the only one there is
            assert await driver.fetchval("SELECT 1") == 1
    finally:
        is_over.set()
        await coming
        await nonces.drain()


async def test_whoever_waits_is_told_that_the_database_cannot_be_asked(engine: AsyncEngine) -> None:
    clock, key = Held(), a_key()
    clock.slept.set()
    nonces = Listed(make_engine("postgresql://nobody@127.0.0.1:1/no", pool_size=1), clock)

    told = await asyncio.gather(*(nonces.note(key, name) for name in "abc"), return_exceptions=True)

    assert {type(one) for one in told} == {DatabaseUnavailable}
