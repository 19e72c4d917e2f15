"""What a server asks of the database about secrets."""

import asyncio
from typing import Any

from adapters.postgres.credential import PostgresCredentials
from adapters.system.clock import SystemClock


class Counting(PostgresCredentials):
    """Is told, after a while, that there is no such key."""

    asked = 0

    async def _ask(self, secret_hash: bytes) -> Any:
        self.asked += 1
        await asyncio.sleep(0.01)


async def test_those_who_come_at_once_with_a_secret_wait_for_one_answer() -> None:
    nowhere: Any = None
    credentials = Counting(nowhere, SystemClock())

    found = await asyncio.gather(*(credentials.find(b"one") for _ in range(20)))

    assert found == [None] * 20
    assert credentials.asked == 1
    await asyncio.gather(credentials.find(b"one"), credentials.find(b"other"))
    assert credentials.asked == 3
