"""Sends a delivery and believes nothing: neither names nor addresses, sizes, times or answers."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from standardwebhooks import Webhook
from yarl import URL

from adapters.http.connection import (
    AddressForbidden,
    Answer,
    Connections,
    Limits,
    NameUnknown,
    Place,
    place_of,
)
from adapters.wire.event import CLOUD_EVENT_MEDIA_TYPE
from domain.webhook.delivery import MAX_DETAIL, MAX_RESPONSE_BYTES, TIMEOUT, Attempt, Failure
from domain.webhook.destination import Destinations
from ports.clock import Clock
from ports.webhook import WebhookRequest, WebhookSender

KEPT_ALIVE_S: Final = 4.0
"""Below what servers keep a connection for: one that they close while we send is a failure."""

MAX_ANSWER_BYTES: Final = 32_768
_LIMITS: Final = Limits(body=MAX_RESPONSE_BYTES, all=MAX_ANSWER_BYTES)

_HEADERS: Final = (
    "User-Agent: Reli-Webhooks/1\r\n"
    "Accept: */*\r\n"
    "Accept-Encoding: identity\r\n"
    f"Content-Type: {CLOUD_EVENT_MEDIA_TYPE}\r\n"
)


class HttpWebhookSender(WebhookSender):
    """Sends by the connections that `open_connections` gives."""

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    async def send(self, request: WebhookRequest, *, sent_at: datetime) -> Attempt:
        began = self._clock.monotonic()
        answer, failure = Answer(), None
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                place, head = _beginning(request.url)
                connection = await self._connections.take(place)
                await connection.exchange(_bytes_of(head, request, sent_at), answer, _LIMITS)
                self._connections.give_back(place, connection)
        except Exception as error:
            failure = error
        latency_ms = max(0, round((self._clock.monotonic() - began) * 1_000))
        # The status decides; what then came of the body is not what was asked for.
        if answer.status is not None:
            return _judged(request, answer, answer.status, sent_at, latency_ms)
        assert failure is not None
        kind = _kind_of(failure)
        return Attempt(
            number=request.number,
            started_at=sent_at,
            latency_ms=latency_ms,
            failure=kind,
            detail=_detail(kind, failure),
        )


@asynccontextmanager
async def open_connections(
    destinations: Destinations,
    *,
    resolver: AbstractResolver | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Connections]:
    """Open what all deliveries of a process share; the machine's resolver and roots unless told."""
    connections = Connections(
        resolver or aiohttp.AsyncResolver(),
        tls or ssl.create_default_context(),
        kept_s=KEPT_ALIVE_S,
        allows=destinations.allows,
    )
    try:
        yield connections
    finally:
        await connections.close()


@lru_cache(maxsize=1_024)
def _beginning(url: str) -> tuple[Place, bytes]:
    """Return where a URL leads, and how requests there begin."""
    parsed = URL(url, encoded=True)
    head = f"POST {parsed.raw_path_qs} HTTP/1.1\r\nHost: {parsed.raw_authority}\r\n{_HEADERS}"
    return place_of(parsed), head.encode("ascii")


def _bytes_of(beginning: bytes, request: WebhookRequest, sent_at: datetime) -> bytes:
    """Return a request with the headers of Standard Webhooks, one signature for each secret."""
    id, body = str(request.event_id), request.body.decode("ascii")
    signatures = " ".join([Webhook(secret).sign(id, sent_at, body) for secret in request.secrets])
    head = (
        f"webhook-id: {id}\r\n"
        f"webhook-timestamp: {int(sent_at.timestamp())}\r\n"
        f"webhook-signature: {signatures}\r\n"
        f"webhook-attempt: {request.number}\r\n"
        f"Content-Length: {len(request.body)}\r\n\r\n"
    )
    return beginning + head.encode("ascii") + request.body


def _judged(
    request: WebhookRequest, answer: Answer, status: int, sent_at: datetime, latency_ms: int
) -> Attempt:
    was_received = 200 <= status < 300
    return Attempt(
        number=request.number,
        started_at=sent_at,
        latency_ms=latency_ms,
        status=status,
        failure=None if was_received else Failure.STATUS,
        detail="" if was_received else f"HTTP {status}",
        response_body=bytes(answer.body),
        retry_after=_retry_after(answer.headers.get(b"retry-after"), sent_at),
    )


def _retry_after(header: bytes | None, now: datetime) -> timedelta | None:
    """Return how long to wait by either form of `Retry-After` (RFC 9110, section 10.2.3)."""
    if not header:
        return None
    text = header.decode("latin-1")
    if text.isascii() and text.isdigit() and len(text) < 10:
        return timedelta(seconds=int(text))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None  # whatever it is, it is no date
    return max(until.replace(tzinfo=until.tzinfo or UTC) - now, timedelta())


def _detail(kind: Failure, error: Exception) -> str:
    # What a name is on our network is nothing that its owner is to learn from us.
    if kind is Failure.FORBIDDEN:
        return "the host has an address that is not of the public internet"
    return _printable(f"{type(error).__name__}: {error}")


def _kind_of(error: Exception) -> Failure:
    match error:
        case TimeoutError():
            return Failure.TIMEOUT
        case AddressForbidden():
            return Failure.FORBIDDEN
        case NameUnknown():
            return Failure.NAME
        case ssl.SSLError():
            return Failure.TLS
        case OSError():
            return Failure.CONNECTION
        case _:
            return Failure.PROTOCOL


def _printable(text: str) -> str:
    text = text[:MAX_DETAIL]
    return "".join(char if char.isprintable() else " " for char in text)
