"""The wire between an adapter and a venue, and what networks and strangers do to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

HOST: Final = "127.0.0.1"
_END: Final = b"\r\n\r\n"
_MAX_BYTES: Final = 1 << 20

Say = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Answers a request, given its head, in the venue's place."""


class Wire:
    """Passes requests on, one per connection, and answers back, or says something else.

    Attributes:
        body: of the venue's latest answer.
        heard: all its answers, in their order.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._latest = b""
        self._answers: dict[bytes, bytes] = {}
        self.body = b""
        self.heard: list[bytes] = []
        self._passing = self._said = self._times = 0
        self._say: Say | None = None
        self._open: set[asyncio.Task[None]] = set()

    @contextmanager
    def saying(self, say: Say, *, after: int = 0, times: int = 1 << 30) -> Iterator[None]:
        """Answer in the venue's place, once so many requests have reached it, and so often."""
        self._say, self._passing, self._said = say, after, 0
        self._times = times
        try:
            yield
        finally:
            self._say = None

    @property
    def said(self) -> int:
        """How often something was said in the venue's place, the latest time."""
        return self._said

    def _takes_over(self) -> Say | None:
        """Return what to say to a request in the venue's place, if anything."""
        if self._say is None or self._said >= self._times:
            return None
        if self._passing:
            self._passing -= 1
            return None
        self._said += 1
        return self._say

    def answering(self, body: bytes) -> Say:
        """Return how to repeat the venue's latest answers, the very latest with another body."""
        genuine, latest = dict(self._answers), self._latest
        genuine[latest] = with_body(genuine[latest], body)

        async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(genuine[_method(head)])

        return say

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            head = await reader.readuntil(_END)
            request = head + await reader.readexactly(_length(head))
            if say := self._takes_over():
                await say(head, writer)
            else:
                writer.write(await self._forward(request))
            await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _forward(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(HOST, self._port, limit=_MAX_BYTES)
        try:
            line, rest = request.split(b"\r\n", 1)
            writer.write(line + b"\r\nConnection: close\r\n" + rest)
            await writer.drain()
            answer = await reader.read(-1)
        finally:
            writer.close()
        if answer:
            self._latest = _method(request)
            self._answers[self._latest] = answer
            self.body = body_of(answer)
            self.heard.append(answer)
        return answer

    async def stop(self) -> None:
        for task in list(self._open):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._open, return_exceptions=True)


@asynccontextmanager
async def open_wire(port: int) -> AsyncIterator[tuple[Wire, str]]:
    """Listen in front of a venue's port, and return the URL to be used instead."""
    wire = Wire(port)
    server = await asyncio.start_server(wire.handle, HOST, 0)
    async with server:
        yield wire, f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        await wire.stop()


def body_of(answer: bytes) -> bytes:
    return answer.partition(_END)[2]


def with_body(answer: bytes, body: bytes) -> bytes:
    """Return an answer with another body."""
    lines = answer.partition(_END)[0].split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"content-length:")]
    return b"\r\n".join([*kept, b"Content-Length: %d" % len(body)]) + _END + body


def raw(answer: bytes) -> Say:
    """Answer with these bytes."""

    async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return say


def page(status: int, body: bytes = b"<html>We will be back soon</html>") -> bytes:
    """Return a web page."""
    head = f"HTTP/1.1 {status} Words\r\nContent-Type: text/html\r\nContent-Length: {len(body)}"
    return head.encode() + _END + body


async def echo_head(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Answer with an error that repeats the whole head of the request, credentials and all."""
    writer.write(page(500, head.replace(b"\r\n", b" ")))


async def drip(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Answer one blank at a time, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000" + _END)
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.005)


async def flood(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Answer with a gigabyte."""
    size, block = 1 << 30, b" " * 65_536
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}".encode() + _END)
    for _ in range(size // len(block)):
        writer.write(block)
        await writer.drain()


def _method(request: bytes) -> bytes:
    return request.split(b" ", 1)[0]


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
