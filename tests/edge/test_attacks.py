"""What somebody means to harm: it is stopped where it comes in, and the next caller is served."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp
import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import pytest

from app.stack.envoy import EnvoyServer
from tests.support.edge import StandInApp, running_edge, succeed

HEADERS_WITHIN_S: Final = 0.4
REQUEST_WITHIN_S: Final = 1.5
PATIENCE_S: Final = 5.0
LIST: Final = "/v1/customers"
PUBLIC_METHOD: Final = "/reli.tenant.v1.CustomerService/ListCustomers"


@pytest.fixture(scope="module")
def app() -> StandInApp:
    return StandInApp()


@pytest.fixture(scope="module")
async def edge(app: StandInApp) -> AsyncIterator[EnvoyServer]:
    async with running_edge(
        app,
        is_encrypted=True,
        rest_timeout_ms=2_000,
        headers_within_ms=int(HEADERS_WITHIN_S * 1000),
        request_within_ms=int(REQUEST_WITHIN_S * 1000),
    ) as envoy:
        yield envoy


@pytest.fixture(autouse=True)
async def _serves_the_next_caller(app: StandInApp, edge: EnvoyServer) -> AsyncIterator[None]:
    """After each attack an honest caller is answered, and only the honest reach the app."""
    app.answer = succeed
    app.calls.clear()
    yield
    async with aiohttp.ClientSession(edge.rest_url) as rest, rest.get(LIST) as response:
        assert response.status == 200


class Wire:
    """A bare connection, on which nothing keeps to the rules by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, content: bytes) -> None:
        """Send what the other side still takes."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(content)
            await self.writer.drain()

    async def first(self) -> bytes:
        """Return what comes first, nothing if the other side closes."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                return await self.reader.read(65_536)
        return b""

    async def rest(self) -> bytes:
        """Return all that comes until the other side closes, which it must."""
        received = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while content := await self.reader.read(65_536):
                    received += content
        return received


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answer_to(edge: EnvoyServer, *lines: str, body: bytes = b"") -> tuple[int, bytes]:
    """Return status and text of the answer to a request written out by hand."""
    head = "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1")
    async with connected(edge.edge.rest_port) as wire:
        await wire.send(head + body)
        received = await wire.first()
    status, _, text = received.partition(b"\r\n")
    return (int(status.split()[1]), text) if status else (0, b"")


