"""A platform that answers as a test says, on a real connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from reli_client.channel import ReliChannel
from reli_client.retries import Retries
from reli_client.signing import Signer


def status(
    code: grpc.StatusCode, reason: str, retry: str, *, wait_ms: int = 0, domain: str = "reli.dev"
) -> Status:
    """A refusal as the platform words it."""
    details: list[Message] = [ErrorInfo(reason=reason, domain=domain, metadata={"retry": retry})]
    if wait_ms:
        details.append(RetryInfo(retry_delay=Duration(nanos=wait_ms * 1_000_000)))
    packed = [AnyMessage() for _ in details]
    for any_message, detail in zip(packed, details, strict=True):
        any_message.Pack(detail)
    return Status(code=code.value[0], message=f"told of {reason}", details=packed)


# Whoever asks for more than was planned is told so, and does not ask for ever.
SCRIPT_IS_OVER: Final = status(grpc.StatusCode.UNIMPLEMENTED, "SCRIPT_IS_OVER", "never")


@dataclass(frozen=True)
class Call:
    """One attempt as it arrived."""

    method: str
    message: bytes
    metadata: dict[str, str]
    time_remaining_s: float


@dataclass
class StandIn(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Says what it was told to say, one after the other, and remembers the calls.

    To be said of a call is an answer, a refusal with details (`Status`) or without (`StatusCode`),
    or a function that returns one; of a stream a list of them.
    """

    script: list[Any] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    target: str = ""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        def note(message: bytes, context: Any) -> Any:
            metadata = dict(context.invocation_metadata())
            left_s = context.time_remaining()
            self.calls.append(Call(details.method, message, metadata, left_s))
            return self.script.pop(0) if self.script else SCRIPT_IS_OVER

        def stream(message: bytes, context: Any) -> Iterator[bytes]:
            told = note(message, context)
            for said in told if isinstance(told, list) else [told]:
                yield _serialized(said, context)

        if details.method.rpartition("/")[2].startswith("Stream"):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(
            lambda message, context: _serialized(note(message, context), context)
        )

    def connect(self, *, signer: Signer | None = None, retries: Retries | None = None) -> Any:
        return ReliChannel(
            grpc.insecure_channel(self.target),
            "reli_key",
            signer=signer,
            timeout_s=5.0,
            retries=retries or Retries(),
        )


def _serialized(said: Any, context: Any) -> bytes:
    if callable(said):
        said = said()
    if isinstance(said, Status):
        trailers = (("grpc-status-details-bin", said.SerializeToString()),)
        context.set_trailing_metadata(trailers)
        (code,) = (code for code in grpc.StatusCode if code.value[0] == said.code)
        context.abort(code, said.message)
    if isinstance(said, grpc.StatusCode):
        context.abort(said, "no details")
    text: bytes = said.SerializeToString()
    return text


@contextmanager
def serving(*script: Any) -> Iterator[StandIn]:
    stand_in = StandIn(list(script))
    server = grpc.server(ThreadPoolExecutor(max_workers=4), handlers=[stand_in])
    stand_in.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield stand_in
    finally:
        server.stop(grace=None).wait()


@contextmanager
def connected(
    *script: Any, signer: Signer | None = None, retries: Retries | None = None
) -> Iterator[tuple[StandIn, Any]]:
    with (
        serving(*script) as platform,
        platform.connect(signer=signer, retries=retries) as channel,
    ):
        yield platform, channel


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def retries(self, *, attempts: int = 4, chance: Callable[[], float] = lambda: 1.0) -> Retries:
        return Retries(attempts=attempts, clock=self, sleep=self.sleep, chance=chance)
