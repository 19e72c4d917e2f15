"""Ends deliveries that were tried for long enough, and forgets those kept for long enough."""

from dataclasses import dataclass
from typing import Final

from domain.webhook.delivery import KEPT_FOR
from ports.lease import Lease
from ports.webhook import WebhookLog

BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class WebhookKeeper:
    """A little at a time: nobody waits for it, and nobody is to wait because of it."""

    log: WebhookLog

    async def __call__(self, lease: Lease) -> bool:
        buried = await self.log.bury_expired(lease, limit=BATCH)
        forgotten = await self.log.forget(lease, kept_for=KEPT_FOR, limit=BATCH)
        return BATCH in (buried, forgotten)
