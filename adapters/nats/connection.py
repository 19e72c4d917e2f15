"""The connection to NATS: made when it is needed, and again whenever it is lost."""

import asyncio
import logging
from contextlib import suppress

import nats
from nats.aio.client import Client

CONNECT_TIMEOUT_S = 2
CLOSE_TIMEOUT_S = 1

_log = logging.getLogger("reli.nats")


class NatsConnection:
    """One connection a process; a bus that is down holds up no trade."""

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def client(self) -> Client:
        """Return a connected client, or raise one of nats-py's errors."""
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                self._client = await nats.connect(
                    self._url,
                    name=self._name,
                    error_cb=_report,
                    allow_reconnect=False,
                    # The caller tries again; the client would do so for minutes, without a word.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_TIMEOUT_S,
                )
            return self._client

    async def drop(self, client: Client) -> None:
        """Give up a connection on which nobody answers; nothing else would end it for minutes."""
        if self._client is client:
            self._client = None
            await _close(client)

    async def close(self) -> None:
        if self._client is not None:
            await _close(self._client)


async def _close(client: Client) -> None:
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await client.close()


async def _report(error: Exception) -> None:
    # Whoever needed the bus hears of it too, and tells it as often as people want to read it.
    _log.debug("NATS: %s", error)
