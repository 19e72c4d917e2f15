"""What every bus keeps to."""

from collections.abc import AsyncIterator
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client

from adapters.nats.bus import STREAM, NatsBus, subject_of
from adapters.nats.connection import NatsConnection
from domain.ids import TenantId
from ports.bus import BusUnavailable, OutboxRow
from tests.support.stack import running_nats


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[NatsBus]:
    connection = NatsConnection(nats_url, name="test")
    yield NatsBus(connection)
    await connection.close()


@pytest.fixture
async def listener(nats_url: str) -> AsyncIterator[Client]:
    client = await nats.connect(nats_url)
    yield client
    await client.close()


def a_row(type: str = "trade.settled", payload: bytes = b"content") -> OutboxRow:
    id = uuid4()
    return OutboxRow(tenant_id=uuid4(), id=id, type=type, key=str(id), payload=payload)


async def test_a_published_event_is_stored_under_its_tenant_and_type(
    bus: NatsBus, listener: Client
) -> None:
    row = a_row()

    await bus.publish(row)

    subject = subject_of(TenantId(row.tenant_id), "trade.settled")
    stored = await listener.jetstream().get_last_msg(STREAM, subject)
    assert stored.data == row.payload


async def test_publishing_again_stores_nothing_more(bus: NatsBus, listener: Client) -> None:
    row = a_row()
    await bus.publish(row)
    before = (await listener.jetstream().stream_info(STREAM)).state.messages

    await bus.publish(row)

    assert (await listener.jetstream().stream_info(STREAM)).state.messages == before


async def test_a_stream_that_was_deleted_is_made_again(bus: NatsBus, listener: Client) -> None:
    await bus.publish(a_row())
    await listener.jetstream().delete_stream(STREAM)
    with pytest.raises(BusUnavailable):
        await bus.publish(a_row())

    await bus.publish(a_row())

    assert (await listener.jetstream().stream_info(STREAM)).state.messages == 1


async def test_a_full_stream_refuses_instead_of_dropping_the_oldest(
    bus: NatsBus, listener: Client
) -> None:
    await bus.publish(a_row())

    config = (await listener.jetstream().stream_info(STREAM)).config

    assert config.discard == "new"
    assert config.max_bytes and config.max_age


async def test_a_server_that_is_gone_is_said_to_be_unavailable_and_found_again() -> None:
    with running_nats() as server:
        connection = NatsConnection(server.url, name="test")
        gone = NatsBus(connection)
        await gone.publish(a_row())
    with pytest.raises(BusUnavailable):
        await gone.publish(a_row())
    await connection.close()
