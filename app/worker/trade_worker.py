"""Takes over trades that are due: outcomes still unknown, and trades whose process died."""

from dataclasses import dataclass
from datetime import timedelta

from app.worker.trade_runner import SupervisedTrades
from ports.trade import TradeQueue

BATCH = 50


@dataclass(frozen=True, slots=True)
class TradeWorker:
    """Leases what is due and starts it; running trades do not hold up the next look."""

    queue: TradeQueue
    runner: SupervisedTrades
    lease_for: timedelta

    async def __call__(self) -> bool:
        limit = min(BATCH, self.runner.free_places)
        if limit <= 0:
            return False
        leases = await self.queue.claim(limit=limit, lease_for=self.lease_for)
        for lease in leases:
            self.runner.take_over(lease)
        return len(leases) == limit
