"""HTTP calls to a sandbox venue: what was answered, or why nothing was."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp

from adapters.lp.sandbox.config import SandboxLpConfig

MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_EVIDENCE: Final = 500
FRESH_S: Final = 1.0

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
    """Open what every `SandboxLp` of a process shares."""
    # One venue that hangs must not use up the connections of another: no limits, because what is
    # in flight is bounded by the requests and workers that wait for it.
    async with (
        _session(aiohttp.TCPConnector(limit=0)) as pooled,
        _session(aiohttp.TCPConnector(limit=0, keepalive_timeout=FRESH_S)) as fresh,
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
class Answer:
    """All that the venue said."""

    status: int
    body: bytes

    @property
    def evidence(self) -> str:
        return evidence(f"HTTP {self.status}: {self.body[:MAX_EVIDENCE].decode(errors='replace')}")


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


class SandboxClient:
    """The venue's public API; every call raises `NotConnected` or `NoAnswer`."""

    def __init__(self, config: SandboxLpConfig, sessions: LpSessions) -> None:
        self._url = config.url.rstrip("/")
        self._sessions = sessions
        self._quote_timeout = aiohttp.ClientTimeout(config.quote_timeout.total_seconds())
        self._status_timeout = aiohttp.ClientTimeout(config.status_timeout.total_seconds())
        self._execute_timeout = aiohttp.ClientTimeout(
            config.execute_timeout.total_seconds(),
            sock_connect=config.connect_timeout.total_seconds(),
        )

    async def create_quote(self, body: dict[str, str]) -> Answer:
        return await self._call(
            self._sessions.pooled, "POST", "/v1/quotes", body, self._quote_timeout
        )

    async def create_order(self, body: dict[str, str]) -> Answer:
        return await self._call(
            self._sessions.fresh, "POST", "/v1/orders", body, self._execute_timeout
        )

    async def get_order(self, client_order_id: str) -> Answer:
        return await self._call(
            self._sessions.pooled,
            "GET",
            f"/v1/orders/{client_order_id}",
            None,
            self._status_timeout,
        )

    async def _call(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        body: dict[str, str] | None,
        timeout: aiohttp.ClientTimeout,
    ) -> Answer:
        try:
            async with session.request(
                method,
                self._url + path,
                data=None if body is None else json.dumps(body).encode(),
                headers=None if body is None else {"Content-Type": "application/json"},
                # Followed, a redirect could fail to connect after the first request was received.
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                return Answer(response.status, await _read(response))
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


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise NoAnswer(
                "LP_ANSWER_TOO_LARGE", f"HTTP {response.status}, more than {MAX_ANSWER_BYTES} bytes"
            )
    return bytes(body)


def _name_of(error: BaseException) -> str:
    return evidence(f"{type(error).__name__}: {error}")


def evidence(text: str) -> str:
    """Return the text as a store and a person can take it: short and printable."""
    text = text[:MAX_EVIDENCE]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)
