"""A gRPC client whose own work is outside of what it times.

The clock runs from the moment that a call's bytes are handed to the socket until the last bytes of
the answer are read from it; HTTP/2 frames and headers are made before and read after. A client of
a gRPC library adds its own threads and, on a busy machine, half as much again.
"""

import asyncio
import struct
import time
from dataclasses import dataclass, field
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from benchmarks.client import Failed

CALL_TIMEOUT_S: Final = 30.0
_WINDOW: Final = 1 << 30
_PREFIX: Final = struct.Struct(">?I")
"""Of a message: whether it is compressed, and its length
(https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)."""


@dataclass(slots=True)
class _Call:
    """One call under way: what has come of its answer, and what is told when it has ended."""

    ended: "asyncio.Future[float]"
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Wire(asyncio.Protocol):
    """One connection in plain text to a gRPC server."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._calls: dict[int, _Call] = {}

    @classmethod
    async def connect(cls, target: str) -> "Wire":
        host, _, port = target.rpartition(":")
        _, wire = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        return wire

    async def call(self, method: str, message: bytes, authorization: str) -> tuple[float, bytes]:
        """Call `package.Service/Method` and return how many seconds it took, and the answer.

        Raises `Failed` when the status is not OK or the connection ends.
        """
        call = _Call(asyncio.get_running_loop().create_future())
        stream = self._http.get_next_available_stream_id()
        self._calls[stream] = call
        self._http.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", f"/{method}"),
                (":authority", "localhost"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("authorization", authorization),
                ("grpc-timeout", f"{CALL_TIMEOUT_S:.0f}S"),
            ],
        )
        content = _PREFIX.pack(False, len(message)) + message
        self._http.send_data(stream, content, end_stream=True)
        content = self._http.data_to_send()
        began = time.perf_counter()
        self._transport.write(content)
        async with asyncio.timeout(CALL_TIMEOUT_S):
            ended = await call.ended
        if call.headers.get("grpc-status") != "0":
            raise Failed(method, call.headers)
        return ended - began, call.body[_PREFIX.size :]

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._http.initiate_connection()
        self._http.increment_flow_control_window(_WINDOW)
        self._transport.write(self._http.data_to_send())

    def data_received(self, data: bytes) -> None:
        at = time.perf_counter()
        for event in self._http.receive_data(data):
            match event:
                case ResponseReceived() | TrailersReceived():
                    headers = {str(name): str(value) for name, value in event.headers}
                    self._calls[event.stream_id].headers |= headers
                case DataReceived():
                    self._calls[event.stream_id].body += event.data
                case StreamEnded():
                    self._calls.pop(event.stream_id).ended.set_result(at)
                case StreamReset():
                    error = Failed("reset", event.error_code)
                    self._calls.pop(event.stream_id).ended.set_exception(error)
        if content := self._http.data_to_send():
            self._transport.write(content)

    def connection_lost(self, error: Exception | None) -> None:
        for call in self._calls.values():
            if not call.ended.done():
                call.ended.set_exception(Failed("the connection ended", error))
        self._calls.clear()
