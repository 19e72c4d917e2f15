"""What a partner types reaches the method or is refused by name, through the real Envoy."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import grpc
import pytest
from yarl import URL

from app.stack.stack import ReadyStack
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.tenant.v1 import tenant_service_pb2_grpc as tenant_grpc

BODY_BYTES_MAX: Final = 64 * 1024
JSON: Final = {"content-type": "application/json"}
PRICE: Final = "side=SIDE_BUY&base_asset=BTC&quote_asset=NGN&base_amount.asset=BTC"


@pytest.fixture(scope="module")
async def rest(running_stack: ReadyStack) -> AsyncIterator[aiohttp.ClientSession]:
    """Whoever holds a tenant's key."""
    operator = {"authorization": f"Bearer {running_stack.operator_key}"}
    async with aiohttp.ClientSession(running_stack.rest_url, headers=operator) as session:
        tenant = {"slug": "types-carelessly", "display_name": "Types Carelessly"}
        async with session.post("/v1/tenants", json=tenant) as response:
            tenant_id = (await response.json())["tenant"]["id"]
        async with session.post(f"/v1/tenants/{tenant_id}/apiKeys", json={"name": "a"}) as response:
            secret = (await response.json())["secret"]
    key = {"authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession(running_stack.rest_url, headers=key) as session:
        yield session


async def refused(
    rest: aiohttp.ClientSession, method: str, path: str, body: str | None = None, **headers: str
) -> tuple[str, str]:
    """Return the reason of a 400 and the field that it names."""
    async with rest.request(
        method, URL(path, encoded=True), data=body, headers=(JSON if body else {}) | headers
    ) as response:
        answer: Any = await response.json()
        assert response.status == 400, answer
    [info] = answer["details"]
    assert info["metadata"]["retry"] == "never"
    return info["reason"], info["metadata"].get("field", "")


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        ("/v1/customers", '{"external_idd": "a"}', ("UNKNOWN_FIELD", "external_idd")),
        ("/v1/quotes", '{"base_amount": {"valeu": "1"}}', ("UNKNOWN_FIELD", "base_amount.valeu")),
        (
            "/v1/customers",
            '{"external_id": "a", "external_id": "b"}',
            ("DUPLICATE_FIELD", "external_id"),
        ),
        (
            "/v1/customers",
            '{"external_id": "a", "externalId": "b"}',
            ("DUPLICATE_FIELD", "external_id"),
        ),
        ("/v1/quotes", '{"side": 7}', ("INVALID_ARGUMENT", "side")),
        ("/v1/customers", "{externalId: 'a',}", ("MALFORMED_REQUEST", "")),
        ("/v1/quotes/quote_a:accept?quote_id=quote_b", "{}", ("DUPLICATE_FIELD", "quote_id")),
    ],
)
async def test_a_body_that_is_not_wholly_understood_is_refused(
    rest: aiohttp.ClientSession, path: str, body: str, refusal: tuple[str, str]
) -> None:
    assert await refused(rest, "POST", path, body) == refusal


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/quotes/quote_a?quote_id=quote_b", "quote_id"),
        ("/v1/customers?page_size=1&page_size=2", "page_size"),
        ("/v1/customers?page_size=1&pageSize=2", "page_size"),
        (f"/v1/indicativeQuotes:stream?{PRICE}&side=SIDE_SELL", "side"),
    ],
)
async def test_a_query_that_says_a_thing_twice_is_refused(
    rest: aiohttp.ClientSession, path: str, field: str
) -> None:
    assert await refused(rest, "GET", path) == ("DUPLICATE_FIELD", field)


async def test_a_body_where_none_is_read_is_refused(rest: aiohttp.ClientSession) -> None:
    assert await refused(rest, "GET", "/v1/customers", '{"page_size": 1}') == (
        "MALFORMED_REQUEST",
        "",
    )


async def test_a_body_as_large_as_it_may_be_is_read_to_its_end(
    rest: aiohttp.ClientSession,
) -> None:
    frame = len(json.dumps({"external_id": "", "typo": ""}))
    body = json.dumps({"external_id": "x" * (BODY_BYTES_MAX - frame), "typo": ""})
    assert len(body) == BODY_BYTES_MAX

    assert await refused(rest, "POST", "/v1/customers", body) == ("UNKNOWN_FIELD", "typo")


async def test_both_names_of_a_field_are_understood(rest: aiohttp.ClientSession) -> None:
    for number, name in enumerate(("external_id", "externalId")):
        async with rest.post("/v1/customers", json={name: f"number-{number}"}) as response:
            assert response.status == 200, await response.text()
            assert (await response.json())["customer"]["external_id"] == f"number-{number}"


async def test_a_caller_without_a_key_learns_nothing_of_fields(
    running_stack: ReadyStack,
) -> None:
    async with (
        aiohttp.ClientSession(running_stack.rest_url) as stranger,
        stranger.post("/v1/customers", json={"typo": 1}) as response,
    ):
        assert response.status == 401
        assert (await response.json())["details"][0]["reason"] == "API_KEY_MISSING"


async def test_nobody_outside_can_say_what_was_sent(
    rest: aiohttp.ClientSession, running_stack: ReadyStack
) -> None:
    forged = {"x-reli-body-bin": "e30=", "x-reli-authority": "elsewhere"}
    field = ("UNKNOWN_FIELD", "typo")
    assert await refused(rest, "POST", "/v1/customers", '{"typo": 1}', **forged) == field

    # A native call that claims to be a REST request is taken for what it is.
    claims = (
        ("authorization", rest.headers["authorization"]),
        ("x-envoy-original-path", "/v1/customers"),
        ("x-envoy-original-method", "POST"),
        ("x-reli-authority", "elsewhere"),
        ("x-reli-body-bin", b'{"typo": 1}'),
    )
    for target in (running_stack.grpc_target, running_stack.rest_url.removeprefix("http://")):
        async with grpc.aio.insecure_channel(target) as channel:
            stub: Any = tenant_grpc.CustomerServiceStub(channel)
            await stub.ListCustomers(tenant_pb.ListCustomersRequest(), metadata=claims)
