"""Events, as the bytes that the outbox keeps and the bus carries."""

from typing import assert_never, cast

from adapters.wire.amount import time_message
from adapters.wire.ledger import entry_message
from adapters.wire.quote import quote_message
from adapters.wire.sandbox import deposit_message
from adapters.wire.tenant import api_key_message, customer_message, tenant_message
from adapters.wire.trade import trade_message
from domain.event import Event
from domain.ledger.entry import Entry
from domain.quote.quote import Quote
from domain.tenant.api_key import ApiKey
from domain.tenant.customer import Customer
from domain.tenant.tenant import Tenant
from domain.trade.trade import Trade
from ports.sandbox import Deposit
from reli.event.v1 import event_pb2

Subject = Tenant | Customer | ApiKey | Quote | Trade | Entry | Deposit


def event_bytes(event: Event) -> bytes:
    """Return the event as protobuf."""
    message = event_pb2.Event(
        id=str(event.id),
        tenant_id=str(event.tenant_id),
        type=event.type,
        subject=str(event.subject),
        occur_time=time_message(event.occurred_at),
        correlation_id=event.correlation_id,
    )
    match cast(Subject, event.data):
        case Tenant() as tenant:
            message.tenant.CopyFrom(tenant_message(tenant))
        case Customer() as customer:
            message.customer.CopyFrom(customer_message(customer))
        case ApiKey() as api_key:
            message.api_key.CopyFrom(api_key_message(api_key))
        case Quote() as quote:
            message.quote.CopyFrom(quote_message(quote, now=event.occurred_at))
        case Trade() as trade:
            message.trade.CopyFrom(trade_message(trade))
        case Entry() as entry:
            message.entry.CopyFrom(entry_message(entry, recorded_at=event.occurred_at))
        case Deposit() as deposit:
            message.deposit.CopyFrom(deposit_message(deposit))
        case other:
            assert_never(other)
    return message.SerializeToString()


def with_sequence(payload: bytes, sequence: int) -> bytes:
    """Return the event's bytes with its sequence: in protobuf, appending a field sets it."""
    return payload + event_pb2.Event(sequence=sequence).SerializeToString()
