"""An event as a CloudEvent: nothing is lost on the way, and the same event has the same bytes."""

import json
import re
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

import pytest
from google.protobuf.json_format import ParseDict

from adapters.wire.event import cloud_event_headers, cloud_event_json, event_bytes, stamped
from domain.ids import TenantId
from reli.event.v1 import event_pb2
from tests.support.builders import NOW, a_trade, an_event_of, an_id

CONTEXT: Final = {
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "sequence",
    "correlationid",
    "datacontenttype",
    "dataschema",
}


def an_event(sequence: int = 42, correlation_id: str = "req-1") -> bytes:
    """Return the stamped bytes of a trade's acceptance."""
    trade = a_trade()
    event = an_event_of(
        trade,
        "trade.accepted",
        tenant_id=an_id(TenantId),
        correlation_id=correlation_id,
        occurred_at=datetime(2026, 3, 2, 9, 30, 0, 123456, tzinfo=UTC),
    )
    return stamped(event_bytes(event), sequence=sequence, stored_at=NOW)


def event_of(cloud_event: dict[str, Any]) -> event_pb2.Event:
    """Make the event again of nothing but its CloudEvent."""
    schema = cloud_event["dataschema"].rpartition("/")[2]
    (field,) = (
        field.name
        for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["data"].fields
        if field.message_type is not None and field.message_type.full_name == schema
    )
    event = event_pb2.Event(
        id=cloud_event["id"],
        tenant_id=cloud_event["source"].rpartition("/")[2],
        type=cloud_event["type"],
        subject=cloud_event["subject"],
        correlation_id=cloud_event["correlationid"],
        sequence=int(cloud_event["sequence"]),
    )
    event.occur_time.FromJsonString(cloud_event["time"])
    ParseDict(cloud_event["data"], getattr(event, field))
    return event


def test_the_json_holds_the_whole_event_and_nothing_else() -> None:
    payload = an_event()

    cloud_event = json.loads(cloud_event_json(payload))

    assert cloud_event.keys() == CONTEXT | {"data"}
    assert event_of(cloud_event) == event_pb2.Event.FromString(payload)


def test_its_attributes_are_what_the_specification_wants() -> None:
    cloud_event = json.loads(cloud_event_json(an_event()))

    assert cloud_event["specversion"] == "1.0"
    assert cloud_event["source"].startswith("https://reli.dev/tenants/tenant_")
    assert cloud_event["time"] == "2026-03-02T09:30:00.123456Z"
    assert cloud_event["datacontenttype"] == "application/json"
    assert cloud_event["dataschema"] == "https://reli.dev/schemas/reli.trade.v1.Trade"
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in cloud_event)


@pytest.mark.parametrize(("lower", "higher"), [(9, 10), (99, 1_000), (1, 2**63 - 1)])
def test_its_sequence_is_ordered_as_text(lower: int, higher: int) -> None:
    first, second = (json.loads(cloud_event_json(an_event(n))) for n in (lower, higher))

    assert first["sequence"] < second["sequence"]
    assert int(second["sequence"]) == higher


def test_the_same_event_has_the_same_bytes_of_ascii() -> None:
    payload = an_event(correlation_id="Jumapili")

    assert cloud_event_json(payload) == cloud_event_json(payload)
    assert cloud_event_json(payload).isascii()


def test_no_field_of_the_thing_is_left_out_because_it_is_empty() -> None:
    data = json.loads(cloud_event_json(an_event()))["data"]

    assert data["attempts"] == []


def test_the_headers_say_the_same_and_are_safe_to_send() -> None:
    payload = an_event(correlation_id='a "b" 100%')
    cloud_event = json.loads(cloud_event_json(payload))

    headers = cloud_event_headers(payload)

    assert headers.keys() == {f"ce-{name}" for name in CONTEXT}
    assert all(re.fullmatch("[!-~]*", value) for value in headers.values())
    assert '"' not in headers["ce-correlationid"]
    for name in CONTEXT - {"datacontenttype", "dataschema"}:
        assert unquote(headers[f"ce-{name}"]) == cloud_event[name]
    assert headers["ce-datacontenttype"] == "application/protobuf"
    assert headers["ce-dataschema"] == "https://reli.dev/schemas/reli.event.v1.Event"
