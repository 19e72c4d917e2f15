"""What reading a long event log costs."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from adapters.postgres.event_log import _READ
from domain.ids import TenantId
from tests.support.builders import an_id


@pytest.fixture
async def app(app_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(app_database_url)
    yield connection
    await connection.close()


async def test_a_look_asks_an_index_for_its_range_under_row_security_too(app: Any) -> None:
    """Otherwise a look would read all that a tenant was ever told; while that is little, unseen."""
    async with app.transaction():
        tenant = an_id(TenantId).uuid
        await app.execute(f"SET LOCAL app.tenant_id = '{tenant}'")
        types = "uuid, bigint, bigint, text[], bigint, bigint"
        await app.execute(f"PREPARE look ({types}) AS {_READ}")
        explained = await app.fetch(f"EXPLAIN EXECUTE look('{tenant}', 0, 9, NULL, 9, 9)")
        plan = [row[0] for row in explained]

    conditions = [line for line in plan if "Index Cond" in line and "sequence" in line]
    partitions = [line for line in plan if " on outbox_" in line]
    assert len(conditions) == len(partitions) >= 3
    assert all("(sequence > $2) AND (sequence <= $3)" in line for line in conditions), plan
