"""Reli for Python: a channel that signs and repeats calls, and what checks what Reli says.

The stubs of the services are those of gRPC, in the package `reli`.
"""

from reli_client.channel import connect
from reli_client.events import EventGap, EventStream
from reli_client.receipt import InvalidReceipt, verify_receipt
from reli_client.refusal import Refusal, Retry
from reli_client.signing import Ed25519Signer, HmacSigner, Signer
from reli_client.webhook import CloudEvent, InvalidWebhook, verify_webhook

__all__ = [
    "CloudEvent",
    "Ed25519Signer",
    "EventGap",
    "EventStream",
    "HmacSigner",
    "InvalidReceipt",
    "InvalidWebhook",
    "Refusal",
    "Retry",
    "Signer",
    "connect",
    "verify_receipt",
    "verify_webhook",
]
