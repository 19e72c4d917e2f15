"""Months that are over leave without anybody noticing."""

import asyncio
from datetime import UTC, datetime

import pytest

from reli.trade.v1 import trade_pb2
from tests.support.audit import assert_books_balance
from tests.support.platform import Platform

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
AND_A_MONTH = datetime(2020, 2, 1, tzinfo=UTC)


@pytest.fixture
async def old_partitions(platform: Platform) -> list[tuple[str, str]]:
    """Every partitioned table with a month that is long over, the way the worker makes them."""
    parents = [
        row["name"]
        for row in await platform.owner.fetch(
            "SELECT partrelid::regclass::text AS name FROM pg_partitioned_table ORDER BY 1"
        )
    ]
    made = [(parent, f"{parent}_2020_01") for parent in parents]
    lowest, highest = [
        await platform.owner.fetchval("SELECT core.uuid_at($1)", instant)
        for instant in (LONG_AGO, AND_A_MONTH)
    ]
    for parent, name in made:
        await platform.owner.execute(
            f"CREATE TABLE {name} PARTITION OF {parent} FOR VALUES FROM ('{lowest}') "
            f"TO ('{highest}')"
        )
    return made


async def test_old_months_are_detached_while_trades_settle(
    platform: Platform, old_partitions: list[tuple[str, str]]
) -> None:
    tenant_id, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)

    async def trade() -> None:
        for _ in range(6):
            made = await client.accept((await client.quote(customer_id)).id)
            assert made.state == trade_pb2.TRADE_STATE_SETTLED

    async def detach() -> None:
        for parent, name in old_partitions:
            detached = f"ALTER TABLE {parent} DETACH PARTITION {name} CONCURRENTLY"
            await platform.owner.execute(detached)
            await platform.owner.execute(f"DROP TABLE {name}")

    assert old_partitions
    await asyncio.gather(trade(), trade(), detach())

    await assert_books_balance(platform.owner, tenant_id)
    assert not await platform.owner.fetch("SELECT FROM pg_class WHERE relname LIKE '%\\_2020\\_01'")
