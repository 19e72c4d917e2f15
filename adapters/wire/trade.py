"""Trades."""

from functools import partial
from typing import Final

from adapters.wire.amount import (
    SIDE_MESSAGE,
    amount_message,
    price_message,
    time_message,
    waterfall_message,
)
from adapters.wire.enum import enum_messages, enum_values, read_enum
from adapters.wire.told import Told
from domain.trade.attempt import Attempt, AttemptState
from domain.trade.resolution import Resolution, ResolutionVerdict
from domain.trade.trade import PublicTradeState, Trade, TradeState
from reli.trade.v1 import trade_pb2

TRADE_STATE_MESSAGE = enum_messages(PublicTradeState, trade_pb2.TradeState, "TRADE_STATE")
_VERDICT = enum_messages(ResolutionVerdict, trade_pb2.ResolutionVerdict, "RESOLUTION_VERDICT")
_READ_VERDICT = enum_values(ResolutionVerdict, trade_pb2.ResolutionVerdict, "RESOLUTION_VERDICT")
ATTEMPT_STATE_MESSAGE = enum_messages(AttemptState, trade_pb2.AttemptState, "ATTEMPT_STATE")


_told: Final[Told[trade_pb2.Trade]] = Told()


def trade_message(trade: Trade) -> trade_pb2.Trade:
    """Return the trade, in a message that others may be given too."""
    return _told.message(trade, partial(_trade_message, trade))


def _trade_message(trade: Trade) -> trade_pb2.Trade:
    is_settled = trade.state is TradeState.SETTLED
    return trade_pb2.Trade(
        id=str(trade.id),
        quote_id=str(trade.quote_id),
        customer_id=str(trade.party.customer_id or ""),
        side=SIDE_MESSAGE[trade.side],
        instrument=trade.instrument.code,
        base_amount=amount_message(trade.base_amount),
        quote_amount=amount_message(trade.quote_amount),
        price=price_message(trade.price),
        waterfall=waterfall_message(trade.waterfall),
        state=TRADE_STATE_MESSAGE[trade.public_state],
        attempts=[_attempt_message(attempt) for attempt in trade.attempts],
        rejection_reason=trade.rejection_reason,
        accept_time=time_message(trade.accepted_at),
        end_time=time_message(trade.ended_at),
        unknown_since_time=time_message(trade.unknown_since),
        resolve_by_time=time_message(trade.resolve_by),
        settlement_entry_id=str(trade.ledger_ids.settlement_entry) if is_settled else "",
    )


def _attempt_message(attempt: Attempt) -> trade_pb2.Attempt:
    filled = attempt.filled_amount
    return trade_pb2.Attempt(
        id=str(attempt.id),
        lp=attempt.lp,
        state=ATTEMPT_STATE_MESSAGE[attempt.state],
        lp_amount=amount_message(attempt.lp_amount) if attempt.lp_amount else None,
        filled_amount=amount_message(filled) if filled else None,
        venue_order_id=attempt.venue_order_id,
        reason=attempt.reason,
        send_time=time_message(attempt.sent_at),
        next_check_time=time_message(attempt.next_check_at),
    )


def resolution_message(resolution: Resolution) -> trade_pb2.Resolution:
    filled = resolution.filled_amount
    return trade_pb2.Resolution(
        id=str(resolution.id),
        trade_id=str(resolution.trade_id),
        verdict=_VERDICT[resolution.verdict],
        venue_order_id=resolution.venue_order_id,
        filled_amount=amount_message(filled) if filled else None,
        evidence=resolution.evidence,
        proposed_by=str(resolution.proposed_by),
        propose_time=time_message(resolution.proposed_at),
        approved_by=str(resolution.approved_by or ""),
        approve_time=time_message(resolution.approved_at),
    )


def read_verdict(number: int) -> ResolutionVerdict:
    return read_enum(_READ_VERDICT, number, field="verdict")
