"""Runs trades in tasks of their own, a bounded number at a time."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable
from datetime import timedelta
from functools import partial
from typing import Any

from app.usecase.trade.execute_trade import ExecuteTrade
from domain.errors import DomainError
from domain.ids import TenantId
from domain.trade.errors import StaleLease, TooManyLiveTrades
from domain.trade.trade import Trade
from ports.clock import Clock
from ports.trade import TradeLease, TradeRunner
from ports.unit_of_work import UnitOfWorkFactory

RENEWALS_PER_LEASE = 3
"""A lease outlives two renewals that fail."""

_log = logging.getLogger("reli.trade")


class SupervisedTrades(TradeRunner):
    """Holds on to every running trade until it rests, whoever stops waiting for it.

    The lease of a running trade is renewed for as long as this process lives and is awake; of a
    dead or frozen one it runs out, and a worker takes the trade over.

    One tenant accepts no more trades when its own take half of the places: those of a venue that
    does not answer are long under way, and other tenants are not to wait for that.
    """

    def __init__(
        self,
        execute_trade: ExecuteTrade,
        units_of_work: UnitOfWorkFactory,
        clock: Clock,
        *,
        lease_for: timedelta,
        places: int,
    ) -> None:
        self._execute_trade = execute_trade
        self._units_of_work = units_of_work
        self._clock = clock
        self._lease_for = lease_for
        self._places = places
        self._taken: Counter[TenantId] = Counter()
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def free_places(self) -> int:
        return self._places - self._taken.total()

    def reserve(self, tenant_id: TenantId) -> None:
        if self.free_places <= 0:
            raise TooManyLiveTrades("this server runs as many trades as it may; try again")
        if self._taken[tenant_id] >= max(self._places // 2, 1):
            raise TooManyLiveTrades("this server runs as many of your trades as it may; try again")
        self._taken[tenant_id] += 1

    def give_back(self, tenant_id: TenantId) -> None:
        self._taken[tenant_id] -= 1
        if not self._taken[tenant_id]:
            del self._taken[tenant_id]

    def take_over(self, lease: TradeLease) -> None:
        """Start a trade that was accepted elsewhere, whoever's it is."""
        self._taken[lease.tenant_id] += 1
        self.start(lease)

    def start(self, lease: TradeLease, accepted: Trade | None = None) -> Awaitable[Trade | None]:
        running = self._run(lease, accepted)
        task = asyncio.get_running_loop().create_task(running, name=str(lease.trade_id))
        self._running.add(task)
        task.add_done_callback(partial(self._ended, lease.tenant_id))
        return asyncio.shield(task)

    async def drain(self) -> None:
        """Wait until every running trade rests."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run(self, lease: TradeLease, accepted: Trade | None) -> Trade | None:
        renewing = asyncio.create_task(self._renew(lease))
        try:
            return await self._execute_trade(lease, accepted)
        except DomainError as error:
            # The lease runs out and a worker goes on from what the database knows.
            notes = getattr(error, "__notes__", [])
            told = "; ".join([error.message, *notes])
            _log.warning("%s left to a worker: %s", lease.trade_id, told)
        except Exception:
            _log.exception("%s left to a worker", lease.trade_id)
        finally:
            renewing.cancel()
        return None

    async def _renew(self, lease: TradeLease) -> None:
        is_ours = True
        while is_ours:
            await self._clock.sleep(self._lease_for.total_seconds() / RENEWALS_PER_LEASE)
            # The trade may come to rest meanwhile; a transaction is not to be cut for that.
            is_ours = await asyncio.shield(self._renew_once(lease))

    async def _renew_once(self, lease: TradeLease) -> bool:
        """Return whether the lease is still ours; if not, nothing of ours will be written."""
        try:
            async with self._units_of_work.begin(lease.tenant_id) as uow:
                await uow.trades.renew(lease, lease_for=self._lease_for)
        except StaleLease:
            return False
        except DomainError as error:
            _log.warning("%s: lease not renewed: %s", lease.trade_id, error.message)
        return True

    def _ended(self, tenant_id: TenantId, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self.give_back(tenant_id)
