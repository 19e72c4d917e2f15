"""What `proto/` says, comments included, as values that are easy to read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from adapters.envoy.public_api import PublicApi
from adapters.wire.access import scope_of
from domain.tenant.api_key import Scope

# The stubs do not say that these extend options.
_HTTP: Final[Any] = annotations_pb2.http
_FIELD_BEHAVIOR: Final[Any] = field_behavior_pb2.field_behavior
_VERBS: Final = ("get", "post", "put", "patch", "delete")

_Path = tuple[int, ...]
_MESSAGE: Final = FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER
_ENUM: Final = FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER
_SERVICE: Final = FileDescriptorProto.SERVICE_FIELD_NUMBER
_FIELD: Final = DescriptorProto.FIELD_FIELD_NUMBER
_NESTED: Final = DescriptorProto.NESTED_TYPE_FIELD_NUMBER
_NESTED_ENUM: Final = DescriptorProto.ENUM_TYPE_FIELD_NUMBER
_VALUE: Final = EnumDescriptorProto.VALUE_FIELD_NUMBER
_METHOD: Final = ServiceDescriptorProto.METHOD_FIELD_NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a message.

    Attributes:
        type_name: full name of its message or enum; empty for the others.
        is_required: a request without it is refused.
        has_presence: it is left out of an answer where it is not set.
        oneof: the name of the group of which one field may be set, or empty.
        is_deprecated: it is about to go, and the comment names what to use instead.
    """

    name: str
    comment: str
    type: int
    type_name: str
    is_repeated: bool
    is_required: bool
    has_presence: bool
    oneof: str
    is_deprecated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    name: str
    comment: str
    fields: Sequence[Field]
    is_map_entry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumValue:
    name: str
    number: int
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    name: str
    comment: str
    values: Sequence[EnumValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Attributes:
    verb: an HTTP method in lower case.
    body: the field that the body is, `*` for all that are in no path, empty for none.
    """

    verb: str
    path: str
    body: str
    is_live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method of a service.

    Attributes:
        scope: what a key needs, or None where everybody may call.
        routes: its REST form; none for what is called over gRPC only.
    """

    name: str
    comment: str
    request: str
    response: str
    answers_with_stream: bool
    scope: Scope | None
    routes: Sequence[Route]
    is_deprecated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    name: str
    comment: str
    methods: Sequence[Method]

    @property
    def is_for_operators(self) -> bool:
        return any(method.scope is Scope.OPERATOR for method in self.methods)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Everything by full name, such as `reli.quote.v1.Quote`."""

    services: Sequence[Service]
    messages: Mapping[str, Message]
    enums: Mapping[str, Enum]

    @classmethod
    def read(cls, commented_set: bytes) -> "Contract":
        """Read a descriptor set that was made with source info."""
        paths = PublicApi.read(commented_set).paths
        live = frozenset(path.template for path in paths if path.is_live)
        files = [_File(file, live) for file in FileDescriptorSet.FromString(commented_set).file]
        return cls(
            services=[service for file in files for service in file.services()],
            messages={one.name: one for file in files for one in file.messages()},
            enums={one.name: one for file in files for one in file.enums()},
        )


class _File:
    """One file, whose comments lie apart from what they are about."""

    def __init__(self, file: FileDescriptorProto, live: frozenset[str]) -> None:
        self._file = file
        self._live = live
        self._comments = {
            tuple(location.path): _text(location.leading_comments)
            for location in file.source_code_info.location
            if location.leading_comments
        }

    def services(self) -> Iterator[Service]:
        for i, service in enumerate(self._file.service):
            path = (_SERVICE, i)
            yield Service(
                name=f"{self._file.package}.{service.name}",
                comment=self._comment(path),
                methods=[
                    self._method(service, number, (*path, _METHOD, number))
                    for number in range(len(service.method))
                ],
            )

    def messages(self) -> Iterator[Message]:
        for i, message in enumerate(self._file.message_type):
            yield from self._nested(message, self._file.package, (_MESSAGE, i))

    def enums(self) -> Iterator[Enum]:
        for i, enum in enumerate(self._file.enum_type):
            yield self._enum(enum, self._file.package, (_ENUM, i))
        for i, message in enumerate(self._file.message_type):
            for j, enum in enumerate(message.enum_type):
                scope = f"{self._file.package}.{message.name}"
                yield self._enum(enum, scope, (_MESSAGE, i, _NESTED_ENUM, j))

    def _comment(self, path: _Path) -> str:
        return self._comments.get(path, "")

    def _method(self, service: ServiceDescriptorProto, number: int, path: _Path) -> Method:
        method = service.method[number]
        rule = method.options.Extensions[_HTTP]
        rules = [rule, *rule.additional_bindings] if rule.WhichOneof("pattern") else []
        return Method(
            name=method.name,
            comment=self._comment(path),
            request=method.input_type.removeprefix("."),
            response=method.output_type.removeprefix("."),
            answers_with_stream=method.server_streaming,
            scope=scope_of(method.options),
            routes=[self._route(one) for one in rules],
            is_deprecated=method.options.deprecated,
        )

    def _route(self, rule: Any) -> Route:
        verb = rule.WhichOneof("pattern")
        assert verb in _VERBS, f"no custom HTTP methods: {rule}"
        path = getattr(rule, verb)
        return Route(verb=verb, path=path, body=rule.body, is_live=path in self._live)

    def _nested(self, message: DescriptorProto, scope: str, path: _Path) -> Iterator[Message]:
        name = f"{scope}.{message.name}"
        yield Message(
            name=name,
            comment=self._comment(path),
            fields=[
                self._field(message, field, (*path, _FIELD, i))
                for i, field in enumerate(message.field)
            ],
            is_map_entry=message.options.map_entry,
        )
        for i, inner in enumerate(message.nested_type):
            yield from self._nested(inner, name, (*path, _NESTED, i))

    def _field(self, message: DescriptorProto, field: FieldDescriptorProto, path: _Path) -> Field:
        is_repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
        in_oneof = field.HasField("oneof_index")
        behaviors = field.options.Extensions[_FIELD_BEHAVIOR]
        return Field(
            name=field.name,
            comment=self._comment(path),
            type=field.type,
            type_name=field.type_name.removeprefix("."),
            is_repeated=is_repeated,
            is_required=field_behavior_pb2.REQUIRED in behaviors,
            has_presence=not is_repeated
            and (in_oneof or field.type == FieldDescriptorProto.TYPE_MESSAGE),
            oneof=message.oneof_decl[field.oneof_index].name
            if in_oneof and not field.proto3_optional
            else "",
            is_deprecated=field.options.deprecated,
        )

    def _enum(self, enum: EnumDescriptorProto, scope: str, path: _Path) -> Enum:
        return Enum(
            name=f"{scope}.{enum.name}",
            comment=self._comment(path),
            values=[
                EnumValue(
                    name=value.name,
                    number=value.number,
                    comment=self._comment((*path, _VALUE, i)),
                )
                for i, value in enumerate(enum.value)
            ],
        )


def _text(comment: str) -> str:
    """Return the comment with its line breaks taken out, but those between paragraphs."""
    paragraphs = "\n".join(line.strip() for line in comment.splitlines()).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs).strip()
