"""Takes late looks that are due."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from app.usecase.trade.look_late import LookLate
from domain.errors import DomainError
from ports.late_check import LateCheckLease, LateCheckQueue

BATCH: Final = 20
LATE_LEASE: Final = timedelta(seconds=15)
"""Longer than any look takes, since it is not renewed; nobody waits for a look in between."""

_log = logging.getLogger("reli.late")


@dataclass(frozen=True, slots=True)
class LateCheckWorker:
    """Leases what is due and looks at all of it at once: one LP that is slow holds up no other."""

    queue: LateCheckQueue
    look_late: LookLate

    async def __call__(self) -> bool:
        leases = await self.queue.claim(limit=BATCH, lease_for=LATE_LEASE)
        await asyncio.gather(*(self._look(lease) for lease in leases))
        return len(leases) == BATCH

    async def _look(self, lease: LateCheckLease) -> None:
        try:
            await self.look_late(lease)
        except DomainError as error:
            # The lease runs out and somebody looks again.
            _log.warning("late look at %s: %s", lease.trade_id, error.message)
        except Exception:
            _log.exception("late look at %s failed", lease.trade_id)
