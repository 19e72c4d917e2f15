"""Events, as the outbox keeps them and the bus carries them, and as CloudEvents; dead letters."""

from collections.abc import Mapping
from datetime import datetime
from json.encoder import encode_basestring_ascii
from typing import Any, Final, assert_never, cast
from urllib.parse import quote

from adapters.wire.amount import time_message
from adapters.wire.enum import enum_messages
from adapters.wire.json_text import json_text, time_text
from adapters.wire.ledger import entry_message
from adapters.wire.liquidity import lp_message
from adapters.wire.quote import quote_message
from adapters.wire.reconciliation import break_message
from adapters.wire.sandbox import deposit_message
from adapters.wire.tenant import (
    api_key_message,
    customer_message,
    request_signing_key_message,
    tenant_message,
)
from adapters.wire.trade import trade_message
from adapters.wire.trading_state import trading_state_change_message
from adapters.wire.webhook import endpoint_message
from domain.dead_letter import DeadLetter, DeadLetterState
from domain.event import Event
from domain.ledger.entry import CommittedEntries, Entry
from domain.liquidity.lp import Lp
from domain.quote.quote import Quote
from domain.reconciliation.break_ import Break
from domain.tenant.api_key import ApiKey
from domain.tenant.customer import Customer
from domain.tenant.request_signing import RequestSigningKey
from domain.tenant.tenant import Tenant
from domain.trade.trade import Trade
from domain.trading_state import TradingStateChange
from domain.webhook.endpoint import Endpoint
from ports.bus import StampedEvent
from ports.sandbox import Deposit
from reli.event.v1 import dead_letter_pb2, event_pb2

Subject = (
    Tenant
    | Customer
    | ApiKey
    | RequestSigningKey
    | Quote
    | Trade
    | Entry
    | CommittedEntries
    | Deposit
    | Break
    | DeadLetter
    | Lp
    | TradingStateChange
    | Endpoint
)

CLOUD_EVENT_MEDIA_TYPE: Final = "application/cloudevents+json"
"""Of what `cloud_event_json` returns."""

_URI: Final = "https://reli.dev"
_UNQUOTED: Final = "".join(map(chr, range(0x21, 0x7F))).translate({ord('"'): None, ord("%"): None})

_LETTER_STATE = enum_messages(DeadLetterState, dead_letter_pb2.DeadLetterState, "DEAD_LETTER_STATE")


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
        case RequestSigningKey() as key:
            message.request_signing_key.CopyFrom(request_signing_key_message(key))
        case Quote() as quote:
            message.quote.CopyFrom(quote_message(quote, now=event.occurred_at or quote.created_at))
        case Trade() as trade:
            message.trade.CopyFrom(trade_message(trade))
        case Entry() as entry:
            message.entry.CopyFrom(entry_message(entry, recorded_at=event.occurred_at))
        case CommittedEntries() as committed:
            message.committed_entries.entry_ids.extend(map(str, committed.ids))
            message.committed_entries.correlation_ids.extend(committed.correlation_ids)
        case Deposit() as deposit:
            message.deposit.CopyFrom(deposit_message(deposit))
        case Break() as found:
            message.reconciliation_break.CopyFrom(break_message(found))
        case DeadLetter() as letter:
            message.dead_letter.CopyFrom(dead_letter_message(letter))
        case Lp() as lp:
            message.lp.CopyFrom(lp_message(lp))
        case TradingStateChange() as change:
            message.trading_state_change.CopyFrom(trading_state_change_message(change))
        case Endpoint() as endpoint:
            message.webhook_endpoint.CopyFrom(endpoint_message(endpoint))
        case other:
            assert_never(other)
    return message.SerializeToString()


def stamped(payload: bytes, *, sequence: int, stored_at: datetime) -> bytes:
    """Return the event's bytes with its sequence, and with a time if it came without.

    In protobuf, appending a field sets it.
    """
    has_time = event_pb2.Event.FromString(payload).HasField("occur_time")
    stamp = event_pb2.Event(
        sequence=sequence, occur_time=None if has_time else time_message(stored_at)
    )
    return payload + stamp.SerializeToString()


def event_message(event: StampedEvent) -> event_pb2.Event:
    return event_pb2.Event.FromString(event.payload)


def cloud_event_json(payload: bytes) -> bytes:
    """Return a stamped event's bytes as a CloudEvent 1.0 in the JSON format.

    The same event gives the same bytes, which are ASCII. Its `data` is the thing as it then was, in
    the JSON of the REST face.
    """
    event = event_pb2.Event.FromString(payload)
    members = [
        f'"{name}":{encode_basestring_ascii(value)}' for name, value in _attributes(event).items()
    ]
    thing = event.WhichOneof("data")
    if thing is not None:
        data = getattr(event, thing)
        members += [
            '"datacontenttype":"application/json"',
            f'"dataschema":"{_schema(data)}"',
            f'"data":{json_text(data)}',
        ]
    return f"{{{','.join(members)}}}".encode()


def cloud_event_headers(payload: bytes) -> Mapping[str, str]:
    """Return the headers with which a stamped event's bytes are a CloudEvent in binary mode.

    Its data are the bytes themselves, a `reli.event.v1.Event`.
    """
    event = event_pb2.Event.FromString(payload)
    attributes = {
        **_attributes(event),
        "datacontenttype": "application/protobuf",
        "dataschema": _schema(event),
    }
    return {f"ce-{name}": quote(value, safe=_UNQUOTED) for name, value in attributes.items()}


def _attributes(event: event_pb2.Event) -> Mapping[str, str]:
    """Return what an event has in every form: the attributes of CloudEvents and two extensions.

    A sequence has leading zeros, because that extension wants to be ordered as text.
    """
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": f"{_URI}/tenants/{event.tenant_id}",
        "type": event.type,
        "subject": event.subject,
        "time": time_text(event.occur_time),
        "sequence": f"{event.sequence:019}",
        "correlationid": event.correlation_id,
    }


def _schema(message: Any) -> str:
    return f"{_URI}/schemas/{message.DESCRIPTOR.full_name}"


def dead_letter_message(letter: DeadLetter) -> dead_letter_pb2.DeadLetter:
    return dead_letter_pb2.DeadLetter(
        id=str(letter.id),
        consumer=letter.consumer,
        tenant_id=str(letter.source_tenant_id),
        event_id=str(letter.event_id),
        event_type=letter.event_type,
        subject=letter.subject,
        reason=letter.reason,
        bury_time=time_message(letter.buried_at),
        state=_LETTER_STATE[letter.state],
        replay_requested_by=str(letter.replay_requested_by or ""),
        replay_request_time=time_message(letter.replay_requested_at),
        replay_failures=letter.replay_failures,
        replay_failure=letter.replay_failure,
        replay_time=time_message(letter.replayed_at),
    )
