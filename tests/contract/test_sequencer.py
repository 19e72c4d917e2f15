"""What every sequencer and every lease keep to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.outbox import PostgresOutboxReader, PostgresSequencer
from domain.ids import EventId, TenantId
from ports.bus import Bus, BusEmpty, BusUnavailable, StampedEvent
from ports.lease import Lease
from tests.support.bus import ListeningBus
from tests.support.platform import Platform

A_WHILE = timedelta(seconds=30)
NO_TIME = timedelta(0)


class ParcelBus(ListeningBus):
    """Takes all at once or none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.parcels: list[int] = []

    async def publish(self, event: StampedEvent) -> None:
        raise AssertionError("it was taken with the others")

    async def publish_together(self, events: Sequence[StampedEvent]) -> bool:
        self.parcels.append(len(events))
        self.events += events
        return True


class WipedBus(ListeningBus):
    """Has lost everything, and takes nothing before it begins anew."""

    def __init__(self, *, begins: bool = True) -> None:
        super().__init__()
        self._is_open = False
        self._begins = begins

    async def open(self) -> None:
        if not self._is_open:
            raise BusEmpty("wiped")

    async def begin_anew(self) -> None:
        if not self._begins:
            raise BusUnavailable("died first")
        self._is_open = True


@pytest.fixture
async def engine(platform: Platform) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(platform.settings.work_database_url, pool_size=8)
    yield engine
    await engine.dispose()


@pytest.fixture
def leases(engine: AsyncEngine) -> PostgresLeases:
    return PostgresLeases(engine)


@pytest.fixture
def sequencer(engine: AsyncEngine) -> PostgresSequencer:
    return PostgresSequencer(engine)


@pytest.fixture
def reader(engine: AsyncEngine) -> PostgresOutboxReader:
    return PostgresOutboxReader(engine)


@pytest.fixture
async def relaying(leases: PostgresLeases) -> AsyncIterator[Lease]:
    """The lease of who publishes."""
    lease = await taken(leases, "relay", lease_for=A_WHILE)
    yield lease
    await given_back(leases, lease)


@pytest.fixture
async def stamped_tenant(
    platform: Platform, leases: PostgresLeases, sequencer: PostgresSequencer
) -> str:
    """A tenant some events of whom wait to be published, beside those of others."""
    tenant_id, client = await platform.a_tenant()
    await platform.a_funded_customer(client)
    await all_stamped(leases, sequencer)
    return tenant_id


def assert_in_order(published: Sequence[StampedEvent], tenant_id: str) -> None:
    """All of the tenant's, from its first on."""
    ours = [event for event in published if str(event.tenant_id) == tenant_id]
    assert [event.sequence for event in ours] == list(range(1, len(ours) + 1))
    assert ours


async def taken(leases: PostgresLeases, name: str, *, lease_for: timedelta = NO_TIME) -> Lease:
    """Return a lease; by default one that anybody may take at once."""
    lease = await leases.acquire(name, lease_for=lease_for)
    assert lease is not None
    return lease


async def given_back(leases: PostgresLeases, lease: Lease) -> None:
    await leases.renew(lease, lease_for=NO_TIME)


async def sequences(platform: Platform, tenant_id: str) -> list[tuple[int | None, str]]:
    """Return the tenant's events in the order in which they were recorded."""
    rows = await platform.owner.fetch(
        "SELECT sequence, type FROM core.outbox WHERE tenant_id = $1 ORDER BY recorded_at, id",
        TenantId.parse(tenant_id).uuid,
    )
    return [(row["sequence"], row["type"]) for row in rows]


async def test_a_lease_that_a_clock_ahead_gave_is_free_when_it_is_right(
    platform: Platform, leases: PostgresLeases
) -> None:
    lease = await taken(leases, "relay", lease_for=A_WHILE)
    assert await leases.acquire("relay", lease_for=A_WHILE) is None

    await platform.owner.execute(
        "UPDATE core.leases SET leased_until = leased_until + interval '1 h' WHERE name = 'relay'"
    )
    later = await leases.acquire("relay", lease_for=A_WHILE)

    assert later is not None and later.token > lease.token
    await given_back(leases, later)


async def test_events_are_stamped_without_gaps_in_the_order_of_their_causes(
    platform: Platform, leases: PostgresLeases, sequencer: PostgresSequencer
) -> None:
    tenant_id, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)
    await client.accept((await client.quote(customer_id)).id)
    lease = await taken(leases, "sequencer", lease_for=A_WHILE)

    # In small bites, so that a tenant's events are stamped over many batches.
    while await sequencer.stamp(lease, limit=3):
        pass
    await given_back(leases, lease)

    stamped = await sequences(platform, tenant_id)
    assert [sequence for sequence, _ in stamped] == list(range(1, len(stamped) + 1))
    types = [type for _, type in stamped]
    assert types.index("quote.created") < types.index("trade.accepted")
    assert types.index("trade.accepted") < types.index("trade.settled")


