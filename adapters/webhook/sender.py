"""Sends a delivery and believes nothing: neither names nor addresses, sizes, times or answers."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook
from yarl import URL

from adapters.wire.event import CLOUD_EVENT_MEDIA_TYPE
from domain.webhook.delivery import MAX_DETAIL, MAX_RESPONSE_BYTES, TIMEOUT, Attempt, Failure
from domain.webhook.destination import Destinations
from ports.clock import Clock
from ports.webhook import WebhookRequest, WebhookSender

KEPT_ALIVE_S: Final = 4.0
"""Below what servers keep a connection for: one that they close while we send is a failure."""

_HEADERS: Final = {
    "Accept-Encoding": "identity",
    "Content-Type": CLOUD_EVENT_MEDIA_TYPE,
    "User-Agent": "Reli-Webhooks/1",
}
_MAX_HEADER_BYTES: Final = 8_190
_MAX_HEADERS: Final = 64


class AddressForbidden(OSError):
    """Nothing may be sent to the address."""


class CheckedResolver(AbstractResolver):
    """Gives out no address that is not allowed, and none at all of a name that has such a one."""

    def __init__(self, resolver: AbstractResolver, destinations: Destinations) -> None:
        self._resolver = resolver
        self._destinations = destinations

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            if not self._destinations.allows(one["host"]):
                raise AddressForbidden(f"{host} is {one['host']}")
        return found

    async def close(self) -> None:
        await self._resolver.close()


class HttpWebhookSender(WebhookSender):
    """Sends by a session of `open_webhook_session`."""

    def __init__(self, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def send(self, request: WebhookRequest, *, sent_at: datetime) -> Attempt:
        began = self._clock.monotonic()
        answer: dict[str, Any] = {}
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                await self._ask(request, sent_at, answer)
        except Exception as error:
            # The status decides; what then came of the body is not what was asked for.
            if "status" not in answer:
                answer |= _failure(error)
        latency = self._clock.monotonic() - began
        return Attempt(
            number=request.number,
            started_at=sent_at,
            latency_ms=max(0, round(latency * 1_000)),
            **answer,
        )

    async def _ask(
        self, request: WebhookRequest, sent_at: datetime, answer: dict[str, Any]
    ) -> None:
        """Fill in the answer as it comes, for whatever is known of it when time is up."""
        async with self._session.post(
            URL(request.url, encoded=True),
            data=request.body,
            headers=_signed(request, sent_at),
            allow_redirects=False,
        ) as response:
            answer |= _judged(response, sent_at)
            body = bytearray()
            try:
                while chunk := await response.content.read(MAX_RESPONSE_BYTES - len(body)):
                    body += chunk
                if len(body) == MAX_RESPONSE_BYTES:
                    response.close()  # whatever follows is not waited for
            finally:
                answer["response_body"] = bytes(body)


@asynccontextmanager
async def open_webhook_session(
    destinations: Destinations,
    *,
    resolver: AbstractResolver | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[aiohttp.ClientSession]:
    """Open what all deliveries of a process share; the machine's resolver and roots unless told."""

    def checked_socket(address: tuple[Any, ...]) -> socket.socket:
        # Also asked of a URL that names an address, and of the very one that is connected to.
        family, kind, protocol, _, place = address
        if not destinations.allows(place[0]):
            raise AddressForbidden(f"nothing may be sent to {place[0]}")
        return socket.socket(family, kind, protocol)

    checked_resolver = CheckedResolver(resolver or aiohttp.AsyncResolver(), destinations)
    connector = aiohttp.TCPConnector(
        # In flight is what the workers put there; an endpoint that hangs holds no connection of
        # another one.
        limit=0,
        keepalive_timeout=KEPT_ALIVE_S,
        # Every connection is made to an address that was checked for it.
        use_dns_cache=False,
        resolver=checked_resolver,
        socket_factory=checked_socket,
        ssl=tls or ssl.create_default_context(),
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None),  # the sender's own counts everything
        read_bufsize=MAX_RESPONSE_BYTES,
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
        max_headers=_MAX_HEADERS,
    ) as session:
        yield session
    await checked_resolver.close()


def _signed(request: WebhookRequest, sent_at: datetime) -> Mapping[str, str]:
    """Return the headers of Standard Webhooks, with one signature for each secret."""
    id, body = str(request.event_id), request.body.decode("ascii")
    signatures = [Webhook(secret).sign(id, sent_at, body) for secret in request.secrets]
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": " ".join(signatures),
        "webhook-attempt": str(request.number),
    }


def _judged(response: aiohttp.ClientResponse, sent_at: datetime) -> dict[str, Any]:
    was_received = 200 <= response.status < 300
    return {
        "status": response.status,
        "failure": None if was_received else Failure.STATUS,
        "detail": "" if was_received else f"HTTP {response.status}",
        "retry_after": _retry_after(response.headers.get("Retry-After"), sent_at),
    }


def _retry_after(text: str | None, now: datetime) -> timedelta | None:
    """Return how long to wait by either form of `Retry-After` (RFC 9110, section 10.2.3)."""
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 10:
        return timedelta(seconds=int(text))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None  # whatever it is, it is no date
    return max(until.replace(tzinfo=until.tzinfo or UTC) - now, timedelta())


def _failure(error: Exception) -> dict[str, Any]:
    kind = _kind_of(error)
    # What a name is on our network is nothing that its owner is to learn from us.
    detail = (
        "the host has an address that is not of the public internet"
        if kind is Failure.FORBIDDEN
        else f"{type(error).__name__}: {error}"
    )
    return {"failure": kind, "detail": _printable(detail)}


def _kind_of(error: Exception) -> Failure:
    match error:
        case TimeoutError():
            return Failure.TIMEOUT
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, AddressForbidden):
            return Failure.FORBIDDEN
        case aiohttp.InvalidURL():
            return Failure.FORBIDDEN
        case aiohttp.ClientConnectorDNSError():
            return Failure.NAME
        case aiohttp.ClientSSLError():
            return Failure.TLS
        case aiohttp.ClientOSError() | aiohttp.ServerDisconnectedError() | OSError():
            return Failure.CONNECTION
        case _:
            return Failure.PROTOCOL


def _printable(text: str) -> str:
    text = text[:MAX_DETAIL]
    return "".join(char if char.isprintable() else " " for char in text)
