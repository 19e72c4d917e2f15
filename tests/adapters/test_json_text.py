"""The JSON of a message is what the library prints, byte for byte."""

import json
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.wire.json_text import json_text, time_text
from reli.event.v1 import event_pb2

KINDS = [field.name for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["data"].fields]
"""Of whatever an event may be about."""

SECONDS = st.integers(-62_135_596_800, 253_402_300_799)
NANOS = st.one_of(
    st.just(0),
    st.integers(0, 999).map(lambda ms: ms * 1_000_000),
    st.integers(0, 999_999).map(lambda us: us * 1_000),
    st.integers(0, 999_999_999),
)
TIMES = st.builds(Timestamp, seconds=SECONDS, nanos=NANOS)

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


def messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    """Draw messages in which any field may be set, to whatever it can hold."""
    make = GetMessageClass(descriptor)
    match descriptor.full_name:
        case "google.protobuf.Timestamp":
            return TIMES
        case "google.protobuf.Duration":
            return st.builds(make, seconds=st.integers(0, 10**9), nanos=NANOS)
        case "google.protobuf.Struct":
            return st.dictionaries(st.text(), VALUES, max_size=3).map(a_struct)
    fields = {field.name: values(field) for field in descriptor.fields}
    return st.fixed_dictionaries({}, optional=fields).map(lambda drawn: make(**drawn))


def a_struct(members: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(members)
    return struct


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    return st.lists(single(field), max_size=3) if field.is_repeated else single(field)


def single(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type)
    if field.enum_type is not None:
        known = [value.number for value in field.enum_type.values]
        return st.sampled_from(known) | st.integers(1_000, 2_000)
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return st.text()
        case FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=40)
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_INT32:
            return st.integers(-(2**31), 2**31 - 1)
        case FieldDescriptor.TYPE_INT64:
            return st.integers(-(2**63), 2**63 - 1)
        case other:
            raise AssertionError(f"{field.full_name} is of type {other}")


def as_the_library_prints(message: Message) -> str:
    printed = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps(printed, separators=(",", ":"))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_whatever_an_event_is_about_is_written_as_the_library_prints_it(
    kind: str, data: st.DataObject
) -> None:
    message = data.draw(messages(getattr(event_pb2.Event(), kind).DESCRIPTOR))

    assert json_text(message) == as_the_library_prints(message)


@given(instant=TIMES)
@example(Timestamp(seconds=-62_135_596_800))
@example(Timestamp(seconds=253_402_300_799, nanos=999_999_999))
@example(Timestamp(seconds=-1, nanos=1_000))
def test_a_time_is_written_as_the_library_prints_it(instant: Timestamp) -> None:
    assert time_text(instant) == instant.ToJsonString()
