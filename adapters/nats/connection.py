"""The connection to NATS: it comes back by itself, for as long as the process lives."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.aio.client import Client

_log = logging.getLogger("reli.nats")


@asynccontextmanager
async def connected(url: str, *, name: str) -> AsyncIterator[Client]:
    """Yield a client that reconnects for ever; a bus that is down holds up no trade."""

    async def report(error: Exception) -> None:
        _log.warning("NATS: %s", error)

    client = await nats.connect(
        url,
        name=name,
        error_cb=report,
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        connect_timeout=5,
    )
    try:
        yield client
    finally:
        await client.close()
