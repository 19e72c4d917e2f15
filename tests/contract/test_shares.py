"""Readers of many tenants' events: nobody's backlog keeps another tenant waiting."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.consumer import _NEXT, PostgresEventFeed
from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.outbox import _UNPUBLISHED, PostgresOutboxReader
from app.worker.event_follower import BATCH, EventFollower
from app.worker.outbox_relay import OutboxRelay
from domain.ids import EventId, TenantId
from ports.bus import StampedEvent
from ports.consumer import LoggedEvent
from tests.support.bus import ListeningBus
from tests.support.event_log import stamp_events
from tests.support.platform import Platform

CONSUMER: Final = "a consumer"
TYPE: Final = "customer.created"

_MORE_EVENTS: Final = """
INSERT INTO core.outbox (tenant_id, id, type, subject, payload, recorded_at)
SELECT tenant_id, e.id, type, subject, payload, core.now()
FROM (SELECT * FROM core.outbox WHERE tenant_id = $1 ORDER BY recorded_at, id LIMIT 1) AS first
CROSS JOIN unnest($2::uuid[]) AS e (id)
"""


class Choosy:
    """Deals with the events of all tenants but one."""

    def __init__(self, cannot: TenantId, types: frozenset[str]) -> None:
        self.types = types
        self.seen: Counter[TenantId] = Counter()
        self._cannot = cannot

    async def __call__(self, events: Sequence[LoggedEvent]) -> None:
        if events[0].tenant_id == self._cannot:
            raise ValueError("a bug")
        self.seen[events[0].tenant_id] += len(events)


@pytest.fixture
async def engine(own_platform: Platform) -> AsyncIterator[AsyncEngine]:
    """Whose readers have seen all that was there before the test."""
    engine = make_engine(own_platform.settings.work_database_url, pool_size=2)
    await stamp_events(own_platform)
    await own_platform.owner.execute(
        "UPDATE core.event_heads SET published = last;"
        "DELETE FROM core.consumer_positions;"
        "INSERT INTO core.consumer_positions (consumer, source_tenant_id, sequence)"
        f" SELECT '{CONSUMER}', tenant_id, last FROM core.event_heads"
    )
    yield engine
    await engine.dispose()


@pytest.fixture
def feed(engine: AsyncEngine) -> PostgresEventFeed:
    return PostgresEventFeed(engine)


async def tenants_behind(platform: Platform, *waiting: int) -> list[TenantId]:
    """Make tenants of whom so many events wait, the oldest tenant first."""
    made = []
    for count in waiting:
        tenant_id = TenantId.parse((await platform.a_tenant())[0])
        there = await platform.owner.fetchval(
            "SELECT count(*) FROM core.outbox WHERE tenant_id = $1", tenant_id.uuid
        )
        assert there <= count
        ids = [platform.ids.new(EventId).uuid for _ in range(count - there)]
        await platform.owner.execute(_MORE_EVENTS, tenant_id.uuid, ids)
        made.append(tenant_id)
    await stamp_events(platform)
    return made


async def relayed(engine: AsyncEngine) -> tuple[bool, list[StampedEvent]]:
    """Let the relay look once; return whether it wants to look again, and what it published."""
    leases, bus = PostgresLeases(engine), ListeningBus()
    lease = await leases.acquire("relay", lease_for=timedelta(seconds=30))
    assert lease is not None
    wants_more = await OutboxRelay(PostgresOutboxReader(engine), bus)(lease)
    await leases.renew(lease, lease_for=timedelta(0))
    return wants_more, bus.events


async def test_a_look_has_the_events_of_a_tenant_beside_a_longer_backlog_of_an_older_one(
    own_platform: Platform, feed: PostgresEventFeed
) -> None:
    older, newer = await tenants_behind(own_platform, 700, 5)

    events = await feed.next_events(CONSUMER, limit=BATCH)

    assert [(event.tenant_id, event.sequence) for event in events] == [
        *((older, sequence) for sequence in range(1, BATCH - 4)),
        *((newer, sequence) for sequence in range(1, 6)),
    ]


async def test_the_relay_publishes_for_a_tenant_beside_a_longer_backlog_of_an_older_one(
    own_platform: Platform, engine: AsyncEngine
) -> None:
    older, newer = await tenants_behind(own_platform, 150, 5)

    wants_more, events = await relayed(engine)
    assert wants_more
    assert [(event.tenant_id, event.sequence) for event in events] == [
        *((older, sequence) for sequence in range(1, 96)),
        *((newer, sequence) for sequence in range(1, 6)),
    ]

    wants_more, events = await relayed(engine)
    assert not wants_more
    assert [event.sequence for event in events] == list(range(96, 151))


async def test_a_poisoned_event_before_a_backlog_stops_nobody_else(
    own_platform: Platform, feed: PostgresEventFeed
) -> None:
    poisoned, other = await tenants_behind(own_platform, 700, 5)
    rows = await own_platform.owner.fetch("SELECT DISTINCT type FROM core.outbox")
    deal_with = Choosy(poisoned, frozenset(row["type"] for row in rows))
    follower = EventFollower(CONSUMER, feed, deal_with, own_platform.work_container.bury_event())

    assert not await follower()

    assert deal_with.seen == {other: 5}


async def test_one_tenant_alone_fills_a_look(
    own_platform: Platform, feed: PostgresEventFeed, engine: AsyncEngine
) -> None:
    await tenants_behind(own_platform, 700)

    assert len(await feed.next_events(CONSUMER, limit=BATCH)) == BATCH
    assert len((await relayed(engine))[1]) == 100


async def test_a_full_look_is_shared_evenly_among_those_who_want_more(
    own_platform: Platform, feed: PostgresEventFeed
) -> None:
    tenants = await tenants_behind(own_platform, 300, 4, 300, 10, 40)

    events = await feed.next_events(CONSUMER, limit=100)

    taken = Counter(event.tenant_id for event in events)
    assert [taken[tenant] for tenant in tenants] == [29, 4, 29, 10, 28]


async def test_more_tenants_than_a_look_has_room_for_take_turns(
    own_platform: Platform, feed: PostgresEventFeed
) -> None:
    tenants = await tenants_behind(own_platform, 6, 7, 8, 9, 10)
    looks = 0
    taken: Counter[TenantId] = Counter()
    while events := await feed.next_events(CONSUMER, limit=2):
        looks += 1
        taken.update(event.tenant_id for event in events)
        await feed.pass_over(CONSUMER, [[event] for event in events])
        if looks == 15:
            assert set(taken) == set(tenants)

    assert [taken[tenant] for tenant in tenants] == [6, 7, 8, 9, 10]
    assert looks == 20


@pytest.mark.parametrize(
    ("statement", "types", "arguments"),
    [(_NEXT, "bigint, text", "500, 'a consumer'"), (_UNPUBLISHED, "bigint", "100")],
    ids=["next", "unpublished"],
)
async def test_a_look_asks_an_index_for_the_events_of_each_tenant(
    own_platform: Platform, statement: str, types: str, arguments: str
) -> None:
    """Otherwise it would read the whole log; while that is short, unseen."""
    connection: Any = await asyncpg.connect(own_platform.settings.work_database_url)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE look ({types}) AS {statement}")
        plan = [row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE look({arguments})")]
    finally:
        await connection.close()

    partitions = [line for line in plan if " on outbox_" in line]
    conditions = [line for line in plan if "Index Cond" in line and "sequence >" in line]
    assert len(conditions) == len(partitions) >= 3, plan
    assert all("tenant_id = behind.tenant_id" in line for line in conditions), plan