class Http2(Wire):
    """HTTP/2 without a client's good manners."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire.reader, wire.writer)
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.state = h2.connection.H2Connection(config)
        self.state.initiate_connection()

    async def flush(self) -> None:
        await self.send(self.state.data_to_send())

    def begin(self, *headers: tuple[str, str], end: bool = False, path: str = LIST) -> int:
        stream: int = self.state.get_next_available_stream_id()
        first = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a")]
        self.state.send_headers(stream, [*first, *headers], end_stream=end)
        return stream

    async def events(
        self, until: Callable[[h2.events.Event], bool]
    ) -> tuple[list[h2.events.Event], bool]:
        """Return what came until `until`, and whether the connection was closed instead."""
        seen: list[h2.events.Event] = []
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while content := await self.reader.read(65_536):
                    new = self.state.receive_data(content)
                    await self.flush()
                    seen += new
                    if any(until(event) for event in new):
                        return seen, False
        return seen, True

    async def is_closed(self) -> bool:
        """Say whether the other side ends the connection, after a word or without."""
        events, closed = await self.events(
            lambda event: isinstance(event, h2.events.ConnectionTerminated)
        )
        return closed or bool(events)


@contextlib.asynccontextmanager
async def http2(edge: EnvoyServer) -> AsyncIterator[Http2]:
    async with connected(edge.edge.rest_port) as wire:
        connection = Http2(wire)
        await connection.flush()
        yield connection


async def test_headers_that_trickle_are_not_waited_for(edge: EnvoyServer, app: StandInApp) -> None:
    async with connected(edge.edge.rest_port) as wire:
        began = asyncio.get_running_loop().time()
        await wire.send(b"GET /v1/customers HTTP/1.1\r\nhost: a\r\nx-slow: ")
        answer = await wire.first()
        took_s = asyncio.get_running_loop().time() - began

    assert b" 408 " in answer.partition(b"\r\n")[0] and b"REQUEST_TIMEOUT" in answer
    assert took_s < REQUEST_WITHIN_S
    assert app.calls == []


async def test_a_body_that_trickles_is_not_waited_for(edge: EnvoyServer, app: StandInApp) -> None:
    async with connected(edge.edge.rest_port) as wire:
        await wire.send(
            b"POST /v1/customers HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            b"content-length: 1000\r\n\r\n"
        )

        async def trickle() -> None:
            for _ in range(40):
                await wire.send(b" ")
                await asyncio.sleep(0.1)

        trickling = asyncio.create_task(trickle())
        answer = await wire.first()
        trickling.cancel()

    assert b" 408 " in answer.partition(b"\r\n")[0] and b"REQUEST_TIMEOUT" in answer
    assert app.calls == []


async def test_a_handshake_that_does_not_come_is_not_waited_for(edge: EnvoyServer) -> None:
    assert edge.edge.tls is not None
    async with connected(edge.edge.tls.port) as wire:
        assert await wire.rest() == b""


@pytest.mark.parametrize("headers", [{"x": "y" * 20_000}, {f"x-{n}": "y" for n in range(80)}])
async def test_more_headers_than_allowed_are_refused(
    edge: EnvoyServer, app: StandInApp, headers: dict[str, str]
) -> None:
    async with (
        aiohttp.ClientSession(edge.rest_url) as rest,
        rest.get(LIST, headers=headers) as response,
    ):
        assert response.status == 431
    assert app.calls == []


async def test_headers_that_never_end_are_cut_off(edge: EnvoyServer, app: StandInApp) -> None:
    async with http2(edge) as connection:
        # HEADERS without END_HEADERS, and continuations for as long as they are taken.
        await connection.send(frame(0x1, 0x0, 1, b"\x00\x01a\x01b"))
        for _ in range(2_000):
            await connection.send(frame(0x9, 0x0, 1, b"\x00\x04long" + b"\x7f\x01" + b"v" * 128))
        await connection.rest()
    assert app.calls == []


async def test_streams_beyond_the_limit_end_the_connection(
    edge: EnvoyServer, app: StandInApp
) -> None:
    async with http2(edge) as connection:
        settled, closed = await connection.events(
            lambda event: isinstance(event, h2.events.RemoteSettingsChanged)
        )
        assert not closed
        [settings] = [e for e in settled if isinstance(e, h2.events.RemoteSettingsChanged)]
        changed = {
            int(code): change.new_value for code, change in settings.changed_settings.items()
        }
        assert changed[3] == 100  # MAX_CONCURRENT_STREAMS
        assert changed[4] == 64 * 1024  # INITIAL_WINDOW_SIZE

        connection.state.remote_settings[3] = 1_000
        connection.state.remote_settings.acknowledge()
        connection.state.local_settings.acknowledge()
        for _ in range(120):
            connection.begin(("content-type", "application/json"))
        await connection.flush()
        assert await connection.is_closed()
    assert app.calls == []


async def test_streams_that_are_reset_at_once_end_the_connection(edge: EnvoyServer) -> None:
    async with http2(edge) as connection:
        for _ in range(60):
            for _ in range(20):
                stream = connection.begin(("content-type", "application/json"))
                connection.state.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            await connection.flush()
            await asyncio.sleep(0)
        assert await connection.is_closed()

    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{edge.edge.admin_port}") as admin,
        admin.get("/stats?filter=public.downstream_rq_too_many_premature_resets") as response,
    ):
        assert (await response.text()).split(": ")[1].strip() == "1"


@pytest.mark.parametrize("kind", ["ping", "settings"])
async def test_a_flood_of_frames_that_want_an_answer_ends_the_connection(
    edge: EnvoyServer, kind: str
) -> None:
    flood = frame(0x6, 0x0, 0, b"12345678") if kind == "ping" else frame(0x4, 0x0, 0, b"")
    async with http2(edge) as connection:
        # Nothing is read meanwhile, so the answers pile up on the other side.
        for _ in range(400):
            await asyncio.wait_for(connection.send(flood * 500), PATIENCE_S)
            if connection.writer.is_closing():
                break
        assert await connection.is_closed()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nope/../customers",
        "//v1//customers",
        "/v1/./customers",
        "/v1/nope/%2e%2e/customers",
    ],
)
async def test_a_path_means_what_it_means_when_it_is_tidied(
    edge: EnvoyServer, app: StandInApp, path: str
) -> None:
    status, _ = await answer_to(edge, f"GET {path} HTTP/1.1", "host: a")

    assert status == 200
    assert [call.method for call in app.calls] == [PUBLIC_METHOD]
    assert app.calls[0].headers["x-envoy-original-path"] == LIST


@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers/..%2ftenants",
        "/v1/customers/..%5ctenants",
        "/v1/customers%2f..%2ftenants",
        "/v1/customers/%00",
        "/v1/customers/\x01",
        "/../../etc/passwd",
        "/v1/../../../admin",
        "/v1/customers#/../tenants",
        "/V1/customers",
        "/v1/customers/",
        "/config_dump",
        "/stats",
        "/quitquitquit",
    ],
)
async def test_a_path_that_means_two_things_reaches_nobody(
    edge: EnvoyServer, app: StandInApp, path: str
) -> None:
    status, _ = await answer_to(edge, f"GET {path} HTTP/1.1", "host: a")

    assert status in (400, 404), status
    assert app.calls == []


@pytest.mark.parametrize(
    "lines",
    [
        ("POST /v1/customers HTTP/1.1", "host: a", "content-length: 2", "content-length: 3"),
        ("POST /v1/customers HTTP/1.1", "host: a", "content-length: 2, 3"),
        ("POST /v1/customers HTTP/1.1", "host: a", "content-length: +2"),
        (
            "POST /v1/customers HTTP/1.1",
            "host: a",
            "content-length: 2",
            "transfer-encoding: chunked",
        ),
        ("POST /v1/customers HTTP/1.1", "host: a", "transfer-encoding: xchunked"),
        ("POST /v1/customers HTTP/1.1", "host: a", "transfer-encoding : chunked"),
        ("POST /v1/customers HTTP/1.1", "host: a", "transfer-encoding: chunked, identity"),
        ("POST /v1/customers HTTP/1.1", "host: a", "host: b"),
        ("POST /v1/customers HTTP/1.1",),
        ("POST /v1/customers HTTP/1.0", "host: a"),
        ("POST /v1/customers HTTP/1.1", "host: a", "x-a: b\x00c"),
        ("POST /v1/customers HTTP/1.1", "host: a", " x-folded: b"),
        ("POST /v1/customers HTTP/1.1", "host: a", "x_tenant_id: t"),
        ("CONNECT 127.0.0.1:22 HTTP/1.1", "host: 127.0.0.1:22"),
        ("CONNECT /v1/customers HTTP/1.1", "host: a"),
        ("GET http://elsewhere/admin HTTP/1.1", "host: a"),
        ("TRACE /v1/customers HTTP/1.1", "host: a"),
        (
            "GET /v1/customers HTTP/1.1",
            "host: a",
            "upgrade: websocket",
            "connection: upgrade",
            "sec-websocket-key: a",
            "sec-websocket-version: 13",
        ),
        ("BREW /v1/customers HTTP/1.1", "host: a"),
    ],
)
async def test_a_request_that_two_servers_could_read_differently_is_refused(
    edge: EnvoyServer, app: StandInApp, lines: tuple[str, ...]
) -> None:
    status, _ = await answer_to(edge, *lines, "content-type: application/json", body=b"{}")

    assert status == 0 or status >= 400, status
    assert app.calls == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_grpc_is_posted(edge: EnvoyServer, app: StandInApp, method: str) -> None:
    for port in (edge.edge.rest_port, edge.edge.grpc_port):
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
            session.request(
                method, PUBLIC_METHOD, headers={"content-type": "application/grpc"}
            ) as response,
        ):
            assert response.headers["grpc-status"] == "12"  # UNIMPLEMENTED
    assert app.calls == []


async def test_what_one_caller_says_badly_is_not_held_against_the_next(
    edge: EnvoyServer, app: StandInApp
) -> None:
    target = edge.rest_url.removeprefix("http://")
    async with http2(edge) as connection:
        for _ in range(16):
            connection.begin(
                ("content-type", "application/grpc"),
                ("x-trace-bin", "%%%"),
                ("grpc-timeout", "soon"),
                end=True,
                path=PUBLIC_METHOD,
            )
        await connection.flush()
        await connection.events(lambda event: isinstance(event, h2.events.StreamEnded))

    for number in range(40):  # on connections of their own, over which Envoy spreads the calls
        async with grpc.aio.insecure_channel(target) as channel:
            unary: Any = channel.unary_unary
            timeout = 3 + number / 7
            await unary(PUBLIC_METHOD)(b"", timeout=timeout, metadata=(("x-trace-bin", b"a"),))


FORBIDDEN_IN_HTTP2: Final = [
    ("transfer-encoding", "chunked"),
    ("connection", "close"),
    ("te", "gzip"),
    ("x-a", "b\r\nx-tenant-id: t"),
    ("x-a", "b\0c"),
    ("X-Upper", "a"),
    ("content-length", "5"),
    (":path", "/v1/tenants"),
]


async def test_what_http2_forbids_is_refused(edge: EnvoyServer, app: StandInApp) -> None:
    async def answered(*header: tuple[str, str]) -> bool:
        async with http2(edge) as connection:
            stream = connection.begin(("content-type", "application/json"), *header)
            with contextlib.suppress(h2.exceptions.ProtocolError):  # of our own library
                connection.state.send_data(stream, b"{}", end_stream=True)
            await connection.flush()
            events, _ = await connection.events(
                lambda event: isinstance(event, h2.events.StreamReset | h2.events.ResponseReceived)
            )
            return any(isinstance(event, h2.events.ResponseReceived) for event in events)

    assert await answered()
    app.calls.clear()
    assert not any(await asyncio.gather(*map(answered, FORBIDDEN_IN_HTTP2)))
    assert app.calls == []


async def test_a_lone_carriage_return_begins_no_header(edge: EnvoyServer, app: StandInApp) -> None:
    await answer_to(edge, "GET /v1/customers HTTP/1.1", "host: a", "x-a: b\rx-tenant-id: t")

    for call in app.calls:
        assert "x-tenant-id" not in call.headers
        assert call.headers["x-a"] == "bx-tenant-id: t"


async def test_a_body_in_an_encoding_of_its_own_is_not_unpacked(
    edge: EnvoyServer, app: StandInApp
) -> None:
    async with (
        aiohttp.ClientSession(edge.rest_url) as rest,
        rest.post(
            LIST,
            data=b'{"external_id": "a"}',
            compress="gzip",
            headers={"content-type": "application/json"},
        ) as response,
    ):
        assert response.status == 400
    assert app.calls == []


async def test_connections_beyond_the_limit_do_not_cost_those_within(app: StandInApp) -> None:
    async with (
        running_edge(app, connections_max=20) as edge,
        aiohttp.ClientSession(edge.rest_url) as rest,
        contextlib.AsyncExitStack() as stack,
    ):
        async with rest.get(LIST) as response:
            assert response.status == 200
        for _ in range(60):
            await stack.enter_async_context(connected(edge.edge.rest_port))
        await asyncio.sleep(0.1)
        async with rest.get(LIST) as response:  # on the connection that was there before
            assert response.status == 200
        async with connected(edge.edge.rest_port) as late:
            await late.send(b"GET /v1/customers HTTP/1.1\r\nhost: a\r\n\r\n")
            assert await late.rest() == b""


def test_nothing_listens_beyond_this_machine(edge: EnvoyServer) -> None:
    outside = address_of_this_machine()
    tls = edge.edge.tls
    assert tls is not None
    ports = [edge.edge.rest_port, edge.edge.grpc_port, edge.edge.admin_port, tls.port]

    for port in ports:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            pass
        if outside is not None:
            with (
                pytest.raises(ConnectionRefusedError),
                socket.create_connection((outside, port), timeout=2),
            ):
                pass


def address_of_this_machine() -> str | None:
    """Return an address that others have of us, if we are in a network at all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def trusting(edge: EnvoyServer) -> ssl.SSLContext:
    assert edge.edge.tls is not None
    return ssl.create_default_context(cafile=str(edge.edge.tls.certificate))


