"""Events on JetStream."""

import asyncio
from datetime import timedelta
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from adapters.nats.connection import NatsConnection
from domain.ids import TenantId
from ports.bus import Bus, BusUnavailable, StampedEvent

STREAM: Final = "RELI_EVENTS"
SUBJECT_ROOT: Final = "reli.events"
MAX_AGE: Final = timedelta(days=30)
MAX_BYTES: Final = 2 * 1024**3
PUBLISH_TIMEOUT_S: Final = 5.0


class NatsBus(Bus):
    """Publishes each event under `reli.events.{tenant id}.{type}`.

    `Nats-Msg-Id` lets the server drop what it has already stored within its window; consumers drop
    what they have already seen by the event's id.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._prepared: Client | None = None
        self._preparing = asyncio.Lock()

    async def publish(self, event: StampedEvent) -> None:
        try:
            client = await self._connection.client()
            jetstream = client.jetstream(timeout=PUBLISH_TIMEOUT_S)
            async with self._preparing:
                if client is not self._prepared:
                    await _ensure_stream(jetstream)
                    self._prepared = client
            await jetstream.publish(
                subject_of(event.tenant_id, event.type),
                event.payload,
                headers={"Nats-Msg-Id": str(event.id)},
            )
        except (NatsError, OSError, TimeoutError) as error:
            # A wiped server has forgotten the stream: look again before the next event.
            self._prepared = None
            raise BusUnavailable("the bus did not take the event") from error


async def _ensure_stream(jetstream: JetStreamContext) -> None:
    config = StreamConfig(
        name=STREAM,
        subjects=[f"{SUBJECT_ROOT}.>"],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        # A full stream refuses what is new and the outbox keeps it; the default would drop
        # the oldest without a word.
        discard=DiscardPolicy.NEW,
        max_age=MAX_AGE.total_seconds(),
        max_bytes=MAX_BYTES,
        duplicate_window=120,
    )
    try:
        await jetstream.update_stream(config)
    except NotFoundError:
        await jetstream.add_stream(config)


def subject_of(tenant_id: TenantId, type: str) -> str:
    return f"{SUBJECT_ROOT}.{tenant_id}.{type}"
