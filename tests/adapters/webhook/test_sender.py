"""An endpoint may do what it likes: an attempt ends in time, in little memory, where it should."""

import asyncio
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks import Webhook

from adapters.system.clock import SystemClock
from adapters.webhook import sender as sender_module
from adapters.webhook.sender import HttpWebhookSender, open_connections
from domain.ids import EventId
from domain.webhook.delivery import MAX_RESPONSE_BYTES, Attempt, Failure
from domain.webhook.destination import Destinations
from ports.webhook import WebhookRequest
from tests.support.builders import an_id

LOCAL = Destinations(is_sandbox=True, allows_loopback=True)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOST = "127.0.0.1"
SOON_S = 0.5

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Names(AbstractResolver):
    """Says what it is told to say, one answer after the other; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not addresses:
            await asyncio.sleep(3_600)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def served(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve every connection so; yield the port."""
    writers = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # who was being served has had enough
        finally:
            writer.close()

    server = await asyncio.start_server(handle, HOST, 0, ssl=tls)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in writers:
        writer.close()


def says(answer: bytes) -> Serve:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return serve


def drips(*parts: bytes, every_s: float = 0.02) -> Serve:
    """Say the first parts at once, and the last one again and again."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts[:-1]:
            writer.write(part)
        while True:
            writer.write(parts[-1])
            await writer.drain()
            await asyncio.sleep(every_s)

    return serve


async def attempt(
    url: str,
    *,
    names: Names | None = None,
    tls: ssl.SSLContext | None = None,
    destinations: Destinations = LOCAL,
) -> Attempt:
    async with open_connections(destinations, resolver=names or Names([HOST]), tls=tls) as session:
        return await HttpWebhookSender(session, SystemClock()).send(
            a_request(url), sent_at=datetime.now(UTC)
        )


def a_request(url: str) -> WebhookRequest:
    return WebhookRequest(
        url=url, event_id=an_id(EventId), body=b'{"a":1}', secrets=[SECRET], number=3
    )


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "TIMEOUT", timedelta(seconds=SOON_S))


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("serve", "failure"),
    [
        (drips(b"", b"H"), Failure.PROTOCOL),
        (drips(OK, b"X-A: b\r\n"), Failure.TIMEOUT),
        (drips(OK, b"X-A: b\r\n", every_s=0), Failure.PROTOCOL),
        (drips(OK, b"X-A: " + b"b" * 4_000 + b"\r\n", every_s=0), Failure.PROTOCOL),
        (drips(OK + b"X-A: ", b"b" * 1_000, every_s=0), Failure.PROTOCOL),
        (drips(OK, b"X", every_s=0.1), Failure.TIMEOUT),
        (drips(b"HTTP/1.1 100 Continue\r\n\r\n"), Failure.TIMEOUT),
        (says(b""), Failure.CONNECTION),
        (says(b"SSH-2.0-OpenSSH_9.9\r\n"), Failure.PROTOCOL),
        (says(b"\0" * 100_000), Failure.PROTOCOL),
        (says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), Failure.STATUS),
        (says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), Failure.STATUS),
    ],
)
async def test_whatever_comes_back_an_attempt_ends_in_time_and_says_why(
    serve: Serve, failure: Failure
) -> None:
    began = asyncio.get_running_loop().time()
    async with served(serve) as port:
        found = await attempt(f"http://{HOST}:{port}/")

    assert found.failure is failure, found
    assert not found.was_received
    assert asyncio.get_running_loop().time() - began < SOON_S + 0.5


@pytest.mark.parametrize("length", [b"Content-Length: 10000000000\r\n\r\n", b"\r\n"])
async def test_of_an_endless_body_the_first_bytes_are_read_and_no_more(length: bytes) -> None:
    tracemalloc.start()
    try:
        async with served(drips(OK + length, b"x" * 65_536, every_s=0)) as port:
            found = await attempt(f"http://{HOST}:{port}/")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found.was_received
    assert found.response_body == b"x" * MAX_RESPONSE_BYTES
    assert most < 8 << 20


async def test_what_follows_a_body_is_neither_believed_nor_kept() -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nRetry-After: 7\r\nX-A: "
    tracemalloc.start()
    try:
        async with served(drips(OK + chunked, b"x" * 65_536, every_s=0)) as port:
            found = await attempt(f"http://{HOST}:{port}/")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found.was_received
    assert (found.response_body, found.retry_after) == (b"ab", None)
    assert found.latency_ms < SOON_S * 1_000
    assert most < 8 << 20


async def test_a_body_that_drips_keeps_nobody_for_longer_and_the_status_counts() -> None:
    async with served(drips(OK + b"Content-Length: 1000\r\n\r\n", b"x", every_s=0.1)) as port:
        found = await attempt(f"http://{HOST}:{port}/")

    assert found.was_received
    assert 1 <= len(found.response_body) < 20
    assert found.latency_ms < SOON_S * 1_000 + 300


async def test_an_answer_may_come_in_pieces_after_others_that_are_none() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    async with served(says(early + b"HTTP/1.1 503 Busy\r\n" + chunked)) as port:
        found = await attempt(f"http://{HOST}:{port}/")

    assert (found.status, found.response_body, found.retry_after) == (503, b"abc", None)


async def test_an_answer_that_says_no_length_ends_with_its_connection() -> None:
    async with served(says(OK + b"Retry-After: 7\r\n\r\nthank you")) as port:
        found = await attempt(f"http://{HOST}:{port}/")

    assert found.was_received
    assert found.response_body == b"thank you"
    assert found.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (OK + b"Content-Length: 2\r\n\r\nok", 1),
        (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", 3),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 3),
        # More than was asked for is believed of nobody.
        (OK + b"Content-Length: 2\r\n\r\nok" + b"HTTP/1.1 500 No\r\nRetry-After: 7\r\n\r\n", 3),
    ],
)
async def test_a_connection_is_used_again_where_the_answer_allows_it(
    answer: bytes, connections: int
) -> None:
    made = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        while True:
            await reader.readexactly(7)
            writer.write(answer)
            await reader.readuntil(b"\r\n\r\n")

    async with served(serve) as port, open_connections(LOCAL) as shared:
        sender = HttpWebhookSender(shared, SystemClock())
        found = [
            await sender.send(a_request(f"http://{HOST}:{port}/"), sent_at=datetime.now(UTC))
            for _ in range(3)
        ]

    assert [(one.status, one.response_body, one.retry_after) for one in found] == [
        (200, b"ok", None)
    ] * 3
    assert made == connections


async def test_a_connection_that_was_closed_in_the_meantime_fails_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither by the other side nor by us, who keep none for long."""
    monkeypatch.setattr(sender_module, "KEPT_ALIVE_S", 0.2)
    made, left_alone = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        await reader.readexactly(7)
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        if made == 2:
            await reader.read()
            left_alone.set()

    async with served(serve) as port, open_connections(LOCAL) as shared:
        sender = HttpWebhookSender(shared, SystemClock())
        for _ in range(2):
            found = await sender.send(
                a_request(f"http://{HOST}:{port}/"), sent_at=datetime.now(UTC)
            )
            assert found.was_received
            assert not left_alone.is_set()
            await asyncio.sleep(0.05)
        await asyncio.wait_for(left_alone.wait(), 5)

    assert made == 2


