"""Stamps committed events."""

from dataclasses import dataclass

from ports.bus import Sequencer
from ports.lease import Lease

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class EventSequencer:
    """Needs no bus: readers of the table see events in order while NATS is away."""

    sequencer: Sequencer

    async def __call__(self, lease: Lease) -> bool:
        return await self.sequencer.stamp(lease, limit=BATCH) == BATCH
