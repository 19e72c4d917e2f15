"""Carries stamped events from the outbox to the bus."""

from dataclasses import dataclass

from ports.bus import Bus, OutboxReader
from ports.lease import Lease

BATCH = 100


@dataclass(frozen=True, slots=True)
class OutboxRelay:
    """At least once: an event is marked after the bus has stored it."""

    outbox: OutboxReader
    bus: Bus

    async def __call__(self, lease: Lease) -> bool:
        return await self.outbox.relay(lease, self.bus, limit=BATCH) == BATCH
