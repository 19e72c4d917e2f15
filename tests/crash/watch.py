"""Looks over the shoulder of the trade repository: which states were committed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from adapters.postgres.trade import PostgresTrades
from domain.trade.trade import Trade
from ports.trade import TradeLease
from tests.crash.world import World


class CommittedStates:
    """Notes what a unit of work writes and passes it on when it has committed."""

    def __init__(self) -> None:
        self._written: list[Trade] = []

    def begin(self) -> None:
        self._written = []

    def write(self, trade: Trade) -> None:
        self._written.append(trade)

    def end(self, world: World) -> None:
        for trade in self._written:
            attempt = trade.attempt.state if trade.attempts else "none"
            state = str(trade.state) if trade.is_ended else f"{trade.state}/{attempt}"
            world.states[str(trade.id)] = state
            if trade.attempts:
                world.order_of[str(trade.id)] = trade.attempt.lp, str(trade.attempt.id)
            world.trade_of[str(trade.quote_id)] = str(trade.id)


COMMITTED = CommittedStates()


@contextmanager
def watched_trades() -> Iterator[None]:
    """Note every trade that is stored, as long as the block lasts."""
    add, save = PostgresTrades.add, PostgresTrades.save

    async def noted_add(self: PostgresTrades, trade: Trade, *, lease_for: timedelta) -> TradeLease:
        COMMITTED.write(trade)
        return await add(self, trade, lease_for=lease_for)

    async def noted_save(
        self: PostgresTrades, trade: Trade, lease: TradeLease, *, due_at: datetime | None
    ) -> Trade:
        saved = await save(self, trade, lease, due_at=due_at)
        COMMITTED.write(trade)
        return saved

    PostgresTrades.add = noted_add  # type: ignore[method-assign]
    PostgresTrades.save = noted_save  # type: ignore[method-assign]
    try:
        yield
    finally:
        PostgresTrades.add = add  # type: ignore[method-assign]
        PostgresTrades.save = save  # type: ignore[method-assign]
