"""Work that one process at a time does, under a lease that it renews."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from ports.clock import Clock
from ports.lease import Lease, LeaseStore

ASK_EVERY_S: Final = 0.1
"""How often those who wait for the lease ask for it, however often they are called."""


class Leased:
    """Calls `work` with a lease while this process holds it, and waits for it otherwise."""

    def __init__(
        self,
        name: str,
        leases: LeaseStore,
        clock: Clock,
        work: Callable[[Lease], Awaitable[bool]],
        *,
        lease_for: timedelta,
    ) -> None:
        self._name = name
        self._leases = leases
        self._clock = clock
        self._work = work
        self._lease_for = lease_for
        self._lease: Lease | None = None
        self._renew_at = 0.0
        self._ask_at = 0.0

    async def __call__(self) -> bool:
        now = self._clock.monotonic()
        if self._lease is not None and now >= self._renew_at:
            kept = await self._leases.renew(self._lease, lease_for=self._lease_for)
            self._lease = self._lease if kept else None
            self._renew_at = now + self._lease_for.total_seconds() / 3
        if self._lease is None and now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_S
            self._lease = await self._leases.acquire(self._name, lease_for=self._lease_for)
            self._renew_at = now + self._lease_for.total_seconds() / 3
        return self._lease is not None and await self._work(self._lease)