async def test_the_same_api_is_served_encrypted(edge: EnvoyServer, app: StandInApp) -> None:
    tls = edge.edge.tls
    assert tls is not None
    async with (
        aiohttp.ClientSession(f"https://127.0.0.1:{tls.port}") as rest,
        rest.get(LIST, ssl=trusting(edge)) as response,
    ):
        assert response.status == 200
        assert response.headers["strict-transport-security"] == "max-age=31536000"
    credentials = grpc.ssl_channel_credentials(tls.certificate.read_bytes())
    async with grpc.aio.secure_channel(f"localhost:{tls.port}", credentials) as channel:
        unary: Any = channel.unary_unary
        assert await unary(PUBLIC_METHOD)(b"") == b""

    assert [call.headers["x-forwarded-proto"] for call in app.calls] == ["https", "https"]


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "AES128-SHA:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_encryption_is_not_spoken(
    edge: EnvoyServer, version: ssl.TLSVersion, ciphers: str
) -> None:
    assert edge.edge.tls is not None
    old = trusting(edge)
    old.set_ciphers(ciphers)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = version

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", edge.edge.tls.port, ssl=old)


async def test_http2_is_offered_before_http1(edge: EnvoyServer) -> None:
    assert edge.edge.tls is not None
    for offered, chosen in ((["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1")):
        context = trusting(edge)
        context.set_alpn_protocols(offered)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", edge.edge.tls.port, ssl=context, server_hostname="localhost"
        )
        spoken: ssl.SSLObject = writer.get_extra_info("ssl_object")
        assert spoken.selected_alpn_protocol() == chosen
        assert spoken.version() == "TLSv1.3"
        writer.close()


