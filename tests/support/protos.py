"""Everything that `proto/` declares, from the descriptor set that `make proto` builds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from reli.auth.v1 import access_pb2
from tests.support.golden import ROOT

# The stubs do not say that these extend the options of a method.
_HTTP: Final[Any] = annotations_pb2.http
_SCOPE: Final[Any] = access_pb2.scope
_IS_PUBLIC: Final[Any] = access_pb2.is_public
_COST_CLASS: Final[Any] = access_pb2.cost_class


@dataclass(frozen=True)
class Rpc:
    """Attributes:
    scope: the name of the scope option, or SCOPE_UNSPECIFIED where there is none.
    cost_class: the name of the class of limits, or COST_CLASS_UNSPECIFIED where there is none.
    http: verb and path of the REST route, or empty.
    """

    service: str
    method: MethodDescriptorProto
    request: DescriptorProto
    response: DescriptorProto
    scope: str
    is_public: bool
    cost_class: str
    http: str

    @property
    def name(self) -> str:
        return f"{self.service}/{self.method.name}"

    @property
    def request_fields(self) -> set[str]:
        return {field.name for field in self.request.field}


def _files() -> list[FileDescriptorProto]:
    found = FileDescriptorSet.FromString((ROOT / "gen" / "reli.binpb").read_bytes())
    return [file for file in found.file if file.package.startswith("reli.")]


FILES: Final = _files()


def _messages(
    prefix: str, nested: Iterator[DescriptorProto]
) -> Iterator[tuple[str, DescriptorProto]]:
    for message in nested:
        name = f"{prefix}.{message.name}"
        yield name, message
        yield from _messages(name, iter(message.nested_type))


MESSAGES: Final[dict[str, DescriptorProto]] = {
    name: message
    for file in FILES
    for name, message in _messages(file.package, iter(file.message_type))
}

ENUMS: Final[dict[str, EnumDescriptorProto]] = {
    f"{file.package}.{enum.name}": enum for file in FILES for enum in file.enum_type
}


def _rpcs() -> Iterator[Rpc]:
    for file in FILES:
        for service in file.service:
            for method in service.method:
                route = method.options.Extensions[_HTTP]
                verb = route.WhichOneof("pattern")
                yield Rpc(
                    service=f"{file.package}.{service.name}",
                    method=method,
                    request=MESSAGES[method.input_type.removeprefix(".")],
                    response=MESSAGES[method.output_type.removeprefix(".")],
                    scope=access_pb2.Scope.Name(method.options.Extensions[_SCOPE]),
                    is_public=bool(method.options.Extensions[_IS_PUBLIC]),
                    cost_class=access_pb2.CostClass.Name(method.options.Extensions[_COST_CLASS]),
                    http=f"{verb.upper()} {getattr(route, verb)}" if verb else "",
                )


RPCS: Final = list(_rpcs())
SERVICES: Final = sorted({rpc.service for rpc in RPCS})
