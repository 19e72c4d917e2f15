"""Events on JetStream."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from adapters.nats.connection import NatsConnection
from adapters.wire.event import cloud_event_headers
from domain.ids import TenantId
from ports.bus import REPUBLISHED, Bus, BusEmpty, BusUnavailable, StampedEvent

STREAM: Final = "RELI_EVENTS"
SUBJECT_ROOT: Final = "reli.events"
MAX_BYTES: Final = 2 * 1024**3
TIMEOUT_S: Final = 5.0


class NatsBus(Bus):
    """Publishes each event under `reli.events.{tenant id}.{type}`, a CloudEvent in binary mode.

    `Nats-Msg-Id` lets the server drop what it has already stored within its window; consumers drop
    what they have already seen by the event's id.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._prepared: Client | None = None
        self._preparing = asyncio.Lock()

    async def open(self) -> None:
        async with self._jetstream():
            pass

    async def publish(self, event: StampedEvent) -> None:
        async with self._jetstream() as jetstream:
            await jetstream.publish(
                subject_of(event.tenant_id, event.type),
                event.payload,
                headers={"Nats-Msg-Id": str(event.id), **cloud_event_headers(event.payload)},
            )

    async def begin_anew(self) -> None:
        with _unavailable():
            client = await self._connection.client()
            await client.jetstream(timeout=TIMEOUT_S).add_stream(_stream())

    @asynccontextmanager
    async def _jetstream(self) -> AsyncIterator[JetStreamContext]:
        """Lend a JetStream whose stream is there, and look again after each failure."""
        client: Client | None = None
        try:
            with _unavailable():
                client = await self._connection.client()
                jetstream = client.jetstream(timeout=TIMEOUT_S)
                async with self._preparing:
                    if client is not self._prepared:
                        await jetstream.update_stream(_stream())
                        self._prepared = client
                yield jetstream
        except BusUnavailable as error:
            self._prepared = None
            if client is not None and isinstance(error.__cause__, TimeoutError):
                await self._connection.drop(client)
            raise


@contextmanager
def _unavailable() -> Iterator[None]:
    """Raise ours for what NATS means by its errors."""
    try:
        yield
    except NotFoundError as error:
        raise BusEmpty("the bus has no stream") from error
    except (NatsError, OSError, TimeoutError) as error:
        raise BusUnavailable("the bus did not answer") from error


def _stream() -> StreamConfig:
    return StreamConfig(
        name=STREAM,
        subjects=[f"{SUBJECT_ROOT}.>"],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        # A full stream refuses what is new and the outbox keeps it; the default would drop
        # the oldest without a word.
        discard=DiscardPolicy.NEW,
        max_age=REPUBLISHED.total_seconds(),
        max_bytes=MAX_BYTES,
        duplicate_window=120,
    )


def subject_of(tenant_id: TenantId, type: str) -> str:
    return f"{SUBJECT_ROOT}.{tenant_id}.{type}"
