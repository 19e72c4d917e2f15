"""A receipt: what a trade that ended came to, in a text that is signed and never changes.

A rejected trade has one too: it proves that nothing was paid, that the hold was released, and, by
the evidence that it names, that nobody who executed was passed over.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from domain.canonical import canonical_json, instant_text
from domain.ids import TradeId
from domain.trade.evidence import Ask, amount_value
from domain.trade.trade import Trade, TradeState

TYPE: Final = "reli.receipt.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt as it is kept.

    Attributes:
        content: canonical JSON (RFC 8785); the bytes that are signed.
        evidence: the evidence of the trade, whose SHA-256 the content names.
        key_id: the thumbprint (RFC 7638) of the key that signed, as the content names it.
        signature: Ed25519 (RFC 8032, pure) over the content.
    """

    trade_id: TradeId
    content: bytes
    evidence: bytes
    key_id: str
    signature: bytes
    made_at: datetime


def receipt_content(trade: Trade, ask: Ask, *, evidence: bytes, key_id: str) -> bytes:
    """Return what the receipt of a trade that ended says, to be signed with the key it names."""
    assert trade.ended_at is not None
    is_settled = trade.state is TradeState.SETTLED
    ids = trade.ledger_ids
    return canonical_json(
        {
            "type": TYPE,
            "key_id": key_id,
            "tenant_id": str(trade.tenant_id),
            "trade_id": str(trade.id),
            "quote_id": str(trade.quote_id),
            "customer_id": str(trade.party.customer_id or ""),
            "instrument": trade.instrument.code,
            "side": trade.side,
            "base": amount_value(trade.base_amount),
            "quote": amount_value(trade.quote_amount),
            "quoted_at": instant_text(ask.answered_at),
            "expires_at": instant_text(ask.expires_at),
            "accepted_at": instant_text(trade.accepted_at),
            "ended_at": instant_text(trade.ended_at),
            "state": trade.public_state,
            "rejection_reason": trade.rejection_reason,
            "paid": amount_value(trade.gives) if is_settled else None,
            "received": amount_value(trade.receives) if is_settled else None,
            "hold_entry_id": str(ids.hold_entry),
            "final_entry_id": str(ids.settlement_entry if is_settled else ids.release_entry),
            "evidence_digest": sha256(evidence).hexdigest(),
        }
    )
