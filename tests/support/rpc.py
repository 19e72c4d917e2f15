"""Every RPC as its descriptor tells it, and async servicers for a test library that knows none."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from app.rpc.caller import CALLER, Caller
from app.rpc.server import services
from reli.auth.v1 import access_pb2


@dataclass(frozen=True)
class Rpc:
    """One method of one of our services, callable with any bytes."""

    descriptor: MethodDescriptor

    @property
    def name(self) -> str:
        return f"{self.descriptor.containing_service.name}/{self.descriptor.name}"

    @property
    def path(self) -> str:
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def request(self) -> type[Message]:
        return GetMessageClass(self.descriptor.input_type)

    @property
    def response(self) -> type[Message]:
        return GetMessageClass(self.descriptor.output_type)

    @property
    def fields(self) -> Sequence[str]:
        return [field.name for field in self.descriptor.input_type.fields]

    @property
    def scope(self) -> access_pb2.Scope:
        options: Any = self.descriptor.GetOptions()
        scope: access_pb2.Scope = options.Extensions[access_pb2.scope]
        return scope

    @property
    def has_route(self) -> bool:
        """Say whether it can be called over REST too."""
        return bool(self.route)

    @property
    def route(self) -> str:
        """The path of its REST form, or empty."""
        options: Any = self.descriptor.GetOptions()
        http: Any = annotations_pb2.http
        rule = options.Extensions[http]
        verb = rule.WhichOneof("pattern")
        return getattr(rule, verb) if verb else ""

    @property
    def required_fields(self) -> list[set[str]]:
        """What a request must have: of each set a field.

        What the contract marks, what stands in the path, and one of those that exclude each other.
        """
        behavior: Any = field_behavior_pb2.field_behavior
        marked = {
            field.name
            for field in self.descriptor.input_type.fields
            if field_behavior_pb2.REQUIRED in cast("Any", field.GetOptions()).Extensions[behavior]
        }
        alternatives = [
            {field.name for field in group.fields}
            for group in self.descriptor.input_type.oneofs
            if not group.name.startswith("_")  # made for an optional field
        ]
        in_path = set(re.findall(r"{(\w+)}", self.route))
        return [*({name} for name in sorted(marked | in_path)), *alternatives]

    @property
    def is_for_operators(self) -> bool:
        return self.scope == access_pb2.SCOPE_OPERATOR

    async def call(
        self,
        channel: grpc.aio.Channel,
        request: Message | bytes,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Any:
        """Call it with that request, as a stream of one where it takes a stream.

        Returns a list where it answers with a stream; of one without end that has but the first.
        """
        content = request if isinstance(request, bytes) else request.SerializeToString()
        options: Any = {"metadata": tuple(metadata), "timeout": 20}
        if self.gives_stream:
            open_stream: Any = channel.unary_stream
            receive = open_stream(self.path, response_deserializer=self.response.FromString)
            responses = receive(content, **options)
            if self.is_live:
                first = await responses.read()
                responses.cancel()
                return [first]
            return [response async for response in responses]
        stub: Any = channel.stream_unary if self.takes_stream else channel.unary_unary
        send = stub(self.path, response_deserializer=self.response.FromString)
        return await send([content] if self.takes_stream else content, **options)

    @property
    def changes_something(self) -> bool:
        return not self.descriptor.name.startswith(("Get", "List", "Stream", "Export"))

    @property
    def takes_stream(self) -> bool:
        return bool(self.descriptor.client_streaming)

    @property
    def gives_stream(self) -> bool:
        return bool(self.descriptor.server_streaming)

    @property
    def is_live(self) -> bool:
        """Say whether its stream goes on until somebody ends it."""
        return self.gives_stream and "end" in self.descriptor.output_type.fields_by_name

    @property
    def is_public(self) -> bool:
        options: Any = self.descriptor.GetOptions()
        return bool(options.Extensions[access_pb2.is_public])


RPCS: Final[Mapping[str, Rpc]] = {
    rpc.name: rpc for service in services() for rpc in map(Rpc, service.methods)
}
WITH_A_KEY: Final = [name for name, rpc in RPCS.items() if not rpc.is_public]
"""What asks for a key, which is nearly everything."""


class Sync:
    """An async servicer whose methods answer at once, as grpcio-testing expects of servicers.

    Each call runs in a loop of its own and is made by `caller`, as if the interceptor had said so.
    """

    def __init__(self, servicer: object, caller: Caller) -> None:
        self._servicer = servicer
        self._caller = caller

    def __getattr__(self, name: str) -> Callable[[Any, Any], Any]:
        method = getattr(self._servicer, name)

        async def call(request: Any, context: Any) -> Any:
            CALLER.set(self._caller)
            return await method(request, context)

        return lambda request, context: asyncio.run(call(request, context))
