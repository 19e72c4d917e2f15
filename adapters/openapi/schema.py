"""Messages as JSON Schema, in the JSON that Envoy makes of them and takes for them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Proto

from adapters.openapi.contract import Contract, Enum, Field
from adapters.openapi.limits import (
    DECIMAL,
    examples,
    list_limits,
    number_limits,
    text_limits,
)

Schema = dict[str, Any]

STATUS: Final = "Status"
"""The component of google.rpc.Status."""

_INTEGERS: Final[Mapping[int, str]] = {
    Proto.TYPE_INT32: "int32",
    Proto.TYPE_SINT32: "int32",
    Proto.TYPE_SFIXED32: "int32",
    Proto.TYPE_UINT32: "uint32",
    Proto.TYPE_FIXED32: "uint32",
}
_LONG_INTEGERS: Final[Mapping[int, str]] = {
    Proto.TYPE_INT64: "int64",
    Proto.TYPE_SINT64: "int64",
    Proto.TYPE_SFIXED64: "int64",
    Proto.TYPE_UINT64: "uint64",
    Proto.TYPE_FIXED64: "uint64",
}

_AMOUNT_VALUE: Final = ("reli.type.v1.Amount", "value")

_WELL_KNOWN: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": {
        "type": "string",
        "format": "date-time",
        "examples": ["2026-03-02T09:30:00Z"],
    },
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        "examples": ["10s"],
    },
    "google.protobuf.Any": {
        "type": "object",
        "required": ["@type"],
        "properties": {"@type": {"type": "string"}},
    },
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.rpc.Status": {"$ref": f"#/components/schemas/{STATUS}"},
}


class Schemas:
    """Makes the schemas that a document refers to, and remembers them as its components.

    What an answer always has, a request may leave out; a message that differs for it has a schema
    for each direction, the one of requests with `Input` behind its name.
    """

    def __init__(self, contract: Contract) -> None:
        self.components: dict[str, Schema] = {}
        self._contract = contract
        self._short = _short_names([*contract.messages, *contract.enums])

    def of_answer(self, message: str) -> Schema:
        """Return a reference to what an answer is like."""
        return self._message_ref(message, is_input=False)

    def of_body(self, message: str, *, without: Iterable[str]) -> Schema:
        """Return a reference to what a request's body is like, fields of its path left out."""
        fields = [f for f in self._contract.messages[message].fields if f.name not in without]
        return self._component(self._short[message], message, fields, is_input=True)

    def parameters(self, message: str, *, without: Iterable[str]) -> Iterator[tuple[Field, Schema]]:
        """Yield what a query can say: fields by their dotted path, each with its schema."""
        for field in self._contract.messages[message].fields:
            if field.name not in without:
                yield from self._parameters(message, field, "")

    def of_path(self, message: str, name: str) -> tuple[Field, Schema]:
        """Return the field that stands in a path, and its schema."""
        field = next(f for f in self._contract.messages[message].fields if f.name == name)
        return field, self._single(message, field, is_input=True, is_required=True)

    def _parameters(
        self, message: str, field: Field, prefix: str
    ) -> Iterator[tuple[Field, Schema]]:
        path = prefix + field.name
        if field.type == Proto.TYPE_MESSAGE and field.type_name not in _WELL_KNOWN:
            for inner in self._contract.messages[field.type_name].fields:
                yield from self._parameters(field.type_name, inner, f"{path}.")
            return
        schema = self._property(message, field, is_input=True)
        schema.pop("description", None)
        # What is required of a message is so only where the message is given.
        yield replace(field, name=path, is_required=field.is_required and not prefix), schema

    def _message_ref(self, message: str, *, is_input: bool) -> Schema:
        if message in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message])
        name = self._short[message]
        if is_input and self._differs(message):
            name += "Input"
        fields = self._contract.messages[message].fields
        return self._component(name, message, fields, is_input=is_input)

    def _component(
        self, name: str, message: str, fields: Sequence[Field], *, is_input: bool
    ) -> Schema:
        """Return a reference to the message's schema, which is made where there is none yet."""
        if name not in self.components:
            # Known before it is made, should the message hold itself.
            self.components[name] = {}
            self.components[name] |= self._object(message, fields, is_input=is_input)
        return _ref(name)

    def _differs(self, message: str, seen: frozenset[str] = frozenset()) -> bool:
        """Say whether a message is another one in requests than in answers."""
        for field in self._contract.messages[message].fields:
            if field.is_required != _is_always_told(field):
                return True
            inner = field.type_name
            is_ours = field.type == Proto.TYPE_MESSAGE and inner not in {*_WELL_KNOWN, *seen}
            if is_ours and self._differs(inner, seen | {message}):
                return True
        return False

    def _object(self, message: str, fields: Sequence[Field], *, is_input: bool) -> Schema:
        required = [f.name for f in fields if (f.is_required if is_input else _is_always_told(f))]
        schema: Schema = {
            "type": "object",
            "description": self._contract.messages[message].comment,
            "properties": {f.name: self._property(message, f, is_input=is_input) for f in fields},
        }
        if required:
            schema["required"] = required
        if is_input:
            schema["additionalProperties"] = False
        groups = _alternatives(fields)
        if groups:
            schema["dependentSchemas"] = dict(rule for one in groups for rule in _exclusions(one))
        if is_input and groups:  # while an answer may tell what there is no field for yet
            first, *others = map(_at_least_one, groups)
            schema |= first if not others else {"allOf": [first, *others]}
        return schema

    def _property(self, message: str, field: Field, *, is_input: bool) -> Schema:
        inner = self._contract.messages.get(field.type_name)
        if inner is not None and inner.is_map_entry:
            value = next(f for f in inner.fields if f.name == "value")
            schema: Schema = {
                "type": "object",
                "additionalProperties": self._single(inner.name, value, is_input=is_input),
            }
        elif field.is_repeated:
            schema = {"type": "array", "items": self._single(message, field, is_input=is_input)}
            schema |= list_limits(field.comment, is_required=field.is_required)
        else:
            schema = self._single(message, field, is_input=is_input)
        if field.is_deprecated:
            schema["deprecated"] = True
        return schema | ({"description": self._described(message, field)} if field.comment else {})

    def _described(self, message: str, field: Field) -> str:
        if not field.oneof:
            return field.comment
        fields = self._contract.messages[message].fields
        names = [f"`{one.name}`" for one in fields if one.oneof == field.oneof]
        return f"{field.comment} One of {' and '.join([', '.join(names[:-1]), names[-1]])}."

    def _single(
        self, message: str, field: Field, *, is_input: bool, is_required: bool = False
    ) -> Schema:
        is_required |= field.is_required
        match field.type:
            case Proto.TYPE_MESSAGE:
                return self._message_ref(field.type_name, is_input=is_input)
            case Proto.TYPE_ENUM:
                return self._enum_ref(self._contract.enums[field.type_name])
            case Proto.TYPE_BOOL:
                return {"type": "boolean"}
            case Proto.TYPE_BYTES:
                return {"type": "string", "contentEncoding": "base64"}
            case Proto.TYPE_STRING:
                return {"type": "string", **self._text(message, field, is_required=is_required)}
            case kind if kind in _LONG_INTEGERS:
                pattern = "^-?[0-9]{1,20}$" if _LONG_INTEGERS[kind] == "int64" else "^[0-9]{1,20}$"
                return {"type": "string", "format": _LONG_INTEGERS[kind], "pattern": pattern}
            case kind:
                limits = number_limits(field.name, field.comment)
                return {"type": "integer", "format": _INTEGERS[kind], **limits}

    def _text(self, message: str, field: Field, *, is_required: bool) -> Schema:
        if (message, field.name) == _AMOUNT_VALUE:
            return {"pattern": DECIMAL, **examples(field.comment)}
        if field.name == "id":
            own = re.sub(r"(?<!^)(?=[A-Z])", "_", message.rpartition(".")[2]).lower()
            return text_limits(f"{own}_id", field.comment, is_required=True)
        return text_limits(field.name, field.comment, is_required=is_required)

    def _enum_ref(self, enum: Enum) -> Schema:
        name = self._short[enum.name]
        if name not in self.components:
            meanings = [f"- `{value.name}`: {value.comment}" for value in enum.values]
            names = [value.name for value in enum.values]
            self.components[name] = {
                "type": "string",
                "enum": names,
                # The first one says that there is none.
                "examples": names[1:2],
                "description": "\n".join([enum.comment, "", *meanings]),
            }
        return _ref(name)


