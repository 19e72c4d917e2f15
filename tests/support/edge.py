"""The edge with a stand-in behind it: a real Envoy, and an app that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from adapters.envoy.config import Edge
from adapters.envoy.descriptor import descriptor_set_path
from app.rpc.server import OPTIONS
from app.stack.envoy import EnvoyServer
from app.stack.ports import LOOPBACK, Ports
from tests.support.stack import running, scratch_home, until_ready

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[bytes, bytes]
    Answer = Callable[[Context], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedCall:
    """What came through to the app."""

    method: str
    headers: dict[str, str]
    time_remaining_s: float | None
    message: bytes


async def succeed(_: Context) -> bytes:
    """The empty message, which is a valid answer of every method."""
    return b""


@dataclass(slots=True)
class StandInApp(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Serves every method of every service alike and remembers the calls."""

    answer: Answer = succeed
    calls: list[ReceivedCall] = field(default_factory=list)

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        if details.method.startswith("/grpc."):
            return None

        async def handle(message: bytes, context: Context) -> bytes:
            headers = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
            self.calls.append(
                ReceivedCall(
                    method=details.method,
                    headers=headers,
                    time_remaining_s=context.time_remaining(),
                    message=message,
                )
            )
            return await self.answer(context)

        return grpc.unary_unary_rpc_method_handler(handle)


def refuse(code: grpc.StatusCode, message: str, reason: str) -> Answer:
    """An answer with rich details, as the app gives them."""
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=reason, domain="reli.dev", metadata={"retry": "never"}))
    status = Status(code=code.value[0], message=message, details=[detail])
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)

    async def answer(context: Context) -> bytes:
        await context.abort(code, message, trailers)

    return answer


async def never_answer(_: Context) -> bytes:
    await asyncio.Event().wait()
    return b""


@asynccontextmanager
async def running_app(app: StandInApp, port: int) -> AsyncIterator[None]:
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((app,))
    servicer = HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"{LOOPBACK}:{port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=0)


@asynccontextmanager
async def running_edge(
    app: StandInApp | None, *, rest_timeout_ms: int
) -> AsyncIterator[EnvoyServer]:
    """Envoy as the product configures it, before `app` or before nobody."""
    ports = Ports(None)
    app_port = ports.take()
    async with AsyncExitStack() as stack:
        if app is not None:
            await stack.enter_async_context(running_app(app, app_port))
        home = stack.enter_context(scratch_home())
        envoy = EnvoyServer(
            home=home,
            edge=Edge(
                rest_port=ports.take(),
                grpc_port=ports.take(),
                admin_port=ports.take(),
                upstream_ports=(app_port,),
                descriptor_set=descriptor_set_path().read_bytes(),
                rest_timeout_ms=rest_timeout_ms,
            ),
            log=home / "envoy.log",
        )
        child = stack.enter_context(running(envoy.start()))
        await until_ready(child, envoy.listens)
        yield envoy
