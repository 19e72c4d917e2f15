"""HTTP calls to venues: what was answered, or why nothing was."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

import aiohttp
from yarl import URL

from adapters.http import connection as http
from adapters.http.connection import AnswerMalformed, Connections, Limits, place_of
from adapters.lp.config import LpConfig
from domain.trade.outcome import ORDER_WORKING

MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_PAGE_BYTES: Final = 1 << 20
"""Of one page of a listing."""
MAX_EVIDENCE: Final = 500

FRESH_S: Final = 1.0
POOLED_S: Final = 15.0

OK: Final = 200

_HEAD_BYTES: Final = 32 * 1024
"""Of an answer, and of all that is around its body."""

# An answer that unpacks to more than its size would escape the limit.
_HEADERS: Final = "User-Agent: Reli/1\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"


@dataclass(frozen=True, slots=True)
class LpSessions:
    """Connections to all venues.

    Attributes:
        pooled: for what has no effect at a venue; connections are kept.
        fresh: for executions. A kept connection may have died unnoticed, and an execution lost on
            it is an unknown outcome; one that was used within the last second hardly has.
    """

    pooled: Connections
    fresh: Connections


@asynccontextmanager
async def open_lp_sessions() -> AsyncIterator[LpSessions]:
    """Open what all liquidity providers of a process share."""
    # One venue that hangs must not use up the connections of another: no limits, because what is
    # in flight is bounded by the requests and workers that wait for it. Nor must one whose name
    # nobody answers for use up the process's threads: names are looked up without any.
    tls = ssl.create_default_context()
    pooled = Connections(aiohttp.AsyncResolver(), tls, kept_s=POOLED_S)
    fresh = Connections(aiohttp.AsyncResolver(), tls, kept_s=FRESH_S)
    try:
        yield LpSessions(pooled, fresh)
    finally:
        await pooled.close()
        await fresh.close()


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
        is_of_taken_order: it is about an order that the venue has just said it has.
    """

    status: int
    body: bytes
    date: datetime | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    is_of_taken_order: bool = False

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
        url = URL(config.url.rstrip("/"), encoded=True)
        self._place = place_of(url)
        self._path = url.raw_path.rstrip("/")
        self._headers = f" HTTP/1.1\r\nHost: {url.raw_authority}\r\n{_HEADERS}"
        self._sessions = sessions
        self._config = config

    async def quote(self, call: Call) -> Answer:
        """Send what asks for a price."""
        return await self._ask(call, self._config.quote_timeout)

    async def execute(self, call: Call) -> Answer:
        """Send what may execute."""
        connect_s = self._config.connect_timeout.total_seconds()
        return await self._send(
            self._sessions.fresh, call, self._config.execute_timeout, connect_s=connect_s
        )

    async def status(self, call: Call) -> Answer:
        """Send what asks for the state of an order."""
        return await self._ask(call, self._config.status_timeout)

    async def listing(self, call: Call, *, most: int = MAX_PAGE_BYTES) -> Answer:
        """Send what asks for a page of what was executed."""
        return await self._ask(call, self._config.listing_timeout, most=most)

    async def _ask(self, call: Call, timeout: timedelta, *, most: int = MAX_ANSWER_BYTES) -> Answer:
        """Send what has no effect; it is sent again where a kept connection had died."""
        return await self._send(self._sessions.pooled, call, timeout, most=most, again=True)

    async def _send(
        self,
        connections: Connections,
        call: Call,
        timeout: timedelta,
        *,
        most: int = MAX_ANSWER_BYTES,
        connect_s: float | None = None,
        again: bool = False,
    ) -> Answer:
        try:
            request = self._bytes_of(call)
            limits = Limits(body=most, all=most + _HEAD_BYTES)
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._exchange(connections, request, limits, connect_s, again=again)
        except (NotConnected, NoAnswer):
            raise
        except TimeoutError as error:
            raise NoAnswer("LP_TIMEOUT", _name_of(error)) from error
        except (AnswerMalformed, OSError) as error:
            raise NoAnswer("LP_DISCONNECTED", _name_of(error)) from error
        except Exception as error:
            # Whatever else goes wrong, the caller must not take it for proof of anything.
            raise NoAnswer("LP_CALL_FAILED", _name_of(error)) from error

    async def _exchange(
        self,
        connections: Connections,
        request: bytes,
        limits: Limits,
        connect_s: float | None,
        *,
        again: bool,
    ) -> Answer:
        kept = connections.take_kept(self._place)
        connection = kept or await self._connect(connections, connect_s)
        answer = http.Answer()
        try:
            await connection.exchange(request, answer, limits)
        except ConnectionError:
            if kept and again and answer.status is None:
                return await self._exchange(connections, request, limits, connect_s, again=again)
            raise
        connections.give_back(self._place, connection)
        return self._read(answer, limits)

    async def _connect(self, connections: Connections, timeout_s: float | None) -> http.Connection:
        try:
            async with asyncio.timeout(timeout_s):
                return await connections.connect(self._place)
        except OSError as error:  # a timeout is one
            raise NotConnected(_name_of(error)) from error

    def _read(self, answer: http.Answer, limits: Limits) -> Answer:
        if answer.is_cut:
            raise NoAnswer(
                "LP_ANSWER_TOO_LARGE", f"HTTP {answer.status}, more than {limits.body} bytes"
            )
        if not answer.is_whole or answer.status is None:
            raise ConnectionResetError("the answer ended early")
        date = _date(answer.headers.get(b"date", b""))
        return Answer(answer.status, bytes(answer.body), date, self._config.secrets)

    def _bytes_of(self, call: Call) -> bytes:
        headers = dict(call.headers)
        if call.body is not None:
            headers.setdefault("Content-Type", "application/json")
        if call.body is not None or call.method != "GET":
            headers["Content-Length"] = str(len(call.body or b""))
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        first = f"{call.method} {self._path}{call.target}"
        if not first.isprintable() or first.count(" ") > 1:
            raise ValueError("the target is not one word")
        if len(fields.splitlines()) != len(headers):
            raise ValueError("a header has a line break")
        head = f"{first}{self._headers}{fields}\r\n"
        return head.encode("ascii") + (call.body or b"")


async def after_sending(looking: Awaitable[Answer]) -> Answer:
    """Look at what became of an order that the venue has taken, or raise `NoAnswer`.

    That the venue cannot be reached any more, or does not answer, does not undo it.
    """
    try:
        return replace(await looking, is_of_taken_order=True)
    except NotConnected as error:
        raise NoAnswer(ORDER_WORKING, f"not reached any more: {error}") from error
    except NoAnswer as error:
        raise NoAnswer(ORDER_WORKING, f"{error.reason}: {error}") from error


def json_body(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


@lru_cache(maxsize=64)
def _date(header: bytes) -> datetime | None:
    try:
        at = parsedate_to_datetime(header.decode("latin-1"))
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
