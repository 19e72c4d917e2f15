"""Deliveries: signed, in order, at least once, and whatever an endpoint does, not to its harm."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from adapters.postgres.webhook import _PLAN
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.webhook.v1 import webhook_pb2
from reli.webhook.v1 import webhook_service_pb2 as pb
from tests.support.platform import Client, Platform
from tests.support.webhooks import (
    MOVABLE_NOW,
    Receiver,
    Workers,
    a_receiver,
    a_worker_process,
    an_endpoint,
    attempts_at,
    deliveries_of,
    until,
    workers,
)

HOUR = timedelta(hours=1)
PENDING = webhook_pb2.WEBHOOK_DELIVERY_STATE_PENDING
DELIVERED = webhook_pb2.WEBHOOK_DELIVERY_STATE_DELIVERED
DEAD = webhook_pb2.WEBHOOK_DELIVERY_STATE_DEAD


@pytest.fixture(scope="module")
async def own_platform(own_platform: Platform) -> Platform:
    """A platform whose time can be moved, which nobody else's must be."""
    await own_platform.owner.execute(MOVABLE_NOW)
    return own_platform


@pytest.fixture
async def work(own_platform: Platform) -> AsyncIterator[Workers]:
    await own_platform.owner.execute(
        "UPDATE public.moved SET by = '0'; UPDATE core.leases SET leased_until = '-infinity'"
    )
    async with workers(own_platform) as running:
        await running.deliver()
        yield running
        # Nothing is left for the tests that follow.
        await own_platform.owner.execute(
            "UPDATE core.webhook_queues SET due_at = NULL;"
            "UPDATE core.webhook_endpoints SET state = 'deleted', disabled_reason = NULL,"
            " secret = NULL, previous_secret = NULL, previous_secret_expires_at = NULL"
        )


@pytest.fixture
async def client(own_platform: Platform) -> Client:
    _, made = await own_platform.a_tenant()
    return made


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with a_receiver() as running:
        yield running


