"""What Envoy refuses by itself: always our envelope, and the app never hears of it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1.health_pb2 import HealthCheckResponse
from yarl import URL

from adapters.envoy.descriptor import descriptor_set_path
from adapters.envoy.public_api import PublicApi
from app.stack.envoy import EnvoyServer
from tests.support.edge import StandInApp, never_answer, refuse, running_edge, succeed

REST_TIMEOUT_MS = 500
JSON = {"content-type": "application/json"}
LIST = "/v1/customers"
CREATE = "/v1/customers"
PUBLIC_METHOD = "/reli.tenant.v1.CustomerService/ListCustomers"


@pytest.fixture(scope="module")
def app() -> StandInApp:
    return StandInApp()


@pytest.fixture(scope="module")
async def edge(app: StandInApp) -> AsyncIterator[EnvoyServer]:
    async with running_edge(app, rest_timeout_ms=REST_TIMEOUT_MS) as envoy:
        yield envoy


@pytest.fixture(scope="module")
async def rest(edge: EnvoyServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(edge.rest_url) as session:
        yield session


@pytest.fixture(scope="module")
async def public(edge: EnvoyServer) -> AsyncIterator[grpc.aio.Channel]:
    """A partner's native gRPC channel."""
    async with grpc.aio.insecure_channel(edge.rest_url.removeprefix("http://")) as channel:
        yield channel