async def test_every_rest_answer_is_private_and_never_a_page(edge: EnvoyServer) -> None:
    async with aiohttp.ClientSession(edge.rest_url) as rest:
        for method, path in (("GET", LIST), ("GET", "/nope"), ("PUT", LIST), ("POST", LIST)):
            async with rest.request(method, path, data="x") as response:
                assert response.headers["x-content-type-options"] == "nosniff"
                assert response.headers["cache-control"] == "no-store"
                assert "strict-transport-security" not in response.headers


async def test_a_page_may_call_only_if_it_is_listed(app: StandInApp) -> None:
    ask = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    listed, other = {"origin": "https://app.example"}, {"origin": "https://app.example.evil"}
    async with (
        running_edge(app, cors_origins=("https://app.example",)) as edge,
        aiohttp.ClientSession(edge.rest_url) as rest,
    ):
        async with rest.options(LIST, headers=listed | ask) as response:
            assert response.status == 200
            assert response.headers["access-control-allow-origin"] == "https://app.example"
            assert "authorization" in response.headers["access-control-allow-headers"]
            assert "access-control-allow-credentials" not in response.headers
        async with rest.get(LIST, headers=listed) as response:
            assert response.headers["access-control-allow-origin"] == "https://app.example"
            assert "x-request-id" in response.headers["access-control-expose-headers"]
        app.calls.clear()
        for ours in ({}, other):
            async with rest.options(LIST, headers=ours | ask) as response:
                assert response.status == 405
                assert "access-control-allow-origin" not in response.headers
        assert app.calls == []


