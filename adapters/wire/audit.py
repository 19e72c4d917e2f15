"""Audit records, and what is hashed of the things that they are about."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from google.protobuf.message import Message

from adapters.wire.amount import time_message
from adapters.wire.event import dead_letter_message
from adapters.wire.ledger import account_message, entry_message
from adapters.wire.lp_settlement import lp_settlement_message
from adapters.wire.quote import quote_message
from adapters.wire.reconciliation import break_message, statement_message
from adapters.wire.sandbox import deposit_message
from adapters.wire.tenant import (
    api_key_message,
    customer_message,
    request_signing_key_message,
    tenant_message,
)
from adapters.wire.trade import resolution_message, trade_message
from adapters.wire.trading_state import trading_state_change_message
from adapters.wire.webhook import delivery_message, endpoint_message
from domain.audit_record import AuditRecord
from domain.dead_letter import DeadLetter
from domain.ledger.account import Account
from domain.ledger.entry import CommittedEntries, Entry
from domain.liquidity.lp_settlement import LpSettlement
from domain.quote.quote import Quote
from domain.reconciliation.break_ import Break
from domain.reconciliation.statement import Statement
from domain.tenant.api_key import ApiKey
from domain.tenant.customer import Customer
from domain.tenant.request_signing import RequestSigningKey
from domain.tenant.tenant import Tenant
from domain.trade.resolution import Resolution
from domain.trade.trade import Trade
from domain.trading_state import TradingStateChange
from domain.webhook.delivery import Delivery
from domain.webhook.endpoint import Endpoint
from ports.sandbox import Deposit
from reli.audit.v1 import audit_record_pb2
from reli.ledger.v1 import ledger_pb2

_MESSAGE: Final[Mapping[type[Any], Callable[[Any], Message]]] = {
    Account: account_message,
    ApiKey: lambda key: api_key_message(replace(key, last_used_at=None)),
    Break: break_message,
    CommittedEntries: lambda committed: ledger_pb2.CommittedEntries(
        entry_ids=map(str, committed.ids)
    ),
    Customer: customer_message,
    DeadLetter: dead_letter_message,
    Delivery: delivery_message,
    Deposit: deposit_message,
    Endpoint: endpoint_message,
    Entry: lambda entry: entry_message(entry, recorded_at=None),
    LpSettlement: lp_settlement_message,
    Quote: lambda quote: quote_message(quote, now=quote.created_at),
    RequestSigningKey: request_signing_key_message,
    Resolution: resolution_message,
    Statement: statement_message,
    Tenant: tenant_message,
    Trade: trade_message,
    TradingStateChange: trading_state_change_message,
}


def thing_hash(thing: object | None) -> bytes:
    """Return the SHA-256 of a thing as the API tells it, or nothing where there is none."""
    if thing is None:
        return b""
    message = _MESSAGE[type(thing)](thing)
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()


def audit_record_message(record: AuditRecord) -> audit_record_pb2.AuditRecord:
    return audit_record_pb2.AuditRecord(
        id=str(record.id),
        sequence=record.sequence,
        record_time=time_message(record.recorded_at),
        api_key_id=str(record.api_key_id),
        is_operator=record.is_operator,
        method=record.method,
        request_id=record.request_id,
        correlation_id=record.correlation_id,
        subject=record.subject,
        before_sha256=record.before_hash.hex(),
        after_sha256=record.after_hash.hex(),
        refusal_reason=record.refusal_reason,
    )
