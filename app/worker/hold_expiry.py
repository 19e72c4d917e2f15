"""Releases holds whose time is over."""

import asyncio
from dataclasses import dataclass
from typing import Final

from app.usecase.ledger.expire_hold import ExpireHold
from ports.ledger import ExpiringHold, ExpiringHolds

AT_ONCE: Final = 4
"""One that waits for a busy account keeps few others waiting, and most connections free."""


@dataclass(frozen=True, slots=True)
class HoldExpiry:
    """Several workers may see the same hold; the ledger releases it once.

    Each round comes to every hold that is due, whatever goes wrong with others. The first thing
    that went wrong is told once all were tried; the next round tries again.
    """

    holds: ExpiringHolds
    expire_hold: ExpireHold

    async def __call__(self) -> bool:
        failure: Exception | None = None
        latest: ExpiringHold | None = None
        while due := await self.holds.due(limit=AT_ONCE, after=latest):
            ends = await asyncio.gather(
                *(self.expire_hold(hold.tenant_id, hold.transfer_id) for hold in due),
                return_exceptions=True,
            )
            failures = (end for end in ends if isinstance(end, Exception))
            failure = failure or next(failures, None)
            latest = due[-1]
        if failure is not None:
            raise failure
        return False
