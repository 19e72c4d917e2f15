"""What of our API is public: the services that someone has given an HTTP form."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.api.annotations_pb2 import http
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import FileDescriptorSet, ServiceDescriptorProto

_VARIABLE = re.compile(r"\{[^=}]+(?:=([^}]+))?\}")
_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestPath:
    """One path of the REST face and the HTTP methods it takes."""

    template: str
    methods: tuple[str, ...]

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
    """The allowlist from which the public listener is built."""

    services: tuple[str, ...]
    paths: tuple[RestPath, ...]

    @classmethod
    def read(cls, descriptor_set: bytes) -> "PublicApi":
        services: list[str] = []
        methods_by_template: dict[str, set[str]] = {}
        for file in FileDescriptorSet.FromString(descriptor_set).file:
            for service in file.service:
                rules = list(_http_rules(service))
                if rules:
                    services.append(f"{file.package}.{service.name}")
                for method, template in rules:
                    methods_by_template.setdefault(template, set()).add(method)
        return cls(
            services=tuple(sorted(services)),
            paths=tuple(
                RestPath(template=template, methods=tuple(sorted(methods)))
                for template, methods in sorted(methods_by_template.items())
            ),
        )


def _http_rules(service: ServiceDescriptorProto) -> Iterator[tuple[str, str]]:
    for method in service.method:
        if method.options.HasExtension(http):
            rule = method.options.Extensions[http]
            for binding in (rule, *rule.additional_bindings):
                yield _method_and_template(binding)


def _method_and_template(rule: HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    assert kind in _METHODS, f"no custom HTTP methods: {rule}"
    return kind.upper(), getattr(rule, kind)


def _segment_regex(segment: str) -> str:
    return {"*": "[^/:]+", "**": "[^:]+"}.get(segment, re.escape(segment))