async def test_a_partner_verifies_a_delivery_with_the_library_of_the_specification(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    _, secret = await an_endpoint(client, f"{receiver.url}/hooks", "customer.*")
    customer = await client.create_customer()

    await work.deliver()

    (call,) = receiver.calls
    event = call.verify(secret)
    assert event["type"] == "customer.created"
    assert event["subject"] == event["data"]["id"] == customer.id
    assert event["id"] == call.id
    assert call.headers["Content-Type"] == "application/cloudevents+json"
    (delivery,) = await deliveries_of(client, _.id)
    assert (delivery.state, delivery.attempts) == (DELIVERED, 1)
    (attempt,) = await attempts_at(client, delivery.id)
    assert (attempt.status_code, attempt.response_body) == (200, "thank you")
    shown = await client.webhooks.GetWebhookDelivery(
        pb.GetWebhookDeliveryRequest(delivery_id=delivery.id)
    )
    assert shown.request_body.encode() == call.body


async def test_an_endpoint_that_was_down_for_an_hour_gets_each_event_once_and_in_order(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    endpoint, _ = await an_endpoint(client, f"{receiver.url}/down")
    receiver.answer("/down", 503)
    customers = [(await client.create_customer()).id for _ in range(8)]
    for suspended in customers:
        await _suspend_and_activate(client, suspended)
    for _ in range(60):
        await work.deliver()
        await work.move(timedelta(minutes=1))
    tried = len(receiver.of("/down"))
    assert "/down" not in receiver.effects

    del receiver.answers["/down"]
    for _ in range(75):  # the longest pause, and a fifth more
        await work.move(timedelta(minutes=1))
        await work.deliver()

    effects = receiver.effects["/down"]
    of_customers = [event for event in effects if event["subject"] in customers]
    assert len(of_customers) == 3 * len(customers)
    assert len({event["id"] for event in effects}) == len(effects)
    for customer_id in customers:
        mine = [event for event in effects if event["subject"] == customer_id]
        assert [event["type"] for event in mine] == [
            *("customer.created", "customer.suspended", "customer.active")
        ]
        assert mine == sorted(mine, key=lambda event: event["sequence"])
    found = await deliveries_of(client, endpoint.id)
    assert {delivery.state for delivery in found} == {DELIVERED}
    # It was asked ever less often, and by one delivery at a time.
    assert tried < 40
    assert max(receiver.most_at_once.values()) == 1


async def test_an_event_waits_for_the_earlier_ones_of_its_subject_and_no_other_does(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    endpoint, _ = await an_endpoint(client, f"{receiver.url}/picky", "customer.*")
    ill = (await client.create_customer()).id
    well = (await client.create_customer()).id
    await _suspend_and_activate(client, ill)
    await _suspend_and_activate(client, well)

    async def refuses_the_ill(request: web.Request) -> web.StreamResponse:
        if (await request.json())["subject"] == ill:
            return web.Response(status=500)
        receiver.effects.setdefault("/picky", []).append(await request.json())
        return web.Response()

    receiver.answers["/picky"] = refuses_the_ill
    await work.deliver()

    assert [event["type"] for event in receiver.effects["/picky"]] == [
        *("customer.created", "customer.suspended", "customer.active")
    ]
    states = [d.state for d in await deliveries_of(client, endpoint.id) if d.subject == ill]
    assert states == [PENDING, PENDING, PENDING]
    assert len([call for call in receiver.calls if call.event["subject"] == ill]) == 1

    del receiver.answers["/picky"]
    await work.move(HOUR)
    await work.deliver()

    mine = [event for event in receiver.effects["/picky"] if event["subject"] == ill]
    assert [event["type"] for event in mine] == [
        *("customer.created", "customer.suspended", "customer.active")
    ]


async def test_after_72_hours_a_delivery_is_a_dead_letter_that_can_be_replayed(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    endpoint, _ = await an_endpoint(client, f"{receiver.url}/dead", "customer.*")
    receiver.answer("/dead", 500, text="no")
    first, second, third = [(await client.create_customer()).id for _ in range(3)]
    for _ in range(74):
        await work.deliver()
        await work.move(HOUR)
    await work.keep()

    dead = await deliveries_of(client, endpoint.id, DEAD)
    assert [delivery.subject for delivery in dead] == [first, second, third]
    attempts = await attempts_at(client, dead[0].id)
    assert 40 <= len(attempts) == dead[0].attempts <= 90
    assert {(a.status_code, a.failure, a.response_body) for a in attempts} == {
        (500, webhook_pb2.WEBHOOK_FAILURE_STATUS, "no")
    }
    assert [a.number for a in attempts] == list(range(len(attempts), 0, -1))

    del receiver.answers["/dead"]
    one = await client.webhooks.ReplayWebhookDelivery(
        pb.ReplayWebhookDeliveryRequest(delivery_id=dead[1].id)
    )
    assert one.delivery.state == PENDING
    await work.deliver()
    assert [event["subject"] for event in receiver.effects["/dead"]] == [second]
    rest = await client.webhooks.ReplayWebhookDeliveries(
        pb.ReplayWebhookDeliveriesRequest(endpoint_id=endpoint.id)
    )
    assert (rest.replayed, rest.next_sequence) == (2, 0)
    await work.deliver()
    assert {event["subject"] for event in receiver.effects["/dead"]} == {first, second, third}
    assert {d.state for d in await deliveries_of(client, endpoint.id)} == {DELIVERED}


async def test_what_happened_before_an_endpoint_was_there_is_replayed_by_range(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    early = (await client.create_customer()).id
    await work.stamp()
    endpoint, _ = await an_endpoint(client, f"{receiver.url}/late", "customer.created")
    late = (await client.create_customer()).id
    await work.deliver()
    assert [event["subject"] for event in receiver.effects["/late"]] == [late]

    replayed = await client.webhooks.ReplayWebhookEvents(
        pb.ReplayWebhookEventsRequest(
            endpoint_id=endpoint.id, first_sequence=1, last_sequence=1_000_000
        )
    )
    await work.deliver()

    assert (replayed.replayed, replayed.next_sequence) == (2, 0)
    assert [event["subject"] for event in receiver.effects["/late"]] == [late, early]
    assert len(receiver.of("/late")) == 3, "what it had already came once more, under its id"


async def test_events_follow_one_that_was_replayed_before_its_turn_came(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    endpoint, _ = await an_endpoint(client, f"{receiver.url}/ahead", "customer.*")
    customer_id = (await client.create_customer()).id
    await work.stamp()
    replayed = await client.webhooks.ReplayWebhookEvents(
        pb.ReplayWebhookEventsRequest(
            endpoint_id=endpoint.id, first_sequence=1, last_sequence=1_000_000
        )
    )
    await work.send()
    assert replayed.replayed == 1
    assert [d.state for d in await deliveries_of(client, endpoint.id)] == [DELIVERED]

    # One look of the planner finds what was replayed and what follows it.
    await _suspend_and_activate(client, customer_id)
    await work.deliver()

    assert [event["type"] for event in receiver.effects["/ahead"]] == [
        *("customer.created", "customer.suspended", "customer.active")
    ]
    assert len(receiver.of("/ahead")) == 3


async def test_the_planner_looks_up_what_was_replayed_by_its_key(own_platform: Platform) -> None:
    """Otherwise it would read all that the endpoint was ever sent; while that is little, unseen."""
    connection: Any = await asyncpg.connect(own_platform.settings.work_database_url)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute("SET enable_seqscan = off")
        await connection.execute(f"PREPARE look AS {_PLAN}")
        explained = await connection.fetch("EXPLAIN EXECUTE look('{}', '{}', '{}', '{}', '72 h')")
    finally:
        await connection.close()

    plan = [row[0].strip() for row in explained]
    looks = [
        condition for line, condition in pairwise(plan) if "using webhook_deliveries_event" in line
    ]
    assert len(looks) == 1, plan
    assert all(f"({key} " in looks[0] for key in ("tenant_id", "endpoint_id", "event_id")), plan


async def test_a_rotated_secret_signs_beside_the_one_before_until_the_overlap_is_over(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    endpoint, before = await an_endpoint(client, f"{receiver.url}/rotated", "customer.*")
    rotated = await client.webhooks.RotateWebhookSecret(
        pb.RotateWebhookSecretRequest(endpoint_id=endpoint.id)
    )
    assert rotated.secret not in ("", before)
    await client.create_customer()
    await work.deliver()
    (both,) = receiver.of("/rotated")
    assert both.verify(before) == both.verify(rotated.secret)
    assert len(both.headers["webhook-signature"].split()) == 2

    await work.move(timedelta(hours=25))
    await client.create_customer()
    await work.deliver()

    assert len(receiver.of("/rotated")[-1].headers["webhook-signature"].split()) == 1


async def test_a_secret_is_in_the_database_in_no_readable_form(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    endpoint, secret = await an_endpoint(client, f"{receiver.url}/kept")
    sealed: bytes = await work.platform.owner.fetchval(
        "SELECT secret FROM core.webhook_endpoints WHERE name = $1", endpoint.id
    )

    assert secret.encode() not in sealed
    assert base64.b64decode(secret.removeprefix("whsec_")) not in sealed
    shown = await client.webhooks.GetWebhookEndpoint(
        pb.GetWebhookEndpointRequest(endpoint_id=endpoint.id)
    )
    assert "whsec_" not in str(shown)


async def test_a_redirect_is_a_failure_that_nobody_follows(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    endpoint, _ = await an_endpoint(client, f"{receiver.url}/moved", "customer.*")
    receiver.answer("/moved", 302, headers={"Location": f"{receiver.url}/elsewhere"})
    await client.create_customer()

    await work.deliver()

    assert receiver.of("/elsewhere") == []
    (delivery,) = await deliveries_of(client, endpoint.id)
    (attempt,) = await attempts_at(client, delivery.id)
    assert (attempt.status_code, delivery.state) == (302, PENDING)


async def test_an_endpoint_that_is_gone_is_disabled_and_can_be_enabled(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    endpoint, _ = await an_endpoint(client, f"{receiver.url}/gone", "customer.*")
    receiver.answer("/gone", 410)
    await client.create_customer()
    await work.deliver()

    found = await _endpoint(client, endpoint.id)
    assert found.state == webhook_pb2.WEBHOOK_ENDPOINT_STATE_DISABLED
    assert found.disabled_reason == webhook_pb2.DISABLED_REASON_GONE
    await work.move(HOUR)
    await client.create_customer()
    await work.deliver()
    assert len(receiver.of("/gone")) == 1

    del receiver.answers["/gone"]
    await client.webhooks.EnableWebhookEndpoint(
        pb.EnableWebhookEndpointRequest(endpoint_id=endpoint.id)
    )
    await work.deliver()
    assert len(receiver.effects["/gone"]) == 1, "what waited; of what came later none was made"


async def test_an_endpoint_that_asks_to_be_left_alone_is_left_alone_within_bounds(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    await an_endpoint(client, f"{receiver.url}/busy", "customer.*")
    receiver.answer("/busy", 429, headers={"Retry-After": "1800"})
    await client.create_customer()
    await work.deliver()
    await work.move(timedelta(minutes=29))
    await client.create_customer()
    await work.deliver()
    assert len(receiver.of("/busy")) == 1

    receiver.answer("/busy", 503, headers={"Retry-After": "99999999"})
    await work.move(timedelta(minutes=2))
    await work.deliver()
    asked = len(receiver.of("/busy"))
    assert asked > 1
    del receiver.answers["/busy"]
    await work.move(timedelta(minutes=61))
    await work.deliver()

    assert len(receiver.effects["/busy"]) == 2


async def test_a_test_event_goes_to_its_endpoint_alone_whatever_that_takes(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    tested, secret = await an_endpoint(client, f"{receiver.url}/tested", "trade.settled")
    await an_endpoint(client, f"{receiver.url}/other", "webhook_endpoint.*")
    await work.deliver()
    receiver.calls.clear()

    await client.webhooks.SendTestEvent(pb.SendTestEventRequest(endpoint_id=tested.id))
    await work.deliver()

    (call,) = receiver.calls
    assert call.path == "/tested"
    assert call.verify(secret)["type"] == "webhook_endpoint.tested"
    assert call.event["subject"] == tested.id


async def test_two_workers_share_the_endpoints_and_never_send_one_subject_at_once(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    async with workers(work.platform, processes=2) as two:
        for place in range(6):
            await an_endpoint(client, f"{receiver.url}/shared/{place}", "customer.*")
        for _ in range(5):
            await _suspend_and_activate(client, (await client.create_customer()).id)

        await two.deliver()

    assert len(receiver.effects) == 6
    for effects in receiver.effects.values():
        assert len(effects) == 15
    assert len(receiver.calls) == 6 * 15
    assert max(receiver.most_at_once.values()) == 1


async def _suspend_and_activate(client: Client, customer_id: str) -> None:
    await client.customers.SuspendCustomer(
        tenant_pb.SuspendCustomerRequest(customer_id=customer_id)
    )
    await client.customers.ActivateCustomer(
        tenant_pb.ActivateCustomerRequest(customer_id=customer_id)
    )


async def _endpoint(client: Client, id: str) -> webhook_pb2.WebhookEndpoint:
    found = await client.webhooks.GetWebhookEndpoint(pb.GetWebhookEndpointRequest(endpoint_id=id))
    endpoint: webhook_pb2.WebhookEndpoint = found.endpoint
    return endpoint


async def test_a_worker_that_is_killed_in_mid_delivery_loses_nothing(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    """The real process, killed by the kernel while the receiver has the request."""
    endpoint, _ = await an_endpoint(client, f"{receiver.url}/killed", "customer.*")
    customers = [(await client.create_customer()).id for _ in range(3)]
    has_it, never = asyncio.Event(), asyncio.Event()

    async def holds_on(request: web.Request) -> web.StreamResponse:
        receiver.effects.setdefault("/killed", []).append(await request.json())
        has_it.set()
        await never.wait()
        return web.Response()

    receiver.answers["/killed"] = holds_on
    await work.plan()
    async with a_worker_process(work.platform) as process:
        async with asyncio.timeout(20):
            await has_it.wait()
        process.kill()
        await process.wait()
    never.set()
    del receiver.answers["/killed"]
    assert {d.state for d in await deliveries_of(client, endpoint.id)} == {PENDING}

    await work.move(timedelta(minutes=1))  # its lease is over
    await work.deliver()

    assert {d.state for d in await deliveries_of(client, endpoint.id)} == {DELIVERED}
    assert sorted(event["subject"] for event in receiver.effects["/killed"]) == sorted(customers)
    assert len(receiver.of("/killed")) > len(customers), "what it had was sent again, under its id"


async def test_endpoints_that_mean_harm_keep_nobody_waiting(
    work: Workers, client: Client, receiver: Receiver, own_platform: Platform
) -> None:
    """Sixteen that hang, drip and never end; the seventeenth, of another tenant, hears at once."""
    never = asyncio.Event()

    async def hangs(request: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    async def has_no_end(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65_536)
        return response

    for place in range(16):
        path = f"/harm/{place}"
        await an_endpoint(client, f"{receiver.url}{path}", "customer.*")
        receiver.answers[path] = hangs if place % 2 else has_no_end
    for _ in range(20):
        await client.create_customer()
    await work.plan()
    (deliverer,) = work.deliverers
    await deliverer()
    await until(lambda: len(receiver.calls) >= 16)
    _, other = await own_platform.a_tenant()
    await an_endpoint(other, f"{receiver.url}/well", "customer.*")
    await other.create_customer()

    began = asyncio.get_running_loop().time()
    await work.plan()
    await deliverer()
    await until(lambda: receiver.effects.get("/well"))

    assert asyncio.get_running_loop().time() - began < 3
    assert sum(receiver.at_once.values()) <= 16 * 4, "each of them got a little, and no more"
    never.set()
    await deliverer.stop()


async def test_nobody_gets_what_happened_to_another_tenant(
    work: Workers, client: Client, receiver: Receiver, own_platform: Platform
) -> None:
    _, other = await own_platform.a_tenant()
    await an_endpoint(client, f"{receiver.url}/mine")
    await an_endpoint(other, f"{receiver.url}/theirs")
    mine = (await client.create_customer()).id
    theirs = (await other.create_customer()).id

    await work.deliver()

    assert mine in {event["subject"] for event in receiver.effects["/mine"]}
    assert theirs in {event["subject"] for event in receiver.effects["/theirs"]}
    sources = [{event["source"] for event in effects} for effects in receiver.effects.values()]
    assert [len(source) for source in sources] == [1, 1]
    assert sources[0] != sources[1]


async def test_what_has_ended_is_forgotten_after_30_days_and_what_has_not_is_kept(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    endpoint, _ = await an_endpoint(client, f"{receiver.url}/old", "customer.*")
    await client.create_customer()
    await work.deliver()
    await work.move(timedelta(days=29))
    await client.create_customer()
    await work.deliver()
    await work.keep()
    assert len(await deliveries_of(client, endpoint.id)) == 2

    await work.move(timedelta(days=2))
    await work.keep()

    (kept,) = await deliveries_of(client, endpoint.id)
    assert len(await attempts_at(client, kept.id)) == 1
    assert (
        await work.platform.owner.fetchval(
            "SELECT count(*) FROM core.webhook_attempts AS a LEFT JOIN core.webhook_deliveries AS d"
            " ON d.tenant_id = a.tenant_id AND d.id = a.delivery_id WHERE d.id IS NULL"
        )
        == 0
    )


async def test_an_endpoint_that_moves_gets_what_waits_at_its_new_place_at_once(
    work: Workers, client: Client, receiver: Receiver
) -> None:
    endpoint, _ = await an_endpoint(client, f"{receiver.url}/before", "customer.*")
    receiver.answer("/before", 500)
    for _ in range(8):
        await client.create_customer()
    for _ in range(30):
        await work.deliver()
        await work.move(timedelta(minutes=1))
    assert len(receiver.of("/before")) >= 8

    await client.webhooks.UpdateWebhookEndpoint(
        pb.UpdateWebhookEndpointRequest(endpoint_id=endpoint.id, url=f"{receiver.url}/after")
    )
    await work.deliver()

    assert len(receiver.effects["/after"]) == 8


async def test_an_endpoint_is_served_after_the_clock_was_ahead_for_a_moment(
    work: Workers, client: Client, receiver: Receiver, own_platform: Platform
) -> None:
    await an_endpoint(client, f"{receiver.url}/ahead", "customer.*")
    await own_platform.owner.execute("UPDATE public.moved SET by = '1 h'")
    await client.create_customer()
    await work.deliver()
    await own_platform.owner.execute("UPDATE public.moved SET by = '0'")

    await client.create_customer()
    await work.deliver()

    assert len(receiver.of("/ahead")) == 2
