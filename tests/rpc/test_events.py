"""The log of a tenant's events, pulled and streamed from the real servicer."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from app.usecase.event.read_events import ReadEvents
from app.worker.event_follower import MAX_FAILURES
from domain.ids import EventId, TenantId
from ports.consumer import LoggedEvent
from ports.event_log import LOOK_BYTES_MAX, EventPage
from reli.event.v1 import event_pb2
from reli.event.v1 import event_service_pb2 as pb
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from tests.support.event_log import sequencing
from tests.support.platform import Client, Platform, refusal_in, refusal_of
from tests.support.stage import until

WITHIN_S: Final = 10.0
SOON_S: Final = 2.0
"""Far less than a heartbeat: what comes within it was woken."""


@pytest.fixture(scope="module", autouse=True)
async def worker(platform: Platform) -> AsyncIterator[None]:
    async with sequencing(platform):
        yield


async def a_story(platform: Platform) -> tuple[str, Client]:
    """Return a tenant to whom some things have happened, and its client."""
    tenant_id, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)
    await client.accept((await client.quote(customer_id)).id)
    await client.quote(customer_id)
    return tenant_id, client


async def pulled(client: Client, *, page_size: int = 200, **asked: Any) -> list[event_pb2.Event]:
    """Return every event that was committed by now, as pages tell it."""
    events: list[event_pb2.Event] = []
    async with asyncio.timeout(WITHIN_S):
        while True:
            page = await client.events.ListEvents(
                pb.ListEventsRequest(page_size=page_size, **asked)
            )
            events += page.events
            asked["after"] = page.position
            if page.position == page.last_sequence:
                return events


async def all_stamped(platform: Platform, tenant_id: str) -> int:
    """Wait until every event that was committed has its sequence; return how many there are."""

    async def look() -> Any:
        return await platform.owner.fetchrow(
            "SELECT count(*) FILTER (WHERE sequence IS NULL) = 0 AS is_done, count(*) AS events"
            " FROM core.outbox WHERE tenant_id = $1",
            TenantId.parse(tenant_id).uuid,
        )

    async def is_done() -> bool:
        return bool((await look())["is_done"])

    await until(is_done, "events have their sequences")
    return int((await look())["events"])


async def added(platform: Platform, tenant_id: str, number: int, *, size: int) -> None:
    """Add events that are larger than any that the platform has to tell."""
    await platform.owner.execute(
        "INSERT INTO core.outbox (tenant_id, id, type, subject, payload, recorded_at)"
        " SELECT $1, uuidv7(), 'quote.created', '', $2, core.now() FROM generate_series(1, $3)",
        TenantId.parse(tenant_id).uuid,
        event_pb2.Event(subject="x" * size).SerializeToString(),
        number,
    )


async def taken_away(platform: Platform, tenant_id: str, *, until: int) -> None:
    """Take away the events up to a sequence, as if they had been kept for long enough."""
    uuid = TenantId.parse(tenant_id).uuid
    async with platform.owner.acquire() as owner, owner.transaction():
        await owner.execute(
            "UPDATE core.event_heads SET published = last, expired = $2 WHERE tenant_id = $1",
            uuid,
            until,
        )
        await owner.execute(
            "DELETE FROM core.outbox WHERE tenant_id = $1 AND sequence <= $2", uuid, until
        )


def opened(client: Client, *, metadata: Sequence[tuple[str, str]] = (), **asked: Any) -> Any:
    request = pb.StreamEventsRequest(**asked)
    return client.events.StreamEvents(request, metadata=metadata, timeout=60)


async def next_of(stream: Any) -> pb.StreamEventsResponse:
    async with asyncio.timeout(WITHIN_S):
        message = await stream.read()
    assert isinstance(message, pb.StreamEventsResponse), "the stream goes on"
    return message


async def told(stream: Any, number: int) -> list[event_pb2.Event]:
    """Return so many of the next events of a stream."""
    events: list[event_pb2.Event] = []
    while len(events) < number:
        message = await next_of(stream)
        if message.WhichOneof("news") == "event":
            assert message.position == message.event.sequence
            events.append(message.event)
    return events


async def rest_of(stream: Any) -> list[pb.StreamEventsResponse]:
    """Return what is left of a stream that ends well."""
    messages: list[pb.StreamEventsResponse] = []
    async with asyncio.timeout(WITHIN_S):
        while isinstance(message := await stream.read(), pb.StreamEventsResponse):
            messages.append(message)
        assert await stream.code() is grpc.StatusCode.OK
    return messages


async def refused(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


async def test_all_that_happened_is_told_in_order_without_gaps(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    number = await all_stamped(platform, tenant_id)

    events = await pulled(client)

    assert [event.sequence for event in events] == list(range(1, number + 1))
    assert len({event.id for event in events}) == number
    assert {event.tenant_id for event in events} == {tenant_id}
    types = [event.type for event in events]
    assert types[0] == "tenant.created"
    assert types.index("quote.created") < types.index("trade.accepted")
    assert types.index("trade.accepted") < types.index("trade.settled")


async def test_pages_of_any_size_tell_the_same(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    await all_stamped(platform, tenant_id)

    assert await pulled(client, page_size=1) == await pulled(client)


async def test_one_event_is_shown_as_the_list_shows_it(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    await all_stamped(platform, tenant_id)

    for event in await pulled(client):
        shown = await client.events.GetEvent(pb.GetEventRequest(event_id=event.id))
        assert shown.event == event


async def test_a_filtered_page_says_how_far_it_has_looked(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    number = await all_stamped(platform, tenant_id)

    page = await client.events.ListEvents(pb.ListEventsRequest(types=["trade.settled"]))
    none = await client.events.ListEvents(pb.ListEventsRequest(types=["quote.canceled"]))

    assert [event.type for event in page.events] == ["trade.settled"]
    assert (page.position, page.last_sequence) == (number, number)
    assert (list(none.events), none.position) == ([], number)
    of_trades = await pulled(client, types=["trade.*", "tenant.created"])
    assert [event.type for event in of_trades] == [
        *("tenant.created", "trade.accepted", "trade.settled")
    ]


async def test_a_range_is_replayed_as_it_was(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    number = await all_stamped(platform, tenant_id)
    everything = await pulled(client)

    page = await client.events.ListEvents(pb.ListEventsRequest(after=2, until=number - 2))
    stream = opened(client, after=2, until=number - 2)
    streamed = await told(stream, number - 4)
    *_, end = await rest_of(stream)

    assert list(page.events) == streamed == everything[2 : number - 2]
    assert page.position == number - 2
    assert (end.WhichOneof("news"), end.end.code, end.position) == ("end", 0, number - 2)


async def test_large_events_come_in_smaller_pages(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    await added(platform, tenant_id, 5, size=LOOK_BYTES_MAX // 2 - 100)
    number = await all_stamped(platform, tenant_id)

    page = await client.events.ListEvents(pb.ListEventsRequest(types=["quote.created"]))

    assert len(page.events) == 2
    assert page.position == page.events[-1].sequence < page.last_sequence == number
    assert len(await pulled(client)) == number


async def test_a_stream_says_where_it_begins_and_then_what_happens(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    number = await all_stamped(platform, tenant_id)
    stream = opened(client)
    first = await next_of(stream)

    customer = await client.create_customer()
    asked_at = time.monotonic()
    [event] = await told(stream, 1)

    assert first.WhichOneof("news") == "heartbeat"
    assert (first.position, first.heartbeat.last_sequence) == (number, number)
    assert (event.type, event.subject) == ("customer.created", customer.id)
    assert event.sequence == number + 1
    assert time.monotonic() - asked_at < SOON_S
    stream.cancel()


async def test_a_stream_that_was_cut_goes_on_where_its_reader_stood(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    number = await all_stamped(platform, tenant_id)
    heard: list[event_pb2.Event] = []

    while len(heard) < number:
        stream = opened(client, after=heard[-1].sequence if heard else 0)
        heard += await told(stream, min(3, number - len(heard)))
        stream.cancel()

    assert heard == await pulled(client)


async def test_the_header_of_server_sent_events_goes_before_the_query(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    await all_stamped(platform, tenant_id)

    stream = opened(client, after=0, metadata=(("last-event-id", "3"),))
    [event] = await told(stream, 1)
    stream.cancel()

    assert event.sequence == 4
    for text in ("three", "-1", "1.0", "1 2", "9" * 30):
        refusal = await refused(opened(client, metadata=(("last-event-id", text),)).read())
        assert refusal.reason == "INVALID_ARGUMENT"
        assert refusal.metadata["field"] == "last-event-id"


async def test_a_request_may_wait_for_the_next_event(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    number = await all_stamped(platform, tenant_id)
    request = pb.ListEventsRequest(after=number, types=["customer.created"])
    request.wait.CopyFrom(Duration(seconds=4))

    waiting = asyncio.ensure_future(client.events.ListEvents(request))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    customer = await client.create_customer()
    asked_at = time.monotonic()
    page = await waiting

    assert [event.subject for event in page.events] == [customer.id]
    assert time.monotonic() - asked_at < SOON_S


async def test_a_request_waits_in_vain_for_so_long_and_no_longer(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    number = await all_stamped(platform, tenant_id)
    request = pb.ListEventsRequest(after=number)
    request.wait.CopyFrom(Duration(nanos=300_000_000))
    asked_at = time.monotonic()

    page = await client.events.ListEvents(request)

    assert (list(page.events), page.position) == ([], number)
    assert 0.3 <= time.monotonic() - asked_at < SOON_S


async def test_what_is_not_kept_any_more_is_said_to_be_so(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    number = await all_stamped(platform, tenant_id)
    await taken_away(platform, tenant_id, until=4)

    kept = await pulled(client)
    early = await refused(client.events.ListEvents(pb.ListEventsRequest(after=3)))
    streamed_early = await refused(opened(client, after=0).read())

    assert [event.sequence for event in kept] == list(range(5, number + 1))
    assert await pulled(client, after=4) == kept
    for refusal in (early, streamed_early):
        assert refusal.reason == "EVENTS_EXPIRED"
        assert refusal.metadata["oldest"] == "5"


async def test_a_sequence_that_nothing_has_reached_is_refused(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    number = await all_stamped(platform, tenant_id)

    at_the_end = await client.events.ListEvents(pb.ListEventsRequest(after=number))
    ahead = await refused(client.events.ListEvents(pb.ListEventsRequest(after=number + 1)))

    assert at_the_end.position == number
    assert (ahead.reason, ahead.metadata["last"]) == ("EVENT_SEQUENCE_AHEAD", str(number))
    assert (await refused(opened(client, after=number + 1).read())).reason == ahead.reason


async def test_nobody_sees_what_happens_to_another(platform: Platform) -> None:
    (mine, my_client), (theirs, their_client) = await a_story(platform), await a_story(platform)
    mine_so_far, theirs_so_far = [await all_stamped(platform, id) for id in (mine, theirs)]
    stream = opened(my_client, after=0)
    heard = await told(stream, mine_so_far)
    their_events = await pulled(their_client)

    await their_client.create_customer()
    customer = await my_client.create_customer()
    heard += await told(stream, 1)
    stream.cancel()

    assert {event.tenant_id for event in heard} == {mine}
    assert heard[-1].subject == customer.id
    assert not {event.id for event in heard} & {event.id for event in their_events}
    assert len(their_events) == theirs_so_far
    for event in their_events:
        hidden = await refused(my_client.events.GetEvent(pb.GetEventRequest(event_id=event.id)))
        nobodys = platform.ids.new(EventId)
        missing = await refused(
            my_client.events.GetEvent(pb.GetEventRequest(event_id=str(nobodys)))
        )
        assert (hidden.reason, hidden.message) == (missing.reason, missing.message)
    # A sequence is a place in the caller's own log, however far another's has come.
    ahead = pb.ListEventsRequest(after=len(heard) + 1)
    assert (await refused(my_client.events.ListEvents(ahead))).metadata["last"] == str(len(heard))


async def test_what_is_for_the_operator_is_in_the_operators_log_alone(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    await all_stamped(platform, tenant_id)
    stream = opened(platform.operator)
    await next_of(stream)

    first = LoggedEvent(
        id=EventId.parse((await pulled(client))[0].id, field="id"),
        tenant_id=TenantId.parse(tenant_id),
        sequence=1,
        type="tenant.created",
        subject=tenant_id,
        failures=MAX_FAILURES - 1,
    )
    await platform.work_container.bury_event()("a_consumer", first, "a bug")
    [event] = await told(stream, 1)
    stream.cancel()

    assert event.type == "dead_letter.buried"
    assert event.tenant_id == str(platform.environment.house_id)
    assert not [one for one in await pulled(client) if one.type.startswith("dead_letter.")]


async def test_a_hundred_streams_hear_at_once(platform: Platform) -> None:
    tenant_id, client = await a_story(platform)
    await all_stamped(platform, tenant_id)
    streams = [opened(client) for _ in range(100)]
    await asyncio.gather(*map(next_of, streams))

    customer = await client.create_customer()
    asked_at = time.monotonic()
    heard = await asyncio.gather(*(told(stream, 1) for stream in streams))
    took_s = time.monotonic() - asked_at

    assert {event.subject for [event] in heard} == {customer.id}
    assert took_s < SOON_S
    for stream in streams:
        stream.cancel()


async def test_events_come_though_the_connection_that_hears_of_them_was_cut(
    platform: Platform,
) -> None:
    tenant_id, client = await a_story(platform)
    await all_stamped(platform, tenant_id)
    stream = opened(client)
    await next_of(stream)

    async def cut() -> bool:
        return bool(
            await platform.owner.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE (query LIKE 'LISTEN %' OR query = 'SELECT 1')"
                " AND application_name = 'test serve'"
            )
        )

    await until(cut, "somebody listens")
    customer = await client.create_customer()
    [event] = await told(stream, 1)
    stream.cancel()

    assert event.subject == customer.id


async def test_for_who_does_not_read_next_to_nothing_is_read(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id, client = await platform.a_tenant()
    size = 1 << 20
    await added(platform, tenant_id, 50, size=size)
    number = await all_stamped(platform, tenant_id)
    looks: list[EventPage] = []
    look = ReadEvents.list

    async def counted(*arguments: Any, **more: Any) -> EventPage:
        looks.append(await look(*arguments, **more))
        return looks[-1]

    monkeypatch.setattr(ReadEvents, "list", counted)
    stream = opened(client, after=0)
    await next_of(stream)
    before = -1
    while before != len(looks):
        before = len(looks)
        await asyncio.sleep(0.3)

    assert before * size < 32 << 20, "what waits for him is bounded by windows and sockets"
    assert [event.sequence for event in await told(stream, number)] == list(range(1, number + 1))
    stream.cancel()
    await taken_away(platform, tenant_id, until=number)


async def test_a_revoked_key_hears_no_more(platform: Platform) -> None:
    tenant_id, _ = await a_story(platform)
    other = await platform.a_client(tenant_id)
    stream = opened(other)
    await next_of(stream)

    keys = await other.api_keys.ListApiKeys(tenant_pb.ListApiKeysRequest())
    await other.api_keys.RevokeApiKey(tenant_pb.RevokeApiKeyRequest(api_key_id=keys.api_keys[0].id))
    *_, end = await rest_of(stream)

    assert refusal_in(end.end).reason == "API_KEY_REVOKED"
