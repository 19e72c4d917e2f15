"""Looks over the shoulder of the trade repository: which states were committed."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import adapters.postgres.group_commit as group_commit
import adapters.postgres.trade as trade_adapter
from adapters.postgres.write import Write
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
    new, changed = trade_adapter.new_trades, trade_adapter.changed_trades

    def noted_new(added: Sequence[tuple[Trade, timedelta]]) -> Write:
        for trade, _ in added:
            COMMITTED.write(trade)
        return new(added)

    def noted_changed(saved: Sequence[tuple[Trade, TradeLease, datetime | None]]) -> Write:
        for trade, _, _ in saved:
            COMMITTED.write(trade)
        return changed(saved)

    with ExitStack() as stack:
        for module in (trade_adapter, group_commit):
            stack.enter_context(replaced(module, "new_trades", noted_new))
            stack.enter_context(replaced(module, "changed_trades", noted_changed))
        yield


@contextmanager
def replaced(owner: Any, name: str, by: Any) -> Iterator[None]:
    """Put something else in the place of an attribute, as long as the block lasts."""
    original = getattr(owner, name)
    setattr(owner, name, by)
    try:
        yield
    finally:
        setattr(owner, name, original)
