"""How nonces are noted: together while many come, and at once if one comes alone."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from adapters.postgres.request_signing import PostgresSeenNonces
from adapters.system.clock import SystemClock
from domain.ids import RequestSigningKeyId, TenantId
from domain.tenant.request_signing import RequestSigningKey, SignatureAlgorithm
from tests.support.builders import an_id

KEY = RequestSigningKey(
    id=an_id(RequestSigningKeyId),
    tenant_id=an_id(TenantId),
    name="backend",
    algorithm=SignatureAlgorithm.ED25519,
    public_key=bytes(32),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


class Held(SystemClock):
    """Lets nobody sleep less than the test wants."""

    def __init__(self) -> None:
        self.slept = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self.slept.wait()


class Listed(PostgresSeenNonces):
    """Writes down what each statement would note."""

    def __init__(self, clock: Held) -> None:
        nowhere: Any = None
        super().__init__(nowhere, clock)
        self.statements: list[list[str]] = []

    async def _note_together(self, batch: Sequence[Any]) -> None:
        self.statements.append([one.row[2] for one in batch])
        for one in batch:
            one.is_new.set_result(True)


async def test_a_nonce_that_comes_alone_is_noted_at_once_and_the_next_ones_together() -> None:
    clock = Held()
    nonces = Listed(clock)

    assert await nonces.note(KEY, "first")
    rest = [asyncio.create_task(nonces.note(KEY, name)) for name in ("c", "a", "b")]
    await asyncio.sleep(0.01)
    assert nonces.statements == [["first"]]
    clock.slept.set()
    await asyncio.gather(*rest)

    assert nonces.statements == [["first"], ["a", "b", "c"]]
    assert await nonces.note(KEY, "alone again")
