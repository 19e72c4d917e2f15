"""Releases holds whose time is over."""

from dataclasses import dataclass

from app.usecase.ledger.expire_hold import ExpireHold
from ports.ledger import ExpiringHolds

BATCH = 50


@dataclass(frozen=True, slots=True)
class HoldExpiry:
    """Several workers may see the same hold; the ledger releases it once."""

    holds: ExpiringHolds
    expire_hold: ExpireHold

    async def __call__(self) -> bool:
        due = await self.holds.due(limit=BATCH)
        for tenant_id, transfer_id in due:
            await self.expire_hold(tenant_id, transfer_id)
        return len(due) == BATCH
