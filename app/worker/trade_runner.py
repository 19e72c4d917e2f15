"""Runs trades in tasks of their own, a bounded number at a time."""

import asyncio
import logging
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from app.usecase.trade.execute_trade import ExecuteTrade
from domain.errors import DomainError
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
        self._taken = 0
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def free_places(self) -> int:
        return self._places - self._taken

    def reserve(self) -> None:
        if self._taken >= self._places:
            raise TooManyLiveTrades("this server runs as many trades as it may; try again")
        self._taken += 1

    def give_back(self) -> None:
        self._taken -= 1

    def start(self, lease: TradeLease, accepted: Trade | None = None) -> Awaitable[Trade | None]:
        running = self._run(lease, accepted)
        task = asyncio.get_running_loop().create_task(running, name=str(lease.trade_id))
        self._running.add(task)
        task.add_done_callback(self._ended)
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
            _log.warning("%s left to a worker: %s", lease.trade_id, error.message)
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

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._taken -= 1
