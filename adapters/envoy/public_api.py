"""What of our API is public: the services that someone has given an HTTP form."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.api.annotations_pb2 import http
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

_STATUS = ".google.rpc.Status"
_VARIABLE = re.compile(r"\{[^=}]+(?:=([^}]+))?\}")
_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestPath:
    """One path of the REST face and the HTTP methods it takes.

    Attributes:
        is_stream: the answer is a stream of messages, of any length.
        is_live: it goes on until somebody ends it, and a message's `end` says why.
    """

    template: str
    methods: tuple[str, ...]
    is_stream: bool = False
    is_live: bool = False

    @property
    def is_fixed(self) -> bool:
        """It names a collection, nothing in it."""
        return "{" not in self.template

    @property
    def regex(self) -> str:
        """Match what the template matches; a colon starts a verb and is never part of an id."""
        parts: list[str] = []
        end = 0
        for variable in _VARIABLE.finditer(self.template):
            parts += [re.escape(self.template[end : variable.start()])]
            segments = (variable[1] or "*").split("/")
            parts += ["/".join(_segment_regex(segment) for segment in segments)]
            end = variable.end()
        return "".join([*parts, re.escape(self.template[end:])])


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicApi:
    """The allowlist from which the public listener is built.

    Attributes:
        streams: the gRPC paths of methods of these services that answer with a stream.
    """

    services: tuple[str, ...]
    paths: tuple[RestPath, ...]
    streams: tuple[str, ...]

    @classmethod
    def read(cls, descriptor_set: bytes) -> "PublicApi":
        services: list[str] = []
        streams: list[str] = []
        methods_by_template: dict[str, set[str]] = {}
        stream_templates: set[str] = set()
        live_templates: set[str] = set()
        files = FileDescriptorSet.FromString(descriptor_set).file
        live_messages = {*_live_messages(files)}
        for file in files:
            for service in file.service:
                name = f"{file.package}.{service.name}"
                rules = list(_http_rules(service))
                if rules:
                    services.append(name)
                    streams += [f"/{name}/{m.name}" for m in service.method if m.server_streaming]
                for verb, template, method in rules:
                    methods_by_template.setdefault(template, set()).add(verb)
                    if method.server_streaming:
                        stream_templates.add(template)
                        if method.output_type in live_messages:
                            live_templates.add(template)
        return cls(
            services=tuple(sorted(services)),
            paths=tuple(
                RestPath(
                    template=template,
                    methods=tuple(sorted(methods)),
                    is_stream=template in stream_templates,
                    is_live=template in live_templates,
                )
                for template, methods in sorted(methods_by_template.items())
            ),
            streams=tuple(sorted(streams)),
        )


def _live_messages(files: Iterable[FileDescriptorProto]) -> Iterator[str]:
    """Yield the types of those answers that have room to say why their stream ends."""
    for file in files:
        for message in file.message_type:
            if any(field.name == "end" and field.type_name == _STATUS for field in message.field):
                yield f".{file.package}.{message.name}"


def _http_rules(
    service: ServiceDescriptorProto,
) -> Iterator[tuple[str, str, MethodDescriptorProto]]:
    for method in service.method:
        if method.options.HasExtension(http):
            rule = method.options.Extensions[http]
            for binding in (rule, *rule.additional_bindings):
                yield *_method_and_template(binding), method


def _method_and_template(rule: HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    assert kind in _METHODS, f"no custom HTTP methods: {rule}"
    return kind.upper(), getattr(rule, kind)


def _segment_regex(segment: str) -> str:
    return {"*": "[^/:]+", "**": "[^:]+"}.get(segment, re.escape(segment))
