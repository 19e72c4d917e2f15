"""Webhook endpoints as a partner manages them; what is sent is in tests/worker."""

import asyncio

import grpc
import pytest

from domain.webhook.endpoint import MAX_ENDPOINTS
from reli.webhook.v1 import webhook_pb2
from reli.webhook.v1 import webhook_service_pb2 as pb
from tests.support.platform import Client, Platform, refusal_of

URL = "https://example.com/webhooks"


@pytest.fixture
async def client(platform: Platform) -> Client:
    _, made = await platform.a_tenant()
    return made


async def test_a_secret_is_shown_once_and_never_to_whoever_asks_again(client: Client) -> None:
    request = pb.CreateWebhookEndpointRequest(url=URL, request_id="once")

    first = await client.webhooks.CreateWebhookEndpoint(request)
    again = await client.webhooks.CreateWebhookEndpoint(request)

    assert first.secret.startswith("whsec_")
    assert (again.endpoint, again.secret) == (first.endpoint, "")
    listed = await client.webhooks.ListWebhookEndpoints(pb.ListWebhookEndpointsRequest())
    assert list(listed.endpoints) == [first.endpoint]


async def test_a_tenant_has_at_most_so_many_endpoints_also_if_it_asks_for_all_at_once(
    client: Client,
) -> None:
    for _ in range(MAX_ENDPOINTS - 2):
        await client.webhooks.CreateWebhookEndpoint(pb.CreateWebhookEndpointRequest(url=URL))

    answers = await asyncio.gather(*(_create_or_hear_why_not(client) for _ in range(5)))

    made = [one for one in answers if one.startswith("webhookendpoint_")]
    assert len(made) == 2
    assert sorted(set(answers) - set(made)) == ["TOO_MANY_WEBHOOK_ENDPOINTS"]
    await client.webhooks.DeleteWebhookEndpoint(
        pb.DeleteWebhookEndpointRequest(endpoint_id=made[0])
    )
    assert (await _create_or_hear_why_not(client)).startswith("webhookendpoint_")


async def _create_or_hear_why_not(client: Client) -> str:
    """Return the id of a new endpoint or the reason of the refusal; wait as long as one must."""
    while True:
        try:
            made = await client.webhooks.CreateWebhookEndpoint(
                pb.CreateWebhookEndpointRequest(url=URL)
            )
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of(error)
            if refusal.retry == "never":
                return refusal.reason
        else:
            return str(made.endpoint.id)


async def test_what_is_not_given_stays(client: Client) -> None:
    made = await client.webhooks.CreateWebhookEndpoint(
        pb.CreateWebhookEndpointRequest(url=URL, description="all", event_types=["trade.*"])
    )
    id = made.endpoint.id

    described = await client.webhooks.UpdateWebhookEndpoint(
        pb.UpdateWebhookEndpointRequest(endpoint_id=id, description="")
    )
    everything = await client.webhooks.UpdateWebhookEndpoint(
        pb.UpdateWebhookEndpointRequest(endpoint_id=id, event_types=pb.EventTypes())
    )

    assert described.endpoint.description == ""
    assert (described.endpoint.url, described.endpoint.event_types) == (URL, ["trade.*"])
    assert (everything.endpoint.url, everything.endpoint.event_types) == (URL, [])


async def test_a_deleted_endpoint_is_gone_and_so_is_its_secret(
    client: Client, platform: Platform
) -> None:
    made = await client.webhooks.CreateWebhookEndpoint(pb.CreateWebhookEndpointRequest(url=URL))
    request = pb.DeleteWebhookEndpointRequest(endpoint_id=made.endpoint.id, request_id="delete")

    deleted = await client.webhooks.DeleteWebhookEndpoint(request)

    assert deleted.endpoint.state == webhook_pb2.WEBHOOK_ENDPOINT_STATE_DELETED
    assert await client.webhooks.DeleteWebhookEndpoint(request) == deleted
    kept = await platform.owner.fetchrow(
        "SELECT secret, previous_secret FROM core.webhook_endpoints WHERE name = $1",
        made.endpoint.id,
    )
    assert tuple(kept) == (None, None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.webhooks.GetWebhookEndpoint(
            pb.GetWebhookEndpointRequest(endpoint_id=made.endpoint.id)
        )
    assert refusal_of(caught.value).reason == "WEBHOOK_ENDPOINT_NOT_FOUND"


async def test_every_change_is_told(client: Client, platform: Platform) -> None:
    made = await client.webhooks.CreateWebhookEndpoint(pb.CreateWebhookEndpointRequest(url=URL))
    id = made.endpoint.id
    await client.webhooks.DisableWebhookEndpoint(pb.DisableWebhookEndpointRequest(endpoint_id=id))
    await client.webhooks.DisableWebhookEndpoint(pb.DisableWebhookEndpointRequest(endpoint_id=id))
    await client.webhooks.EnableWebhookEndpoint(pb.EnableWebhookEndpointRequest(endpoint_id=id))
    await client.webhooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(endpoint_id=id))
    await client.webhooks.DeleteWebhookEndpoint(pb.DeleteWebhookEndpointRequest(endpoint_id=id))

    told = await platform.owner.fetch(
        "SELECT type, payload FROM core.outbox WHERE subject = $1 ORDER BY id", id
    )

    assert [row["type"].partition(".")[2] for row in told] == [
        *("created", "disabled", "enabled", "secret_rotated", "deleted")
    ]
    assert all(b"whsec_" not in row["payload"] for row in told)
