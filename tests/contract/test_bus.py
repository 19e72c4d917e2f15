"""What every bus keeps to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client

from adapters.nats.bus import STREAM, NatsBus, subject_of
from adapters.nats.connection import NatsConnection
from domain.ids import EventId, TenantId
from ports.bus import BusEmpty, BusUnavailable, StampedEvent
from reli.event.v1 import event_pb2
from tests.support.stack import running_nats


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[NatsBus]:
    connection = NatsConnection(nats_url, name="test")
    bus = NatsBus(connection)
    await bus.begin_anew()
    yield bus
    await connection.close()


@pytest.fixture
async def listener(nats_url: str) -> AsyncIterator[Client]:
    client = await nats.connect(nats_url)
    yield client
    await client.close()


def an_event(type: str = "trade.settled") -> StampedEvent:
    id, tenant_id = EventId(uuid4()), TenantId(uuid4())
    message = event_pb2.Event(id=str(id), tenant_id=str(tenant_id), type=type, sequence=1)
    payload = message.SerializeToString()
    return StampedEvent(id=id, tenant_id=tenant_id, sequence=1, type=type, payload=payload)


async def test_a_published_event_is_stored_under_its_tenant_and_type(
    bus: NatsBus, listener: Client
) -> None:
    event = an_event()

    await bus.publish(event)

    subject = subject_of(event.tenant_id, "trade.settled")
    stored = await listener.jetstream().get_last_msg(STREAM, subject)
    assert stored.data == event.payload


async def test_a_published_event_is_a_cloud_event_in_binary_mode(
    bus: NatsBus, listener: Client
) -> None:
    event = an_event()

    await bus.publish(event)

    subject = subject_of(event.tenant_id, "trade.settled")
    headers = (await listener.jetstream().get_last_msg(STREAM, subject)).headers or {}
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-id"] == headers["Nats-Msg-Id"] == str(event.id)
    assert headers["ce-type"] == event.type
    assert int(headers["ce-sequence"]) == event.sequence


async def test_publishing_again_stores_nothing_more(bus: NatsBus, listener: Client) -> None:
    event = an_event()
    await bus.publish(event)
    before = (await listener.jetstream().stream_info(STREAM)).state.messages

    await bus.publish(event)

    assert (await listener.jetstream().stream_info(STREAM)).state.messages == before


async def stored_in(listener: Client) -> int:
    return (await listener.jetstream().stream_info(STREAM)).state.messages


async def test_many_published_together_are_stored_in_their_order(
    bus: NatsBus, listener: Client
) -> None:
    before = await stored_in(listener)
    events = [an_event() for _ in range(40)]

    assert await bus.publish_together(events)

    stored = [await listener.jetstream().get_msg(STREAM, before + n) for n in range(1, 41)]
    assert [message.data for message in stored] == [event.payload for event in events]
    assert [(message.headers or {})["ce-id"] for message in stored] == [
        str(event.id) for event in events
    ]


async def test_of_many_together_none_is_stored_when_one_was_before(
    bus: NatsBus, listener: Client
) -> None:
    events = [an_event() for _ in range(40)]
    await bus.publish(events[20])
    before = await stored_in(listener)

    assert not await bus.publish_together(events)

    assert await stored_in(listener) == before
    for event in events:
        await bus.publish(event)
    assert await stored_in(listener) == before + 39


async def test_many_stored_together_are_stored_once(bus: NatsBus, listener: Client) -> None:
    events = [an_event() for _ in range(40)]
    assert await bus.publish_together(events)
    before = await stored_in(listener)

    assert not await bus.publish_together(events)
    await bus.publish(events[0])

    assert await stored_in(listener) == before


async def test_one_that_is_too_large_keeps_many_from_being_stored_together(
    bus: NatsBus, listener: Client
) -> None:
    large = replace(an_event(), payload=event_pb2.Event(subject="x" * 2**20).SerializeToString())
    before = await stored_in(listener)

    assert not await bus.publish_together([*(an_event() for _ in range(40)), large])

    assert await stored_in(listener) == before


async def test_after_many_that_the_server_did_not_answer_come_single_ones(
    bus: NatsBus, listener: Client
) -> None:
    """One fits into a message, but not with what says that it is one of many."""
    await bus.publish(small := an_event())
    stored = await listener.jetstream().get_last_msg(
        STREAM, subject_of(small.tenant_id, small.type)
    )
    headers = sum(len(f"{name}: {value}\r\n") for name, value in (stored.headers or {}).items())
    message = event_pb2.Event.FromString(small.payload)
    message.committed_entries.entry_ids.append("x" * (2**20 - headers - len(small.payload) - 60))
    large = replace(an_event(), payload=message.SerializeToString())
    before = await stored_in(listener)

    with pytest.raises(BusUnavailable):
        await bus.publish_together([*(an_event() for _ in range(40)), large])

    assert not await bus.publish_together([an_event() for _ in range(40)])
    await bus.publish(large)
    assert await bus.publish_together([an_event() for _ in range(40)])
    assert await stored_in(listener) == before + 41


async def test_few_are_not_published_together(bus: NatsBus, listener: Client) -> None:
    before = await stored_in(listener)

    assert not await bus.publish_together([an_event(), an_event()])
    assert not await bus.publish_together([])

    assert await stored_in(listener) == before


async def test_many_together_miss_a_stream_that_was_deleted(bus: NatsBus, listener: Client) -> None:
    events = [an_event() for _ in range(40)]
    await bus.open()
    await listener.jetstream().delete_stream(STREAM)

    with pytest.raises(BusUnavailable):
        await bus.publish_together(events)
    assert not await bus.publish_together(events)
    with pytest.raises(BusEmpty):
        await bus.publish_together(events)

    await bus.begin_anew()
    assert await bus.publish_together(events)
    assert await stored_in(listener) == 40


async def test_a_stream_from_before_there_were_batches_takes_them(
    bus: NatsBus, listener: Client
) -> None:
    config = (await listener.jetstream().stream_info(STREAM)).config
    await listener.jetstream().update_stream(replace(config, allow_atomic=False))

    assert await bus.publish_together([an_event() for _ in range(40)])


async def test_a_stream_that_was_deleted_is_missed_until_somebody_begins_anew(
    bus: NatsBus, listener: Client
) -> None:
    await bus.publish(an_event())
    await listener.jetstream().delete_stream(STREAM)
    with pytest.raises(BusUnavailable):
        await bus.publish(an_event())

    for ask in (bus.open(), bus.publish(an_event()), bus.open()):
        with pytest.raises(BusEmpty):
            await ask

    await bus.begin_anew()
    await bus.open()
    await bus.publish(an_event())
    assert (await listener.jetstream().stream_info(STREAM)).state.messages == 1


async def test_to_begin_anew_takes_nothing_from_a_bus_that_has_it(
    bus: NatsBus, listener: Client
) -> None:
    await bus.publish(an_event())
    before = (await listener.jetstream().stream_info(STREAM)).state.messages

    await bus.begin_anew()

    assert (await listener.jetstream().stream_info(STREAM)).state.messages == before


async def test_a_full_stream_refuses_instead_of_dropping_the_oldest(
    bus: NatsBus, listener: Client
) -> None:
    await bus.publish(an_event())

    config = (await listener.jetstream().stream_info(STREAM)).config

    assert config.discard == "new"
    assert config.max_bytes and config.max_age


async def test_a_server_that_is_gone_is_said_to_be_unavailable_and_found_again() -> None:
    with running_nats() as server:
        connection = NatsConnection(server.url, name="test")
        gone = NatsBus(connection)
        await gone.begin_anew()
        await gone.publish(an_event())
    async with asyncio.timeout(10):  # the first one waits for an answer, the others find nobody
        for ask in (gone.publish(an_event()), gone.open(), gone.publish(an_event())):
            with pytest.raises(BusUnavailable):
                await ask
    await connection.close()