@pytest.fixture(scope="module")
async def internal(edge: EnvoyServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(edge.grpc_target) as channel:
        yield channel


@pytest.fixture(autouse=True)
def _forget(app: StandInApp) -> None:
    app.answer = succeed
    app.calls.clear()


async def refusal(response: aiohttp.ClientResponse) -> tuple[int, str, str]:
    """Return status, reason and retry class of a response, which must be our envelope."""
    assert response.content_type == "application/json"
    body = await response.json()
    assert body.keys() == {"code", "message", "details"}
    assert body["message"]
    [info] = body["details"]
    assert info.keys() == {"@type", "reason", "domain", "metadata"}
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "reli.dev"
    return response.status, info["reason"], info["metadata"]["retry"]


async def send(channel: grpc.aio.Channel, method: str, **options: Any) -> bytes:
    """Call a method with the empty message and return the bytes of its answer."""
    unary: Any = channel.unary_unary
    answer: bytes = await unary(method)(b"", **options)
    return answer


async def native_refusal(
    channel: grpc.aio.Channel, method: str
) -> tuple[grpc.StatusCode, str, str]:
    """Return code, reason and retry class; code and message must agree with the rich status."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(channel, method)
    trailers: Any = caught.value.trailing_metadata()
    rich = Status.FromString(dict(trailers)["grpc-status-details-bin"])
    code = caught.value.code()
    assert (rich.code, rich.message) == (code.value[0], caught.value.details())
    info = ErrorInfo()
    assert rich.details[0].Unpack(info)
    assert info.domain == "reli.dev"
    return code, info.reason, info.metadata["retry"]


@pytest.mark.parametrize(
    "body", ["{bad", "[]", "7", '{"external_id": {}}', '{"external_id": ["a"]}', '"\\ud800"']
)
async def test_malformed_json_is_refused(
    rest: aiohttp.ClientSession, app: StandInApp, body: str
) -> None:
    async with rest.post(CREATE, data=body, headers=JSON) as response:
        assert await refusal(response) == (400, "MALFORMED_REQUEST", "never")
    assert app.calls == []


@pytest.mark.parametrize("query", ["page_size=x", "page_size=1.5"])
async def test_a_query_that_means_nothing_is_refused(
    rest: aiohttp.ClientSession, app: StandInApp, query: str
) -> None:
    async with rest.get(f"{LIST}?{query}") as response:
        assert await refusal(response) == (400, "MALFORMED_REQUEST", "never")
    assert app.calls == []


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nope", f"{LIST}/a:nope", "/v2/customers"])
async def test_an_unknown_path_is_refused(
    rest: aiohttp.ClientSession, app: StandInApp, path: str
) -> None:
    async with rest.get(path) as response:
        assert await refusal(response) == (404, "ROUTE_NOT_FOUND", "never")
    assert app.calls == []


@pytest.mark.parametrize("method", ["DELETE", "PUT", "OPTIONS", "TRACE"])
async def test_a_wrong_method_is_refused_and_the_right_ones_are_named(
    rest: aiohttp.ClientSession, app: StandInApp, method: str
) -> None:
    async with rest.request(method, LIST) as response:
        assert await refusal(response) == (405, "METHOD_NOT_ALLOWED", "never")
        assert response.headers["allow"] == "GET, POST"
    assert app.calls == []


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "text/json"],
)
async def test_a_body_that_is_not_json_is_refused(
    rest: aiohttp.ClientSession, app: StandInApp, content_type: str
) -> None:
    async with rest.post(CREATE, data="{}", headers={"content-type": content_type}) as response:
        assert await refusal(response) == (415, "UNSUPPORTED_MEDIA_TYPE", "never")
    assert app.calls == []


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
async def test_json_may_name_its_charset(
    rest: aiohttp.ClientSession, app: StandInApp, content_type: str
) -> None:
    async with rest.post(CREATE, data="{}", headers={"content-type": content_type}) as response:
        assert response.status == 200
    assert len(app.calls) == 1


async def test_a_body_beyond_the_limit_is_refused(
    rest: aiohttp.ClientSession, app: StandInApp
) -> None:
    body = json.dumps({"external_id": "x" * 65_536})

    async with rest.post(CREATE, data=body, headers=JSON) as response:
        assert await refusal(response) == (413, "BODY_TOO_LARGE", "never")
    assert app.calls == []


async def test_a_body_beyond_the_limit_is_refused_when_its_length_is_not_announced(
    rest: aiohttp.ClientSession, app: StandInApp
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"external_id": "'
        for _ in range(9):
            yield b"x" * 8_192
        yield b'"}'

    async with rest.post(CREATE, data=body(), headers=JSON) as response:
        assert await refusal(response) == (413, "BODY_TOO_LARGE", "never")
    assert app.calls == []


async def test_oversized_headers_are_refused(rest: aiohttp.ClientSession, app: StandInApp) -> None:
    async with rest.get(LIST, headers={"x-long": "x" * 20_000}) as response:
        assert await refusal(response) == (431, "HEADERS_TOO_LARGE", "never")
    assert app.calls == []


async def test_a_header_that_could_be_mistaken_for_another_is_refused(
    rest: aiohttp.ClientSession, app: StandInApp
) -> None:
    async with rest.get(LIST, headers={"x_tenant_id": "t"}) as response:
        assert await refusal(response) == (400, "MALFORMED_REQUEST", "never")
    assert app.calls == []


async def test_an_escaped_slash_is_refused(rest: aiohttp.ClientSession, app: StandInApp) -> None:
    async with rest.get(URL(f"{LIST}/a%2F..%2Fb", encoded=True)) as response:
        assert await refusal(response) == (400, "MALFORMED_REQUEST", "never")
    assert app.calls == []


async def test_the_path_and_the_body_may_not_disagree(
    rest: aiohttp.ClientSession, app: StandInApp
) -> None:
    async with rest.post(
        "/v1/quotes/quote_a:accept", data='{"quote_id": "quote_b"}', headers=JSON
    ) as response:
        assert await refusal(response) == (400, "MALFORMED_REQUEST", "never")
    assert app.calls == []


async def test_an_answer_that_does_not_come_leaves_the_outcome_open(
    rest: aiohttp.ClientSession, app: StandInApp
) -> None:
    app.answer = never_answer

    async with rest.post(CREATE, data="{}", headers=JSON) as response:
        assert await refusal(response) == (504, "DEADLINE_EXCEEDED", "same_request")


async def test_without_the_app_the_outcome_is_open_too() -> None:
    async with (
        running_edge(None, rest_timeout_ms=REST_TIMEOUT_MS) as envoy,
        aiohttp.ClientSession(envoy.rest_url) as rest,
        grpc.aio.insecure_channel(envoy.rest_url.removeprefix("http://")) as public,
    ):
        async with rest.get(LIST) as response:
            assert await refusal(response) == (503, "UPSTREAM_UNAVAILABLE", "same_request")
        assert await native_refusal(public, PUBLIC_METHOD) == (
            grpc.StatusCode.UNAVAILABLE,
            "UPSTREAM_UNAVAILABLE",
            "same_request",
        )


async def test_the_apps_own_refusal_comes_through_as_json(
    rest: aiohttp.ClientSession, app: StandInApp
) -> None:
    app.answer = refuse(grpc.StatusCode.FAILED_PRECONDITION, "quote has expired", "QUOTE_EXPIRED")

    async with rest.post(CREATE, data="{}", headers=JSON) as response:
        assert await refusal(response) == (400, "QUOTE_EXPIRED", "never")


async def test_the_app_learns_its_deadline_and_no_client_can_stretch_it(
    rest: aiohttp.ClientSession, app: StandInApp
) -> None:
    async with rest.get(LIST, headers={"grpc-timeout": "1H"}) as response:
        assert response.status == 200

    [received] = app.calls
    assert received.time_remaining_s is not None
    assert REST_TIMEOUT_MS / 1000 < received.time_remaining_s < 1


async def test_a_client_cannot_speak_as_one_of_us(
    rest: aiohttp.ClientSession, app: StandInApp
) -> None:
    forged = {
        "forwarded": "for=9.9.9.9",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-forwarded-for": "9.9.9.9",
        "x-forwarded-proto": "https",
        "x-real-ip": "9.9.9.9",
        "X-Reli-Caller": "operator",
        "x-request-id": "forged",
        "x-tenant-id": "tenant_of_somebody_else",
    }
    honest = {"authorization": "Bearer key", "idempotency-key": "once"}

    async with rest.get(LIST, headers=forged | honest) as response:
        assert response.status == 200
        request_id = response.headers["x-request-id"]

    [received] = app.calls
    assert {name: received.headers.get(name) for name in honest} == honest
    assert received.headers["x-request-id"] == request_id != "forged"
    for name, value in forged.items():
        assert received.headers.get(name.lower()) != value


async def test_a_header_that_grpc_cannot_carry_does_not_fail_the_call(
    rest: aiohttp.ClientSession, app: StandInApp
) -> None:
    foreign = {"x-a!b": "1", "x|y": "2", "x-c-bin": "no base64", "grpc-previous-rpc-attempts": "x"}

    async with rest.get(LIST, headers=foreign | {"x-plain": "kept"}) as response:
        assert response.status == 200

    [received] = app.calls
    assert received.headers["x-plain"] == "kept"
    assert not foreign.keys() & received.headers.keys()


async def test_rest_answers_do_not_speak_grpc(rest: aiohttp.ClientSession) -> None:
    async with rest.get(LIST) as response:
        assert not [name for name in response.headers if name.lower().startswith("grpc-")]
        assert await response.json() == {"customers": [], "next_page_token": ""}


@pytest.mark.parametrize(
    ("method", "template"),
    [
        (method, path.template)
        for path in PublicApi.read(descriptor_set_path().read_bytes()).paths
        for method in path.methods
    ],
)
async def test_every_public_path_reaches_the_app(
    rest: aiohttp.ClientSession, app: StandInApp, method: str, template: str
) -> None:
    path = template.replace("{", "").replace("}", "")
    body = None if method == "GET" else "{}"

    async with rest.request(method, path, data=body, headers=JSON) as response:
        assert response.status == 200

    assert len(app.calls) == 1


async def test_a_partner_may_use_native_grpc(public: grpc.aio.Channel, app: StandInApp) -> None:
    assert await send(public, PUBLIC_METHOD) == b""

    [received] = app.calls
    assert received.method == PUBLIC_METHOD
    assert received.time_remaining_s is not None


async def test_a_native_deadline_is_kept_and_capped(
    public: grpc.aio.Channel, app: StandInApp
) -> None:
    for timeout in (2, 3_600):
        await send(public, PUBLIC_METHOD, timeout=timeout)

    short, long = (received.time_remaining_s for received in app.calls)
    assert short is not None
    assert long is not None
    assert short <= 2.1
    assert long <= 15


@pytest.mark.parametrize(
    "method",
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/reli.internal.v1.InternalService/Reset",
        "/reli.tenant.v1.CustomerServiceX/ListCustomers",
        "/",
    ],
)
async def test_an_unlisted_service_does_not_exist_outside(
    public: grpc.aio.Channel, app: StandInApp, method: str
) -> None:
    refused = await native_refusal(public, method)

    assert refused == (grpc.StatusCode.UNIMPLEMENTED, "ROUTE_NOT_FOUND", "never")
    assert app.calls == []


async def test_a_native_caller_hears_the_same_reasons(
    public: grpc.aio.Channel, app: StandInApp
) -> None:
    app.answer = refuse(grpc.StatusCode.FAILED_PRECONDITION, "quote has expired", "QUOTE_EXPIRED")

    refused = await native_refusal(public, PUBLIC_METHOD)

    assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "QUOTE_EXPIRED", "never")


async def test_our_own_tools_reach_every_service(
    internal: grpc.aio.Channel, app: StandInApp
) -> None:
    health = HealthCheckResponse.FromString(await send(internal, "/grpc.health.v1.Health/Check"))
    await send(internal, "/reli.internal.v1.InternalService/Reset")

    assert health.status == HealthCheckResponse.SERVING
    assert [received.method for received in app.calls] == [
        "/reli.internal.v1.InternalService/Reset"
    ]


async def test_a_client_cannot_speak_as_one_of_us_in_native_grpc_either(
    public: grpc.aio.Channel, internal: grpc.aio.Channel, app: StandInApp
) -> None:
    for channel in (public, internal):
        await send(channel, PUBLIC_METHOD, metadata=(("x-tenant-id", "t"), ("x-reli-a", "b")))

    assert len(app.calls) == 2
    for received in app.calls:
        assert not {"x-tenant-id", "x-reli-a"} & received.headers.keys()
