"""The house's book mirrors every settled trade once, whatever happens on the way."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from adapters.postgres.consumer import PostgresEventFeed
from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.outbox import PostgresSequencer
from app.container import Container
from app.usecase.house.mirror_trades import CONSUMER
from app.worker.event_follower import MAX_FAILURES, EventFollower
from domain.ids import TenantId
from ports.consumer import LoggedEvent
from tests.support.platform import Client, Platform


@dataclass
class House:
    """The house's book and what feeds it."""

    platform: Platform
    book: EventFollower
    feed: PostgresEventFeed
    leases: PostgresLeases
    sequencer: PostgresSequencer

    async def stamp(self) -> None:
        lease = await self.leases.acquire("sequencer", lease_for=timedelta(seconds=30))
        assert lease is not None
        while await self.sequencer.stamp(lease, limit=1_000):
            pass
        await self.leases.renew(lease, lease_for=timedelta(0))

    async def catch_up(self) -> None:
        await self.stamp()
        while await self.book():
            pass

    async def position_of(self, tenant_id: str) -> int:
        """Return the sequence of the latest event that was dealt with."""
        position: int | None = await self.platform.owner.fetchval(
            "SELECT sequence FROM core.consumer_positions "
            "WHERE consumer = $1 AND source_tenant_id = $2",
            *(CONSUMER, TenantId.parse(tenant_id).uuid),
        )
        return position or 0

    async def mirrored(self, tenant_id: str) -> dict[tuple[str, str], int]:
        """Return what the house's book says of that tenant, by asset: minus what came from it."""
        rows = await self.platform.owner.fetch(
            "SELECT t.asset, a.kind, sum(CASE WHEN t.credit_account_id = a.id THEN t.units "
            "ELSE -t.units END) AS change FROM core.transfers t "
            "JOIN core.accounts a ON a.tenant_id = t.tenant_id "
            "AND a.id IN (t.debit_account_id, t.credit_account_id) AND a.kind <> 'external' "
            "JOIN core.accounts x ON x.tenant_id = t.tenant_id "
            "AND x.id IN (t.debit_account_id, t.credit_account_id) "
            "AND x.kind = 'external' AND x.owner = $2 "
            "WHERE t.tenant_id = $1 GROUP BY 1, 2",
            self.platform.environment.house_id.uuid,
            tenant_id,
        )
        return {(row["kind"], row["asset"]): int(row["change"]) for row in rows}

    async def kept_by_tenant(self, tenant_id: str) -> dict[tuple[str, str], int]:
        rows = await self.platform.owner.fetch(
            "SELECT kind, asset, sum(credits_posted - debits_posted) AS balance "
            "FROM core.accounts WHERE tenant_id = $1 "
            "AND kind IN ('lp', 'platform_fee', 'slippage') GROUP BY 1, 2",
            TenantId.parse(tenant_id).uuid,
        )
        return {(row["kind"], row["asset"]): int(row["balance"]) for row in rows if row["balance"]}


@pytest.fixture
async def house(platform: Platform) -> AsyncIterator[House]:
    engine = make_engine(platform.settings.work_database_url, pool_size=8)
    feed = PostgresEventFeed(engine)
    container: Container = platform.work_container
    yield House(
        platform=platform,
        book=EventFollower(CONSUMER, feed, container.mirror_trades(), container.bury_event()),
        feed=feed,
        leases=PostgresLeases(engine),
        sequencer=PostgresSequencer(engine),
    )
    await engine.dispose()


async def trade(client: Client, customer_id: str, base_amount: str) -> None:
    await client.accept((await client.quote(customer_id, base_amount)).id)


async def test_the_house_is_the_sum_of_what_its_tenants_keep_for_it(house: House) -> None:
    tenant_id, client = await house.platform.a_tenant()
    customer_id = await house.platform.a_funded_customer(client)
    for base_amount in ("0.01", "0.00007721", "0.00007771", "0.00007722"):
        await trade(client, customer_id, base_amount)

    await house.catch_up()

    kept = await house.kept_by_tenant(tenant_id)
    assert ("slippage", "NGN") in kept
    assert await house.mirrored(tenant_id) == kept


async def test_tenants_whose_events_have_no_effect_are_passed_over_together(house: House) -> None:
    tenants = [(await house.platform.a_tenant())[0] for _ in range(3)]
    await house.stamp()
    events = await house.feed.next_events(CONSUMER, limit=10_000)
    stretches = [
        [event for event in events if str(event.tenant_id) == tenant] for tenant in tenants
    ]
    assert all(stretches)

    await house.feed.pass_over(CONSUMER, [stretches[0], stretches[1][:1]])
    await house.feed.pass_over(CONSUMER, [stretches[0][:1], stretches[1], stretches[2][1:]])
    assert [await house.position_of(tenant) for tenant in tenants] == [len(stretches[0]), 1, 0]

    await house.catch_up()
    assert [await house.position_of(tenant) for tenant in tenants] == list(map(len, stretches))


async def test_events_seen_again_or_by_several_workers_have_one_effect(house: House) -> None:
    tenant_id, client = await house.platform.a_tenant()
    customer_id = await house.platform.a_funded_customer(client)
    await trade(client, customer_id, "0.01")
    await house.stamp()
    events = [
        event
        for event in await house.feed.next_events(CONSUMER, limit=10_000)
        if str(event.tenant_id) == tenant_id
    ]

    async def one_worker() -> None:
        for event in events:
            await house.book.deal_with([event])
        await house.book.deal_with(events)

    await asyncio.gather(*(one_worker() for _ in range(4)))
    await one_worker()
    await house.catch_up()

    assert await house.mirrored(tenant_id) == await house.kept_by_tenant(tenant_id)


async def test_an_event_that_keeps_failing_is_buried_and_the_next_ones_follow(
    house: House,
) -> None:
    tenant_id, client = await house.platform.a_tenant()
    customer_id = await house.platform.a_funded_customer(client)
    await trade(client, customer_id, "0.01")
    await house.stamp()
    # An event about a trade that does not exist, as a bug of ours might write one.
    await house.platform.owner.execute(
        "UPDATE core.outbox SET subject = 'nonsense' WHERE tenant_id = $1 "
        "AND type = 'trade.accepted'",
        TenantId.parse(tenant_id).uuid,
    )
    await house.platform.owner.execute(
        "UPDATE core.outbox SET type = 'trade.settled' WHERE tenant_id = $1 "
        "AND subject = 'nonsense'",
        TenantId.parse(tenant_id).uuid,
    )

    for _ in range(MAX_FAILURES):
        await house.book()
    await house.catch_up()

    buried = await house.platform.owner.fetch(
        "SELECT reason FROM core.dead_letters WHERE source_tenant_id = $1",
        TenantId.parse(tenant_id).uuid,
    )
    assert len(buried) == 1
    assert "InvalidId" in buried[0]["reason"]
    assert await house.mirrored(tenant_id) == await house.kept_by_tenant(tenant_id)


async def test_an_event_is_dealt_with_in_its_turn_only(house: House) -> None:
    tenant_id, client = await house.platform.a_tenant()
    customer_id = await house.platform.a_funded_customer(client)
    await trade(client, customer_id, "0.01")
    await house.stamp()
    events: list[LoggedEvent] = [
        event
        for event in await house.feed.next_events(CONSUMER, limit=10_000)
        if str(event.tenant_id) == tenant_id
    ]

    await house.book.deal_with(events[-1:])

    assert events[-1].type == "trade.settled"
    assert await house.mirrored(tenant_id) == {}
    await house.catch_up()
    assert await house.mirrored(tenant_id) == await house.kept_by_tenant(tenant_id)
