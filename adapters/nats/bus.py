"""Events on JetStream."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError
from nats.nuid import NUID

from adapters.nats.connection import NatsConnection
from adapters.wire.event import cloud_event_headers
from domain.ids import TenantId
from ports.bus import REPUBLISHED, Bus, BusEmpty, BusUnavailable, StampedEvent

STREAM: Final = "RELI_EVENTS"
SUBJECT_ROOT: Final = "reli.events"
MAX_BYTES: Final = 2 * 1024**3
TIMEOUT_S: Final = 5.0
TOGETHER: Final = range(16, 1_001)
"""How many events are worth a batch: the server makes files for each, which cost as much as twenty
waits for the disk; and it takes no more than a thousand."""


class NatsBus(Bus):
    """Publishes each event under `reli.events.{tenant id}.{type}`, a CloudEvent in binary mode.

    `Nats-Msg-Id` lets the server drop what it has already stored within its window; consumers drop
    what they have already seen by the event's id.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._prepared: Client | None = None
        self._preparing = asyncio.Lock()
        self._batch_ids = NUID()
        self._is_wary = False

    async def open(self) -> None:
        async with self._client():
            pass

    async def publish(self, event: StampedEvent) -> None:
        async with self._client() as client:
            jetstream = _jetstream(client)
            await jetstream.publish(_subject(event), event.payload, headers=_headers(event))

    async def publish_together(self, events: Sequence[StampedEvent]) -> bool:
        # A batch of ADR-50 (https://github.com/nats-io/nats-architecture-and-design): the server
        # waits for the disk once, and refuses all of it for one event that it has stored before.
        if len(events) not in TOGETHER:
            return False
        # After a batch without an answer come single events: what ended it may be in one of them,
        # and would end all that come after it in the same way.
        if self._is_wary:
            self._is_wary = False
            return False
        async with self._client() as client:
            self._is_wary = True
            try:
                answer = await self._send_batch(client, events)
            except MaxPayloadError:
                return False
            self._is_wary = False
        # A server that knows no batches has stored them one by one, if at all.
        return bool(json.loads(answer.data).get("count") == len(events))

    async def _send_batch(self, client: Client, events: Sequence[StampedEvent]) -> Msg:
        batch = self._batch_ids.next().decode()
        *others, last = (
            (event, {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)})
            for number, event in enumerate(events, start=1)
        )
        for event, place in others:
            await client.publish(_subject(event), event.payload, headers=_headers(event) | place)
        event, place = last
        headers = _headers(event) | place | {"Nats-Batch-Commit": "1"}
        return await client.request(
            _subject(event), event.payload, timeout=TIMEOUT_S, headers=headers
        )

    async def begin_anew(self) -> None:
        with _unavailable():
            client = await self._connection.client()
            await _jetstream(client).add_stream(_stream())

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        """Lend a client whose server has the stream, and look again after each failure."""
        client: Client | None = None
        try:
            with _unavailable():
                client = await self._connection.client()
                async with self._preparing:
                    if client is not self._prepared:
                        await _jetstream(client).update_stream(_stream())
                        self._prepared = client
                yield client
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


def _jetstream(client: Client) -> JetStreamContext:
    return client.jetstream(timeout=TIMEOUT_S)


def _headers(event: StampedEvent) -> dict[str, str]:
    return {"Nats-Msg-Id": str(event.id), **cloud_event_headers(event.payload)}


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
        allow_atomic=True,
    )


def _subject(event: StampedEvent) -> str:
    return subject_of(event.tenant_id, event.type)


def subject_of(tenant_id: TenantId, type: str) -> str:
    return f"{SUBJECT_ROOT}.{tenant_id}.{type}"
