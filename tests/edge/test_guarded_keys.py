"""Keys that are good for some addresses, or inside only, through the real Envoy."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import grpc
import pytest

from app.stack.stack import ReadyStack
from reli.auth.v1 import access_pb2
from reli.tenant.v1 import tenant_service_pb2 as pb
from tests.support.platform import Client, new_request_id, refusal_of


@pytest.fixture(scope="module")
async def secrets(running_stack: ReadyStack) -> AsyncIterator[Mapping[str, str]]:
    """Keys of one tenant, by the range that each is good for."""
    async with grpc.aio.insecure_channel(running_stack.grpc_target) as channel:
        admin = Client(channel, running_stack.operator_key).tenant_admin
        made = await admin.CreateTenant(
            pb.CreateTenantRequest(slug=f"t-{new_request_id()}", display_name="Savanna Pay")
        )
        yield {
            text: (
                await admin.CreateTenantApiKey(
                    pb.CreateTenantApiKeyRequest(
                        tenant_id=made.tenant.id, name="backend", allowed_ip_ranges=[text]
                    )
                )
            ).secret
            for text in ("127.0.0.0/8", "203.0.113.0/24")
        }


async def test_a_key_is_good_from_where_envoy_sees_its_holder(
    running_stack: ReadyStack, secrets: Mapping[str, str]
) -> None:
    assert (await _get(running_stack, secrets["127.0.0.0/8"]))[0] == 200

    status, body = await _get(running_stack, secrets["203.0.113.0/24"])

    assert status == 403
    info = body["details"][0]
    assert (info["reason"], info["metadata"]["address"]) == (
        "API_KEY_ADDRESS_REFUSED",
        "127.0.0.1",
    )


@pytest.mark.parametrize(
    "header",
    [
        *("x-reli-client-address", "X-Reli-Client-Address", "x-forwarded-for", "forwarded"),
        *("x-real-ip", "x-envoy-external-address", "true-client-ip"),
    ],
)
async def test_nobody_outside_can_say_from_where_he_comes(
    running_stack: ReadyStack, secrets: Mapping[str, str], header: str
) -> None:
    told = {header: "for=203.0.113.9" if header == "forwarded" else "203.0.113.9"}

    status, body = await _get(running_stack, secrets["203.0.113.0/24"], told)

    assert status == 403
    assert body["details"][0]["metadata"]["address"] == "127.0.0.1"
    for target in (running_stack.grpc_target, running_stack.rest_url.removeprefix("http://")):
        async with grpc.aio.insecure_channel(target) as channel:
            client = Client(channel, secrets["203.0.113.0/24"])
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.tenants.GetCurrentTenant(
                    pb.GetCurrentTenantRequest(),
                    metadata=tuple((name.lower(), text) for name, text in told.items()),
                )
        assert refusal_of(caught.value).metadata["address"] == "127.0.0.1"


async def test_a_server_itself_goes_by_the_other_end_of_the_connection(
    running_stack: ReadyStack, secrets: Mapping[str, str]
) -> None:
    for target in running_stack.serve_targets:
        async with grpc.aio.insecure_channel(target) as channel:
            here, elsewhere = (Client(channel, secret) for secret in secrets.values())
            await here.tenants.GetCurrentTenant(pb.GetCurrentTenantRequest())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await elsewhere.tenants.GetCurrentTenant(pb.GetCurrentTenantRequest())
        assert refusal_of(caught.value).reason == "API_KEY_ADDRESS_REFUSED"


async def test_a_service_token_is_good_inside_only(running_stack: ReadyStack) -> None:
    method = "reli.tenant.v1.TenantAdminService/ListTenants"
    async with grpc.aio.insecure_channel(running_stack.grpc_target) as channel:
        admin = Client(channel, running_stack.operator_key).tenant_admin
        house = await Client(channel, running_stack.operator_key).tenants.GetCurrentTenant(
            pb.GetCurrentTenantRequest()
        )
        made = await admin.CreateTenantApiKey(
            pb.CreateTenantApiKeyRequest(
                tenant_id=house.tenant.id,
                name="a service",
                scopes=[access_pb2.SCOPE_OPERATOR],
                methods=[method],
            )
        )
    for target in (running_stack.grpc_target, *running_stack.serve_targets):
        async with grpc.aio.insecure_channel(target) as channel:
            inside = Client(channel, made.secret).tenant_admin
            await inside.ListTenants(pb.ListTenantsRequest(page_size=1))

    for headers in ({}, {"x-reli-listener": "internal"}):
        asked = {"authorization": f"Bearer {made.secret}", **headers}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{running_stack.rest_url}/v1/tenants", headers=asked) as response,
        ):
            body = await response.json()
        assert (response.status, body["details"][0]["reason"]) == (403, "API_KEY_INTERNAL_ONLY")
        public = running_stack.rest_url.removeprefix("http://")
        async with grpc.aio.insecure_channel(public) as channel:
            outside = Client(channel, made.secret).tenant_admin
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await outside.ListTenants(
                    pb.ListTenantsRequest(page_size=1), metadata=tuple(headers.items())
                )
        assert refusal_of(caught.value).reason == "API_KEY_INTERNAL_ONLY"


async def _get(
    stack: ReadyStack, secret: str, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    asked = {"authorization": f"Bearer {secret}", **(headers or {})}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{stack.rest_url}/v1/tenants/current", headers=asked) as response,
    ):
        return response.status, await response.json()
