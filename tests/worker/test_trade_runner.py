"""How many trades a process runs at a time, and whose."""

import asyncio
from datetime import timedelta
from typing import cast

import pytest

from adapters.system.clock import SystemClock
from app.usecase.trade.execute_trade import ExecuteTrade
from app.worker.trade_runner import SupervisedTrades
from domain.ids import TenantId, TradeId
from domain.trade.errors import TooManyLiveTrades
from domain.trade.trade import Trade
from ports.trade import TradeLease
from ports.unit_of_work import UnitOfWorkFactory
from tests.support.builders import an_id

PLACES = 10


class Venue:
    """Trades go no further until it answers."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()

    async def execute(self, lease: TradeLease, accepted: Trade | None) -> Trade | None:
        await self.answers.wait()
        return accepted


def a_runner(venue: Venue) -> SupervisedTrades:
    return SupervisedTrades(
        cast(ExecuteTrade, venue.execute),
        cast(UnitOfWorkFactory, None),
        SystemClock(),
        lease_for=timedelta(seconds=30),
        places=PLACES,
    )


def a_lease(tenant_id: TenantId) -> TradeLease:
    return TradeLease(tenant_id=tenant_id, trade_id=an_id(TradeId), token=1)


async def test_a_tenant_whose_venue_is_stuck_leaves_places_to_others() -> None:
    venue, unlucky, other = Venue(), an_id(TenantId), an_id(TenantId)
    runner = a_runner(venue)
    for _ in range(PLACES // 2):
        runner.reserve(unlucky)
        runner.start(a_lease(unlucky))

    with pytest.raises(TooManyLiveTrades, match="of your trades"):
        runner.reserve(unlucky)

    runner.reserve(other)
    runner.start(a_lease(other))
    assert runner.free_places == PLACES // 2 - 1

    venue.answers.set()
    await runner.drain()
    await asyncio.sleep(0)
    assert runner.free_places == PLACES
    runner.reserve(unlucky)


async def test_no_more_trades_are_accepted_than_there_are_places() -> None:
    runner = a_runner(Venue())
    for _ in range(PLACES):
        runner.reserve(an_id(TenantId))

    with pytest.raises(TooManyLiveTrades, match="this server runs as many trades as it may"):
        runner.reserve(an_id(TenantId))


async def test_a_place_that_was_not_used_is_free_again() -> None:
    runner, tenant_id = a_runner(Venue()), an_id(TenantId)
    runner.reserve(tenant_id)

    runner.give_back(tenant_id)

    assert runner.free_places == PLACES


async def test_a_worker_takes_over_trades_whoever_has_accepted_them() -> None:
    venue, tenant_id = Venue(), an_id(TenantId)
    runner = a_runner(venue)

    for _ in range(PLACES):
        runner.take_over(a_lease(tenant_id))

    assert runner.free_places == 0
    venue.answers.set()
    await runner.drain()
