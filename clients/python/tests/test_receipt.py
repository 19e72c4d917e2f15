"""Receipts: what is not exactly what was signed does not hold."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reli.ledger.v1.checkpoint_pb2 import JsonWebKey
from reli.trade.v1.receipt_pb2 import TradeReceipt
from reli.trade.v1.trade_pb2 import TRADE_STATE_REJECTED, TRADE_STATE_SETTLED
from reli.type.v1.amount_pb2 import Amount
from reli.type.v1.side_pb2 import SIDE_BUY
from reli_client import InvalidReceipt, verify_receipt

# The key of the example in docs/books.md.
KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
JWK: Final = JsonWebKey(
    kty="OKP",
    crv="Ed25519",
    x="A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
    kid="1IG2tMH7J2wbJZnOf8LJzQitKf7LMvoAElsuDMVM54Y",
    use="sig",
    alg="EdDSA",
)
EVIDENCE: Final = b'{"type":"reli.evidence.v1"}'
CONTENT: Final = {
    "type": "reli.receipt.v1",
    "key_id": JWK.kid,
    "tenant_id": "tenant_1",
    "trade_id": "trade_1",
    "quote_id": "quote_1",
    "customer_id": "customer_1",
    "instrument": "BTC-NGN",
    "side": "buy",
    "base": {"asset": "BTC", "value": "0.01000000"},
    "quote": {"asset": "NGN", "value": "1503000.00"},
    "quoted_at": "2026-03-02T09:30:00.000000Z",
    "expires_at": "2026-03-02T09:30:10.000000Z",
    "accepted_at": "2026-03-02T09:30:01.500000Z",
    "ended_at": "2026-03-02T09:30:01.700005Z",
    "state": "settled",
    "rejection_reason": "",
    "paid": {"asset": "NGN", "value": "1503000.00"},
    "received": {"asset": "BTC", "value": "0.01000000"},
    "hold_entry_id": "entry_1",
    "final_entry_id": "entry_2",
    "evidence_digest": hashlib.sha256(EVIDENCE).hexdigest(),
}


def a_receipt(**said: Any) -> TradeReceipt:
    """A receipt whose content says that, signed; its fields are always the same."""
    content = json.dumps(CONTENT | said, separators=(",", ":"), sort_keys=True).encode()
    receipt = TradeReceipt(
        trade_id="trade_1",
        quote_id="quote_1",
        customer_id="customer_1",
        instrument="BTC-NGN",
        side=SIDE_BUY,
        base_amount=Amount(asset="BTC", value="0.01000000"),
        quote_amount=Amount(asset="NGN", value="1503000.00"),
        state=TRADE_STATE_SETTLED,
        paid_amount=Amount(asset="NGN", value="1503000.00"),
        received_amount=Amount(asset="BTC", value="0.01000000"),
        hold_entry_id="entry_1",
        final_entry_id="entry_2",
        evidence_digest=hashlib.sha256(EVIDENCE).digest(),
        content=content,
        key_id=JWK.kid,
        signature=KEY.sign(content),
    )
    receipt.quote_time.FromJsonString("2026-03-02T09:30:00Z")
    receipt.expire_time.FromJsonString("2026-03-02T09:30:10Z")
    receipt.accept_time.FromJsonString("2026-03-02T09:30:01.5Z")
    receipt.end_time.FromJsonString("2026-03-02T09:30:01.700005Z")
    return receipt


def test_a_receipt_holds_with_its_evidence_and_without() -> None:
    verify_receipt(a_receipt(), [JWK])
    verify_receipt(a_receipt(), [JsonWebKey(kty="RSA", kid=JWK.kid), JWK], EVIDENCE)


def test_a_receipt_of_a_rejected_trade_holds() -> None:
    receipt = a_receipt(state="rejected", rejection_reason="LP_REJECTED", paid=None, received=None)
    receipt.state = TRADE_STATE_REJECTED
    receipt.rejection_reason = "LP_REJECTED"
    receipt.ClearField("paid_amount")
    receipt.ClearField("received_amount")

    verify_receipt(receipt, [JWK])


CHANGES: Final[list[Callable[[TradeReceipt], object]]] = [
    lambda receipt: setattr(receipt, "trade_id", "trade_2"),
    lambda receipt: setattr(receipt, "quote_id", ""),
    lambda receipt: setattr(receipt, "customer_id", "customer_2"),
    lambda receipt: setattr(receipt, "instrument", "ETH-NGN"),
    lambda receipt: setattr(receipt, "side", 2),
    lambda receipt: setattr(receipt, "side", 77),
    lambda receipt: setattr(receipt, "state", TRADE_STATE_REJECTED),
    lambda receipt: setattr(receipt, "rejection_reason", "NONE"),
    lambda receipt: setattr(receipt.base_amount, "value", "0.02000000"),
    lambda receipt: setattr(receipt.quote_amount, "asset", "KES"),
    lambda receipt: setattr(receipt.quote_time, "seconds", 1),
    lambda receipt: setattr(receipt.expire_time, "seconds", -(10**15)),
    lambda receipt: setattr(receipt.accept_time, "nanos", 500_000_001),
    lambda receipt: setattr(receipt.end_time, "nanos", 0),
    lambda receipt: receipt.ClearField("paid_amount"),
    lambda receipt: setattr(receipt.received_amount, "value", "0.01"),
    lambda receipt: setattr(receipt, "hold_entry_id", "entry_2"),
    lambda receipt: setattr(receipt, "final_entry_id", "entry_1"),
    lambda receipt: setattr(receipt, "evidence_digest", bytes(32)),
    lambda receipt: setattr(receipt, "key_id", "other"),
    lambda receipt: setattr(receipt, "content", receipt.content + b" "),
    lambda receipt: setattr(receipt, "signature", bytes(64)),
    lambda receipt: setattr(receipt, "signature", b""),
]


@pytest.mark.parametrize("change", CHANGES)
def test_no_field_can_be_changed(change: Callable[[TradeReceipt], object]) -> None:
    receipt = a_receipt()
    change(receipt)

    with pytest.raises(InvalidReceipt):
        verify_receipt(receipt, [JWK])


def test_every_field_but_the_time_of_making_is_tried_above() -> None:
    tried = set()
    for change in CHANGES:
        receipt = a_receipt()
        change(receipt)
        kept = a_receipt()
        tried |= {
            field.name
            for field in TradeReceipt.DESCRIPTOR.fields
            if getattr(kept, field.name) != getattr(receipt, field.name)
        }

    assert {field.name for field in TradeReceipt.DESCRIPTOR.fields} - tried == {"make_time"}


def test_something_else_that_the_platform_signed_is_no_receipt() -> None:
    with pytest.raises(InvalidReceipt, match="no receipt"):
        verify_receipt(a_receipt(type="reli.daily_close.v1"), [JWK])


def test_the_content_names_the_key_that_signed() -> None:
    with pytest.raises(InvalidReceipt, match="key_id"):
        verify_receipt(a_receipt(key_id="another"), [JWK])


def test_a_key_is_known_by_its_thumbprint_and_not_by_its_name() -> None:
    raw = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    forged = JsonWebKey(kty="OKP", crv="Ed25519", kid=JWK.kid)
    forged.x = base64.urlsafe_b64encode(raw).decode().rstrip("=")

    with pytest.raises(InvalidReceipt, match="no key of the platform"):
        verify_receipt(a_receipt(), [forged])


def test_other_evidence_is_refused() -> None:
    with pytest.raises(InvalidReceipt, match="other evidence"):
        verify_receipt(a_receipt(), [JWK], EVIDENCE + b" ")
