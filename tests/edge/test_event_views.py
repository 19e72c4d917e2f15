"""The same story through every view of the event log, on the whole stack."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import grpc
import nats
import pytest
from google.protobuf.json_format import ParseDict
from nats.js.api import ConsumerConfig, DeliverPolicy

from adapters.wire.event import cloud_event_headers, cloud_event_json
from app.stack.stack import ReadyStack
from reli.event.v1 import event_pb2
from reli.event.v1 import event_service_pb2 as pb
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from tests.support.platform import Client, new_request_id

WITHIN_S: Final = 20.0
STORY: Final = 10
"""How many events a tenant's story has."""

Event = event_pb2.Event


@dataclass(frozen=True)
class Partner:
    """A tenant at the front door, over gRPC, REST and as an internal service on the bus."""

    tenant_id: str
    client: Client
    session: aiohttp.ClientSession
    stack: ReadyStack

    def get(self, path: str, **headers: str) -> Any:
        sent = {"authorization": f"Bearer {self.client.secret}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.session.get(path, headers=sent)

    async def pulled(self, *, after: int = 0) -> list[Event]:
        """Return all events, as pages of three tell them over REST."""
        events: list[Event] = []
        while True:
            async with self.get(f"/v1/events?after={after}&page_size=3") as response:
                assert response.status == 200, await response.text()
                page = ParseDict(await response.json(), pb.ListEventsResponse())
            events += page.events
            after = page.position
            if after == page.last_sequence:
                return events

    async def streamed(self, number: int) -> list[Event]:
        """Return so many events, as a gRPC stream tells them."""
        stream = self.client.events.StreamEvents(pb.StreamEventsRequest(after=0), timeout=WITHIN_S)
        events: list[Event] = []
        while len(events) < number:
            message = await stream.read()
            assert isinstance(message, pb.StreamEventsResponse)
            events += [message.event] if message.HasField("event") else []
        stream.cancel()
        return events

    async def sent(self, number: int, **headers: str) -> list[Event]:
        """Return so many events, as server-sent events tell them."""
        events: list[Event] = []
        async with self.get("/v1/events:stream?after=0", **headers) as response:
            assert response.headers["content-type"] == "text/event-stream"
            async for line in response.content:
                if line.startswith(b"data: ") and len(events) < number:
                    data = json.loads(line.removeprefix(b"data: "))
                    message = ParseDict(data, pb.StreamEventsResponse())
                    events += [message.event] if message.HasField("event") else []
                if len(events) == number:
                    return events
        raise AssertionError(f"the stream ended after {len(events)} of {number} events")

    async def published(self, number: int) -> list[tuple[bytes, dict[str, str]]]:
        """Return payload and headers of so many messages of the tenant's subjects on the bus."""
        client = await nats.connect(self.stack.nats_url)
        try:
            subscription = await client.jetstream().subscribe(
                f"reli.events.{self.tenant_id}.>",
                stream="RELI_EVENTS",
                config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL),
            )
            messages = [await subscription.next_msg(timeout=WITHIN_S) for _ in range(number)]
            return [(message.data, message.headers or {}) for message in messages]
        finally:
            await client.close()


@pytest.fixture(scope="module")
async def partners(running_stack: ReadyStack) -> AsyncIterator[list[Partner]]:
    """Two tenants to whom the same happened, ten events long."""
    async with (
        grpc.aio.insecure_channel(running_stack.grpc_target) as channel,
        aiohttp.ClientSession(running_stack.rest_url) as session,
    ):
        admin = Client(channel, running_stack.operator_key).tenant_admin
        partners = []
        for _ in range(2):
            made = await admin.CreateTenant(
                tenant_pb.CreateTenantRequest(slug=f"t-{new_request_id()}", display_name='Ömer " ☂')
            )
            key = await admin.CreateTenantApiKey(
                tenant_pb.CreateTenantApiKeyRequest(tenant_id=made.tenant.id, name="first")
            )
            client = Client(channel, key.secret)
            customer = await client.create_customer()
            await client.deposit(customer.id, "100000000.00", "NGN")
            for _ in range(2):
                await client.accept((await client.quote(customer.id)).id)
            partners.append(Partner(made.tenant.id, client, session, running_stack))
        yield partners


@pytest.fixture
def partner(partners: list[Partner]) -> Partner:
    return partners[0]


async def test_every_view_tells_the_same_ids_sequences_and_payloads(partner: Partner) -> None:
    async with asyncio.timeout(WITHIN_S):
        streamed, sent, published = await asyncio.gather(
            partner.streamed(STORY), partner.sent(STORY), partner.published(STORY)
        )
        pulled = await partner.pulled()

    on_the_bus = [Event.FromString(payload) for payload, _ in published]
    assert [event.sequence for event in pulled] == list(range(1, STORY + 1))
    assert pulled == streamed == sent == on_the_bus
    for event, (payload, headers) in zip(pulled, published, strict=True):
        assert headers.items() >= cloud_event_headers(payload).items()
        cloud_event = json.loads(cloud_event_json(payload))
        assert (cloud_event["id"], int(cloud_event["sequence"])) == (event.id, event.sequence)
        shown = await partner.client.events.GetEvent(pb.GetEventRequest(event_id=event.id))
        assert shown.event == event


async def test_server_sent_events_are_resumed_by_the_header_of_browsers(partner: Partner) -> None:
    async with asyncio.timeout(WITHIN_S):
        everything = await partner.pulled()
        resumed = await partner.sent(len(everything) - 4, last_event_id="4")

    assert resumed == everything[4:]


async def test_a_server_sent_event_has_its_position_as_its_id(partner: Partner) -> None:
    async with (
        asyncio.timeout(WITHIN_S),
        partner.get(f"/v1/events:stream?after=0&until={STORY}") as response,
    ):
        told = (await response.text()).removesuffix("\n\n").split("\n\n")

    ids = [re.findall(r"^id: (\d+)$", one, re.MULTILINE) for one in told]
    positions = [json.loads(one.partition("data: ")[2])["position"] for one in told]
    assert set(positions) >= {str(number) for number in range(1, STORY + 1)}
    assert ids == [[position] if position != "0" else [] for position in positions]


async def test_a_refusal_before_the_first_message_has_a_status(partner: Partner) -> None:
    async with partner.get("/v1/events:stream?after=1000000") as response:
        body = await response.json()

    assert response.status == 400
    assert body["details"][0]["reason"] == "EVENT_SEQUENCE_AHEAD"


async def test_another_tenants_key_opens_no_view_of_it(partners: list[Partner]) -> None:
    mine, theirs = partners
    async with asyncio.timeout(WITHIN_S):
        my_ids = {event.id for event in await mine.streamed(STORY)}
        seen = [*await theirs.pulled(), *await theirs.streamed(STORY), *await theirs.sent(STORY)]

    assert {event.tenant_id for event in seen} == {theirs.tenant_id}
    assert not {event.id for event in seen} & my_ids
    for id in my_ids:
        async with theirs.get(f"/v1/events/{id}") as response:
            assert response.status == 404