async def test_what_nobody_has_asked_for_ends_a_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(7)
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with served(serve) as port, open_connections(LOCAL) as shared:
        sender = HttpWebhookSender(shared, SystemClock())
        for _ in range(2):
            found = await sender.send(
                a_request(f"http://{HOST}:{port}/"), sent_at=datetime.now(UTC)
            )
            await asyncio.sleep(0.1)
            assert found.was_received


async def test_a_redirect_leads_nowhere() -> None:
    async with served(says(OK + b"Content-Length: 0\r\n\r\n")) as inner:
        location = b"Location: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n" % inner
        async with served(says(b"HTTP/1.1 307 Temporary Redirect\r\n" + location)) as port:
            found = await attempt(f"http://{HOST}:{port}/")

    assert (found.status, found.failure) == (307, Failure.STATUS)


async def test_a_name_that_changes_is_looked_at_again_for_every_connection() -> None:
    """First it is where it may be, then where nobody may go: no byte is sent there."""
    names = Names([HOST], ["10.0.0.1"])
    closing = OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    async with (
        served(says(closing)) as port,
        open_connections(LOCAL, resolver=names) as session,
    ):
        sender = HttpWebhookSender(session, SystemClock())
        found = [
            await sender.send(a_request(f"http://example.com:{port}/"), sent_at=datetime.now(UTC))
            for _ in range(2)
        ]

    assert [one.failure for one in found] == [None, Failure.FORBIDDEN]
    assert names.asked == 2


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["93.184.215.14", "127.0.0.1"],
        ["::ffff:10.0.0.1"],
    ],
)
async def test_a_name_that_is_also_something_else_is_not_connected_to(
    addresses: list[str],
) -> None:
    found = await attempt(
        "https://example.com/", names=Names(addresses), destinations=Destinations()
    )

    assert found.failure is Failure.FORBIDDEN
    assert found.status is None
    assert not any(address in found.detail for address in addresses)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "10.0.0.1", "[::ffff:169.254.169.254]", "2130706433"]
)
async def test_an_address_in_the_url_is_looked_at_when_somebody_connects(host: str) -> None:
    """Even if a URL were kept that must not be."""
    found = await attempt(f"http://{host}/")

    assert found.failure is Failure.FORBIDDEN


