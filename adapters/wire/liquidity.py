"""Liquidity providers."""

from adapters.wire.amount import time_message
from adapters.wire.enum import enum_messages
from adapters.wire.trading_state import TRADING_STATE_MESSAGE
from domain.liquidity.circuit import CircuitState
from domain.liquidity.lp import Lp
from reli.liquidity.v1 import lp_pb2

_CIRCUIT_STATE = enum_messages(CircuitState, lp_pb2.CircuitState, "CIRCUIT_STATE")


def lp_message(lp: Lp) -> lp_pb2.Lp:
    return lp_pb2.Lp(
        id=str(lp.id),
        name=lp.name,
        trading_state=TRADING_STATE_MESSAGE[lp.trading_state],
        circuit=lp_pb2.Circuit(
            state=_CIRCUIT_STATE[lp.circuit.state],
            change_time=time_message(lp.circuit.since),
            failures_in_a_row=lp.circuit.failures_in_a_row,
            window_calls=lp.circuit.window_calls,
            window_failures=lp.circuit.window_failures,
        ),
        record=lp_pb2.LpRecord(**lp.record._asdict()),
    )
