"""A tenant's events, read from JetStream the way any consumer would read them."""

import asyncio
from datetime import datetime
from typing import Any, Final

import nats
from nats.js.errors import NotFoundError

from app.demo.descriptor import message_class
from app.demo.expectation import Unmet
from app.demo.partner import Json

_WAIT_S: Final = 15.0


async def events_of(nats_url: str, tenant_id: str, *, at_least: int) -> list[Json]:
    """Return everything told of the tenant so far, once it is `at_least` so much."""
    client = await nats.connect(nats_url, connect_timeout=5)
    event_class = message_class("reli.event.v1.Event")
    events: list[Json] = []
    try:
        async with asyncio.timeout(_WAIT_S):
            messages = await _subscription(client.jetstream(), f"reli.events.{tenant_id}.>")
            while len(events) < at_least or messages.pending_msgs:
                message = await messages.next_msg(timeout=_WAIT_S)
                events.append(_facts(event_class.FromString(message.data), message))
    except TimeoutError:
        raise Unmet(f"events on the stream: expected {at_least}, were {len(events)}") from None
    finally:
        await client.close()
    return events


async def _subscription(stream: Any, subject: str) -> Any:
    while True:
        try:
            return await stream.subscribe(subject, ordered_consumer=True)
        except NotFoundError:  # the relay makes the stream with the first event
            await asyncio.sleep(0.1)


def _facts(event: Any, message: Any) -> Json:
    occurred: datetime = event.occur_time.ToDatetime(tzinfo=message.metadata.timestamp.tzinfo)
    delay = message.metadata.timestamp - occurred
    return {
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "occur_time": occurred.isoformat(timespec="milliseconds"),
        "stored_after_ms": round(delay.total_seconds() * 1000),
    }