def _is_always_told(field: Field) -> bool:
    return not field.has_presence


def _alternatives(fields: Sequence[Field]) -> list[list[str]]:
    """Return the groups of fields that exclude each other."""
    groups: dict[str, list[str]] = {}
    for field in fields:
        if field.oneof:
            groups.setdefault(field.oneof, []).append(field.name)
    return list(groups.values())


# Viewers that are told so by `allOf`, `oneOf` or `not` show these, and no longer the fields.


def _exclusions(group: Sequence[str]) -> Iterator[tuple[str, Schema]]:
    for name in group:
        yield name, {"properties": {other: False for other in group if other != name}}


def _at_least_one(group: Sequence[str]) -> Schema:
    first, *others = group
    return {
        "if": {"properties": dict.fromkeys(others, False)},
        "then": {"required": [first]},
    }


def _short_names(full_names: Sequence[str]) -> Mapping[str, str]:
    """Return the last part of each name; where two end alike, after their slice's name."""
    ends = [name.rpartition(".")[2] for name in full_names]
    taken = {end for end in ends if ends.count(end) > 1} | {STATUS}
    return {
        name: end if end not in taken else _with_slice(name)
        for name, end in zip(full_names, ends, strict=True)
    }


def _with_slice(name: str) -> str:
    """Return `LedgerStatementFormat` for `reli.ledger.v1.StatementFormat`."""
    slice_name, _, *parts = name.split(".")[1:]
    return "".join([slice_name.title(), *parts])


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
