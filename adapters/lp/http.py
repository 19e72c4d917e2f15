"""HTTP calls to venues: what was answered, or why nothing was."""

import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from yarl import URL

from adapters.lp.config import LpConfig

MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_PAGE_BYTES: Final = 1 << 20
"""Of one page of a listing."""
MAX_EVIDENCE: Final = 500
FRESH_S: Final = 1.0

OK: Final = 200

# An answer that unpacks to more than its size would escape the limit.
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class LpSessions:
    """Connections to all venues.

    Attributes:
        pooled: for what has no effect at a venue; connections are kept.
        fresh: for executions. A kept connection may have died unnoticed, and an execution lost on
            it is an unknown outcome; one that was used within the last second hardly has.
    """

    pooled: aiohttp.ClientSession
    fresh: aiohttp.ClientSession


@asynccontextmanager
async def open_lp_sessions() -> AsyncIterator[LpSessions]:
    """Open what all liquidity providers of a process share."""
    # One venue that hangs must not use up the connections of another: no limits, because what is
    # in flight is bounded by the requests and workers that wait for it.
    # Names of venues are those that the machine's own configuration gives.
    resolver = aiohttp.ThreadedResolver()
    async with (
        _session(aiohttp.TCPConnector(limit=0, resolver=resolver)) as pooled,
        _session(
            aiohttp.TCPConnector(limit=0, keepalive_timeout=FRESH_S, resolver=resolver)
        ) as fresh,
    ):
        yield LpSessions(pooled, fresh)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        auto_decompress=False,
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One request, ready to be sent.

    Attributes:
        target: path and query, sent exactly as they are here: a signature may cover them.
        headers: beside those that every call has; they may hold credentials.
    """

    method: str
    target: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """All that the venue said.

    Attributes:
        date: its clock by the `Date` header (RFC 9110 section 6.6.1), in whole seconds.
        secrets: what evidence must not show, should the venue repeat it.
    """

    status: int
    body: bytes
    date: datetime | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def evidence(self) -> str:
        # Hidden before it is cut short, or half a secret could stay at the end.
        text = self.body[: 4 * MAX_EVIDENCE].decode(errors="replace")
        for secret in self.secrets:
            text = text.replace(secret, "…")
        return evidence(f"HTTP {self.status}: {text[:MAX_EVIDENCE]}")


class NotConnected(Exception):
    """No connection was made, so no byte reached the venue."""


class NoAnswer(Exception):
    """The venue may have got the request; no whole answer came back.

    Attributes:
        reason: a stable name of what happened instead.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Connection:
    """The way to one venue; every call raises `NotConnected` or `NoAnswer`."""

    def __init__(self, config: LpConfig, sessions: LpSessions) -> None:
        self._url = config.url.rstrip("/")
        self._sessions = sessions
        self._secrets = config.secrets
        self._quote_timeout = aiohttp.ClientTimeout(config.quote_timeout.total_seconds())
        self._status_timeout = aiohttp.ClientTimeout(config.status_timeout.total_seconds())
        self._listing_timeout = aiohttp.ClientTimeout(config.listing_timeout.total_seconds())
        self._execute_timeout = aiohttp.ClientTimeout(
            config.execute_timeout.total_seconds(),
            sock_connect=config.connect_timeout.total_seconds(),
        )

    async def quote(self, call: Call) -> Answer:
        """Send what asks for a price."""
        return await self._send(self._sessions.pooled, call, self._quote_timeout)

    async def execute(self, call: Call) -> Answer:
        """Send what may execute."""
        return await self._send(self._sessions.fresh, call, self._execute_timeout)

    async def status(self, call: Call) -> Answer:
        """Send what asks for the state of an order."""
        return await self._send(self._sessions.pooled, call, self._status_timeout)

    async def listing(self, call: Call) -> Answer:
        """Send what asks for a page of what was executed."""
        return await self._send(
            self._sessions.pooled, call, self._listing_timeout, most=MAX_PAGE_BYTES
        )

    async def _send(
        self,
        session: aiohttp.ClientSession,
        call: Call,
        timeout: aiohttp.ClientTimeout,
        *,
        most: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        headers = dict(call.headers)
        if call.body is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            async with session.request(
                call.method,
                URL(self._url + call.target, encoded=True),
                data=call.body,
                headers=headers,
                # Followed, a redirect could fail to connect after the first request was received.
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                date = _date(response.headers.get("Date"))
                return Answer(response.status, await _read(response, most), date, self._secrets)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotConnected(_name_of(error)) from error
        except TimeoutError as error:
            raise NoAnswer("LP_TIMEOUT", _name_of(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer("LP_DISCONNECTED", _name_of(error)) from error
        except NoAnswer:
            raise
        except Exception as error:
            # Whatever else goes wrong, the caller must not take it for proof of anything.
            raise NoAnswer("LP_CALL_FAILED", _name_of(error)) from error


async def after_sending(looking: Awaitable[Answer]) -> Answer:
    """Look at what became of what was sent, or raise `NoAnswer`.

    That the venue cannot be reached any more does not undo it.
    """
    try:
        return await looking
    except NotConnected as error:
        raise NoAnswer("LP_UNREACHABLE", str(error)) from error


def json_body(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            raise NoAnswer("LP_ANSWER_TOO_LARGE", f"HTTP {response.status}, more than {most} bytes")
    return bytes(body)


def _date(text: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _name_of(error: BaseException) -> str:
    return evidence(f"{type(error).__name__}: {error}")


def evidence(text: str) -> str:
    """Return the text as a store and a person can take it: short and printable."""
    text = text[:MAX_EVIDENCE]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)
