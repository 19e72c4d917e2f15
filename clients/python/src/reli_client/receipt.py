"""Receipts of trades: checked against the platform's public keys, and against the evidence."""

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.timestamp_pb2 import Timestamp

from reli.ledger.v1.checkpoint_pb2 import JsonWebKey
from reli.trade.v1.receipt_pb2 import TradeReceipt
from reli.trade.v1.trade_pb2 import TradeState
from reli.type.v1.amount_pb2 import Amount
from reli.type.v1.side_pb2 import Side

TYPE: Final = "reli.receipt.v1"


class InvalidReceipt(ValueError):
    """A receipt that does not hold; the message says what of it."""


def verify_receipt(
    receipt: TradeReceipt, keys: Iterable[JsonWebKey], evidence: bytes | None = None
) -> None:
    """Return if the receipt is what the platform signed, or raise `InvalidReceipt`.

    Args:
        keys: those that SigningKeyService.GetSigningKeys answers, got apart from the receipt.
        evidence: the `content` that GetTradeEvidence answers, if the receipt is to name it.
    """
    key = _key(receipt.key_id, keys)
    try:
        key.verify(receipt.signature, receipt.content)
    except InvalidSignature as error:
        raise InvalidReceipt("the signature is not over the content") from error
    said = json.loads(receipt.content)
    if said.get("type") != TYPE:
        raise InvalidReceipt("what is signed is no receipt")
    try:
        fields = _content(receipt)
    except (ValueError, OverflowError) as error:
        raise InvalidReceipt(f"a field is out of range: {error}") from error
    for name, value in fields.items():
        if said.get(name) != value:
            raise InvalidReceipt(f"{name} is not as it was signed")
    if evidence is not None and hashlib.sha256(evidence).digest() != receipt.evidence_digest:
        raise InvalidReceipt("the receipt names other evidence")


def _key(key_id: str, keys: Iterable[JsonWebKey]) -> Ed25519PublicKey:
    for key in keys:
        if (key.kty, key.crv) == ("OKP", "Ed25519") and _thumbprint(key) == key_id:
            return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key.x + "="))
    raise InvalidReceipt(f"no key of the platform is {key_id!r}")


def _thumbprint(key: JsonWebKey) -> str:
    """The name of a key by RFC 7638, which nobody can give to another key."""
    members = {"crv": key.crv, "kty": key.kty, "x": key.x}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _content(receipt: TradeReceipt) -> dict[str, Any]:
    """What the content must say for the receipt's fields to be true."""
    is_paid, is_received = receipt.HasField("paid_amount"), receipt.HasField("received_amount")
    return {
        "accepted_at": _instant(receipt.accept_time),
        "base": _amount(receipt.base_amount),
        "customer_id": receipt.customer_id,
        "ended_at": _instant(receipt.end_time),
        "evidence_digest": receipt.evidence_digest.hex(),
        "expires_at": _instant(receipt.expire_time),
        "final_entry_id": receipt.final_entry_id,
        "hold_entry_id": receipt.hold_entry_id,
        "instrument": receipt.instrument,
        "key_id": receipt.key_id,
        "paid": _amount(receipt.paid_amount) if is_paid else None,
        "quote": _amount(receipt.quote_amount),
        "quote_id": receipt.quote_id,
        "quoted_at": _instant(receipt.quote_time),
        "received": _amount(receipt.received_amount) if is_received else None,
        "rejection_reason": receipt.rejection_reason,
        "side": Side.Name(receipt.side).removeprefix("SIDE_").lower(),
        "state": TradeState.Name(receipt.state).removeprefix("TRADE_STATE_").lower(),
        "trade_id": receipt.trade_id,
    }


def _amount(amount: Amount) -> dict[str, str]:
    return {"asset": amount.asset, "value": amount.value}


def _instant(time: Timestamp) -> str:
    # Six digits of a second as in the content; nine where somebody changed the last three.
    fraction = f"{time.nanos:09d}".removesuffix("000")
    return f"{time.ToDatetime():%Y-%m-%dT%H:%M:%S}.{fraction}Z"
