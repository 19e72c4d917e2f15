"""Runs trades in tasks of their own, a bounded number at a time."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from app.usecase.trade.execute_trade import ExecuteTrade
from domain.errors import DomainError
from domain.trade.errors import TooManyLiveTrades
from domain.trade.trade import Trade
from ports.trade import TradeLease, TradeRunner

_log = logging.getLogger("reli.trade")


class SupervisedTrades(TradeRunner):
    """Holds on to every running trade until it rests, whoever stops waiting for it."""

    def __init__(self, execute_trade: ExecuteTrade, *, places: int) -> None:
        self._execute_trade = execute_trade
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

    def start(self, lease: TradeLease) -> Awaitable[Trade | None]:
        task = asyncio.get_running_loop().create_task(self._run(lease), name=str(lease.trade_id))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return asyncio.shield(task)

    async def drain(self) -> None:
        """Wait until every running trade rests."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run(self, lease: TradeLease) -> Trade | None:
        try:
            return await self._execute_trade(lease)
        except DomainError as error:
            # The lease runs out and a worker goes on from what the database knows.
            _log.warning("%s left to a worker: %s", lease.trade_id, error.message)
        except Exception:
            _log.exception("%s left to a worker", lease.trade_id)
        return None

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._taken -= 1
