"""What may be traded, and who decided it."""

from adapters.wire.amount import time_message
from adapters.wire.enum import enum_messages, enum_values, read_enum
from domain.trading_state import TradedKind, TradingState, TradingStateChange
from reli.type.v1 import trading_state_pb2

TRADING_STATE_MESSAGE = enum_messages(TradingState, trading_state_pb2.TradingState, "TRADING_STATE")
_STATE_OF = enum_values(TradingState, trading_state_pb2.TradingState, "TRADING_STATE")
_KIND = enum_messages(TradedKind, trading_state_pb2.TradedKind, "TRADED_KIND")


def read_trading_state(number: int) -> TradingState:
    return read_enum(_STATE_OF, number, field="trading_state")


def trading_state_change_message(
    change: TradingStateChange,
) -> trading_state_pb2.TradingStateChange:
    return trading_state_pb2.TradingStateChange(
        id=str(change.id),
        kind=_KIND[change.traded.kind],
        name=change.traded.name,
        from_state=TRADING_STATE_MESSAGE[change.from_state],
        to_state=TRADING_STATE_MESSAGE[change.to_state],
        reason=change.reason,
        changed_by=str(change.changed_by),
        change_time=time_message(change.changed_at),
    )
