"""A TCP proxy on the loopback interface that makes connections fail the way networks do."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from app.stack.ports import LOOPBACK

_CHUNK: Final = 64 * 1024
# Close with a reset: what is under way is lost, and the other side hears of it at once.
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(eq=False, slots=True)
class _Link:
    """One connection through the proxy.

    Attributes:
        budget: how many more bytes may pass, in both directions together; None means all.
    """

    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    budget: int | None = None

    def reset(self) -> None:
        for writer in self.writers:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                )
            writer.transport.abort()


class Proxy:
    """Listens on a port of its own and passes everything on until it is told otherwise."""

    def __init__(self, name: str, upstream_port: int) -> None:
        self.name = name
        self._upstream_port = upstream_port
        self._links: set[_Link] = set()
        self._waiting: list[asyncio.Future[int]] = []
        self._server: asyncio.Server | None = None
        self._delay_s = 0.0
        self._budget: int | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self, port: int = 0) -> int:
        """Listen on a port, by default on a free one, and return it."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, port)
        return self.port

    async def next_client(self) -> int:
        """Wait until a client says something; return the port that it does so from."""
        heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(heard)
        return await heard

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.heal()
        self.cut()

    def cut(self) -> None:
        """Reset every connection; new ones are taken."""
        for link in list(self._links):
            link.reset()

    def cut_after(self, budget: int) -> None:
        """Reset every connection, new ones too, once so many more bytes went through it."""
        self._budget = budget
        for link in self._links:
            link.budget = budget

    def delay(self, seconds: float) -> None:
        """Hold up everything that passes."""
        self._delay_s = seconds

    def blackhole(self) -> None:
        """Take connections and bytes, pass nothing on and answer nothing."""
        self._flowing.clear()

    def heal(self) -> None:
        """Pass everything on again; what hung in a black hole is reset."""
        if not self._flowing.is_set():
            self.cut()
        self._delay_s, self._budget = 0.0, None
        for link in self._links:
            link.budget = None
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link([writer], self._budget)
        self._links.add(link)
        try:
            if not self._flowing.is_set():
                await reader.read(_CHUNK)  # taken; `heal` ends the connection
                self._hear(writer)
                await self._flowing.wait()
            up_reader, up_writer = await asyncio.open_connection(LOOPBACK, self._upstream_port)
            link.writers.append(up_writer)
            pumps = [
                asyncio.ensure_future(self._pump(link, reader, up_writer, client=writer)),
                asyncio.ensure_future(self._pump(link, up_reader, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            link.reset()  # nobody listens behind us
        except asyncio.CancelledError:
            pass  # the loop ends, and asyncio would complain
        finally:
            self._links.discard(link)
            for each in link.writers:
                each.close()

    def _hear(self, client: asyncio.StreamWriter) -> None:
        for heard in self._waiting:
            if not heard.done():
                heard.set_result(client.get_extra_info("peername")[1])
        self._waiting.clear()

    async def _pump(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        client: asyncio.StreamWriter | None = None,
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if client is not None:
                    self._hear(client)
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._flowing.wait()
                if link.budget is not None:
                    passes = chunk[: max(link.budget, 0)]
                    link.budget -= len(chunk)
                    writer.write(passes)
                    if len(passes) < len(chunk):
                        await writer.drain()
                        link.reset()
                        return
                else:
                    writer.write(chunk)
                await writer.drain()


def fronting(proxies: dict[str, Proxy]) -> Callable[[str, int], int]:
    """Return what puts a proxy before a port, to be called by another thread than the loop's."""
    loop = asyncio.get_running_loop()

    def front(name: str, port: int) -> int:
        if name not in proxies:
            proxies[name] = Proxy(name, port)
            asyncio.run_coroutine_threadsafe(proxies[name].start(), loop).result()
        return proxies[name].port

    return front
