"""Takes late looks that are due."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from app.usecase.trade.look_late import LookLate
from domain.trade.errors import StaleLease
from ports.late_check import LateCheckQueue

BATCH: Final = 20
LATE_LEASE: Final = timedelta(seconds=15)
"""Longer than any look takes, since it is not renewed; nobody waits for a look in between."""


@dataclass(frozen=True, slots=True)
class LateCheckWorker:
    """Leases what is due and looks at all of it at once: one LP that is slow holds up no other.

    What goes wrong with one look is told once all have ended; its lease runs out and somebody looks
    again.
    """

    queue: LateCheckQueue
    look_late: LookLate

    async def __call__(self) -> bool:
        leases = await self.queue.claim(limit=BATCH, lease_for=LATE_LEASE)
        ends = await asyncio.gather(
            *(self.look_late(lease) for lease in leases), return_exceptions=True
        )
        for end in ends:
            # Whoever holds the lease by now looks instead.
            if end is not None and not isinstance(end, StaleLease):
                raise end
        return len(leases) == BATCH