async def test_a_name_that_nobody_answers_for_takes_no_longer_than_anything_else() -> None:
    found = await attempt("http://example.com/", names=Names([]))

    assert found.failure is Failure.TIMEOUT


async def test_the_resolver_of_the_machine_finds_names() -> None:
    async with (
        served(says(OK + b"Content-Length: 0\r\n\r\n")) as port,
        open_connections(LOCAL) as session,
    ):
        sender = HttpWebhookSender(session, SystemClock())
        found = await sender.send(a_request(f"http://localhost:{port}/"), sent_at=datetime.now(UTC))
        nobody = await sender.send(a_request("http://nobody.invalid/"), sent_at=datetime.now(UTC))

    assert found.was_received, found
    assert nobody.failure in (Failure.NAME, Failure.TIMEOUT)


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with served(says(OK + b"Content-Length: 0\r\n\r\n")) as port:
        assert (await attempt(f"http://{HOST}:{port}/")).was_received


async def test_a_certificate_must_be_one_of_the_host(tmp_path: Path) -> None:
    server, client = _certified("example.com", tmp_path)
    async with served(says(OK + b"Content-Length: 0\r\n\r\n"), server) as port:
        right = await attempt(f"https://example.com:{port}/", tls=client)
        other = await attempt(f"https://example.org:{port}/", tls=client)
        unknown = await attempt(f"https://example.com:{port}/")

    assert right.was_received, right
    assert [other.failure, unknown.failure] == [Failure.TLS, Failure.TLS]


async def test_what_is_sent_is_signed_by_the_specification() -> None:
    got: dict[str, Any] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got["body"] = await reader.readexactly(7)
        writer.write(OK + b"Content-Length: 2\r\n\r\nok")
        await writer.drain()

    sent = a_request("")
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    now = datetime.now(UTC)
    async with open_connections(LOCAL, resolver=Names([HOST])) as session:
        request = WebhookRequest(
            url=f"http://{HOST}:{port}/hook?x=%20",
            event_id=sent.event_id,
            body=sent.body,
            secrets=[SECRET, "whsec_" + "B" * 44],
            number=3,
        )
        found = await HttpWebhookSender(session, SystemClock()).send(request, sent_at=now)
    server.close()

    line, *lines = heads[0].decode().split("\r\n")
    headers = dict(one.split(": ", 1) for one in lines if one)
    assert found.response_body == b"ok"
    assert line == "POST /hook?x=%20 HTTP/1.1"
    assert headers["webhook-id"] == str(sent.event_id)
    assert headers["webhook-attempt"] == "3"
    assert len(headers["webhook-signature"].split()) == 2
    for secret in request.secrets:
        assert Webhook(secret).verify(got["body"], headers) == {"a": 1}


def _certified(name: str, home: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the two sides of a host with a certificate that the client trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    file = home / "server.pem"
    file.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=pem.decode())