async def test_no_page_may_call_unless_somebody_listed_it(edge: EnvoyServer) -> None:
    async with (
        aiohttp.ClientSession(edge.rest_url) as rest,
        rest.get(LIST, headers={"origin": "https://app.example"}) as response,
    ):
        assert response.status == 200
        assert not [name for name in response.headers if name.lower().startswith("access-control")]


async def test_every_call_is_logged_once_and_tells_no_secret(
    edge: EnvoyServer, app: StandInApp
) -> None:
    secret = "reli_canary_of_the_access_log"
    async with aiohttp.ClientSession(edge.rest_url) as rest:
        async with rest.post(
            f"{LIST}?external_id={secret}",
            json={"request_id": secret},
            headers={"authorization": f"Bearer {secret}", "user-agent": secret, "cookie": secret},
        ) as response:
            request_id = response.headers["x-request-id"]
        async with rest.get(f"/nope?{secret}", headers={"referer": secret}) as response:
            unrouted = response.headers["x-request-id"]
    async with grpc.aio.insecure_channel(edge.rest_url.removeprefix("http://")) as channel:
        unary: Any = channel.unary_unary
        await unary(PUBLIC_METHOD)(b"", metadata=(("authorization", secret),))

    lines = await logged(edge, request_id, unrouted, app.calls[-1].headers["x-request-id"])

    assert secret not in edge.log.read_text()
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("POST", LIST, 200),
        ("GET", "/nope", 404),
        ("POST", PUBLIC_METHOD, 200),
    ]
    assert [line["protocol"] for line in lines] == ["HTTP/1.1", "HTTP/1.1", "HTTP/2"]
    assert {line["peer"] for line in lines} == {"127.0.0.1"}


