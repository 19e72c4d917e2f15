"""Receipts, as their content says it."""

import json

from adapters.wire.amount import SIDE_MESSAGE, time_message
from adapters.wire.evidence import read_amount_value, read_instant
from adapters.wire.trade import TRADE_STATE_MESSAGE
from domain.side import Side
from domain.trade.receipt import Receipt
from domain.trade.trade import PublicTradeState
from reli.trade.v1 import receipt_pb2


def receipt_message(receipt: Receipt) -> receipt_pb2.TradeReceipt:
    """Return what the content of a receipt says, and the content."""
    said = json.loads(receipt.content)
    return receipt_pb2.TradeReceipt(
        trade_id=said["trade_id"],
        quote_id=said["quote_id"],
        customer_id=said["customer_id"],
        instrument=said["instrument"],
        side=SIDE_MESSAGE[Side(said["side"])],
        base_amount=read_amount_value(said["base"]),
        quote_amount=read_amount_value(said["quote"]),
        quote_time=read_instant(said["quoted_at"]),
        expire_time=read_instant(said["expires_at"]),
        accept_time=read_instant(said["accepted_at"]),
        end_time=read_instant(said["ended_at"]),
        state=TRADE_STATE_MESSAGE[PublicTradeState(said["state"])],
        rejection_reason=said["rejection_reason"],
        paid_amount=read_amount_value(said["paid"]),
        received_amount=read_amount_value(said["received"]),
        hold_entry_id=said["hold_entry_id"],
        final_entry_id=said["final_entry_id"],
        evidence_digest=bytes.fromhex(said["evidence_digest"]),
        content=receipt.content,
        make_time=time_message(receipt.made_at),
        key_id=receipt.key_id,
        signature=receipt.signature,
    )