async def test_under_a_lost_lease_nothing_is_stamped_or_published(
    platform: Platform,
    engine: AsyncEngine,
    leases: PostgresLeases,
    sequencer: PostgresSequencer,
) -> None:
    tenant_id, _ = await platform.a_tenant()
    lost = {name: await taken(leases, name) for name in ("sequencer", "relay")}
    held = {name: await taken(leases, name, lease_for=A_WHILE) for name in lost}
    bus = ListeningBus()

    assert await sequencer.stamp(lost["sequencer"], limit=1_000) == 0
    assert await PostgresOutboxReader(engine).relay(lost["relay"], bus, limit=1_000) == 0

    assert {sequence for sequence, _ in await sequences(platform, tenant_id)} == {None}
    assert bus.events == []
    for lease in held.values():
        await given_back(leases, lease)


async def test_one_of_many_gets_the_lease_and_the_next_one_a_higher_token(
    leases: PostgresLeases,
) -> None:
    asked = await asyncio.gather(
        *(leases.acquire("sequencer", lease_for=A_WHILE) for _ in range(8))
    )
    (first,) = [lease for lease in asked if lease is not None]
    await given_back(leases, first)

    second = await taken(leases, "sequencer")

    assert second.token == first.token + 1
    assert not await leases.renew(first, lease_for=A_WHILE)


async def test_events_leave_in_order_and_once_they_are_taken(
    platform: Platform, stamped_tenant: str, relaying: Lease, reader: PostgresOutboxReader
) -> None:
    stubborn, willing = ListeningBus(takes=2), ListeningBus()

    with pytest.raises(BusUnavailable):
        await reader.relay(relaying, stubborn, limit=1_000)
    await all_published(reader, relaying, willing)

    left = stubborn.events + willing.events
    assert len(stubborn.events) == 2
    assert len({event.id for event in left}) == len(left)
    assert_in_order(left, stamped_tenant)
    tenant_id = TenantId.parse(stamped_tenant)
    assert {event.id for event in left if event.tenant_id == tenant_id} == {
        EventId(UUID(str(row["id"])))
        for row in await platform.owner.fetch(
            "SELECT id FROM core.outbox WHERE tenant_id = $1", tenant_id.uuid
        )
    }


async def test_events_that_a_bus_took_together_leave_once(
    stamped_tenant: str, relaying: Lease, reader: PostgresOutboxReader
) -> None:
    bus = ParcelBus()

    await all_published(reader, relaying, bus)
    assert await reader.relay(relaying, bus, limit=1_000) == 0

    assert sum(bus.parcels) == len({event.id for event in bus.events})
    assert_in_order(bus.events, stamped_tenant)


async def test_a_bus_that_lost_everything_gets_everything_again_in_order(
    stamped_tenant: str, relaying: Lease, reader: PostgresOutboxReader
) -> None:
    before, dying, anew = ListeningBus(), WipedBus(begins=False), WipedBus()
    await all_published(reader, relaying, before)

    # Whoever dies between making events unpublished and making the stream is only the first to try.
    with pytest.raises(BusUnavailable):
        await reader.relay(relaying, dying, limit=1_000)
    assert await reader.relay(relaying, anew, limit=1_000) == 0
    await all_published(reader, relaying, anew)

    for bus in (before, anew):
        assert_in_order(bus.events, stamped_tenant)
    assert {event.id for event in anew.events} >= {event.id for event in before.events}


async def test_under_a_lost_lease_nothing_is_published_again(
    platform: Platform,
    engine: AsyncEngine,
    leases: PostgresLeases,
    sequencer: PostgresSequencer,
) -> None:
    await platform.a_tenant()
    await all_stamped(leases, sequencer)
    lost = await taken(leases, "relay")
    held = await taken(leases, "relay", lease_for=A_WHILE)
    reader, bus = PostgresOutboxReader(engine), WipedBus()
    await all_published(reader, held, ListeningBus())

    assert await reader.relay(lost, bus, limit=1_000) == 0

    with pytest.raises(BusEmpty):
        await bus.open()
    assert await reader.relay(held, ListeningBus(), limit=1_000) == 0
    await given_back(leases, held)


async def all_stamped(leases: PostgresLeases, sequencer: PostgresSequencer) -> None:
    lease = await taken(leases, "sequencer", lease_for=A_WHILE)
    while await sequencer.stamp(lease, limit=1_000):
        pass
    await given_back(leases, lease)


async def all_published(reader: PostgresOutboxReader, lease: Lease, bus: Bus) -> None:
    while await reader.relay(lease, bus, limit=1_000):
        pass