async def test_a_trace_is_logged_and_passed_on_if_it_is_one(
    edge: EnvoyServer, app: StandInApp
) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    parents = [f"00-{trace_id}-00f067aa0ba902b7-01", "reli_canary_in_a_trace", f"00-{trace_id}"]
    async with aiohttp.ClientSession(edge.rest_url) as rest:
        for parent in parents:
            sent = {"traceparent": parent, "tracestate": "partner=1"}
            async with rest.get(LIST, headers=sent) as response:
                assert response.status == 200

    lines = await logged(edge, *(call.headers["x-request-id"] for call in app.calls))

    assert [line["trace_id"] for line in lines] == [trace_id, None, None]
    assert [call.headers["traceparent"] for call in app.calls] == parents
    assert {call.headers["tracestate"] for call in app.calls} == {"partner=1"}
    assert "reli_canary_in_a_trace" not in edge.log.read_text()


async def logged(edge: EnvoyServer, *request_ids: str) -> list[dict[str, Any]]:
    """Wait for one line of each request; Envoy writes them down some moments later."""
    async with asyncio.timeout(15):
        while True:
            lines = [json.loads(one) for one in edge.log.read_text().splitlines() if one[:1] == "{"]
            found = [[one for one in lines if one["request_id"] == id] for id in request_ids]
            if all(found):
                assert [len(of_one) for of_one in found] == [1] * len(found)
                return [one for of_one in found for one in of_one]
            await asyncio.sleep(0.1)
