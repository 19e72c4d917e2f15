"""A small client of HTTP/1.1, for who makes one short exchange after the other.

A client for everybody spends more on a request than all else that a delivery or a venue's price
takes. This one sends what it is given, reads an answer up to a limit, and does nothing else: no
redirect, cookie, proxy, retry or compression. Answers are parsed by llhttp.
"""

import asyncio
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from aiohappyeyeballs import start_connection
from aiohttp.abc import AbstractResolver
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from yarl import URL

MAX_HEADERS: Final = 64
"""How many headers an answer may have, trailers included."""

_NEXT_ADDRESS_S: Final = 0.25
"""How long a connection may take before another address of the name is tried beside it."""


class AddressForbidden(OSError):
    """Nothing may be sent to the address."""


class NameUnknown(OSError):
    """The name of the host has no address."""


class AnswerMalformed(Exception):
    """What came back is no HTTP, or more of it than anybody needs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an answer is read, in bytes: of its body, and with all that is around it."""

    body: int
    all: int


@dataclass(slots=True)
class Answer:
    """What is known of an answer, as it comes.

    Attributes:
        status: None until its head is complete.
        headers: by their names in lower case.
        body: as much of it as was to be read.
        is_cut: there was more of it, which was not waited for.
        is_whole: it ended where it said that it would.
    """

    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    is_cut: bool = False
    is_whole: bool = False

    @property
    def says_its_end(self) -> bool:
        """Whether it ends anywhere but with its connection (RFC 9112, section 6.3)."""
        return b"content-length" in self.headers or b"transfer-encoding" in self.headers


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads."""

    is_tls: bool
    host: str
    port: int


def place_of(url: URL) -> Place:
    assert url.raw_host is not None
    assert url.port is not None
    return Place(url.scheme == "https", url.raw_host, url.port)


class Connection(asyncio.Protocol):
    """A connection on which one exchange is made after the other."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._parser: Any = None
        self._answer = Answer()
        self._limits = Limits(0, 0)
        self._bytes = 0
        self._headers = 0
        self._done: asyncio.Future[None] | None = None
        self._is_reusable = True
        self.idle_since = 0.0

    @property
    def is_usable(self) -> bool:
        return self._is_reusable and not self._transport.is_closing()

    async def exchange(self, request: bytes, answer: Answer, limits: Limits) -> None:
        """Send a request and fill in its answer; raises `OSError` or `AnswerMalformed`.

        Whatever ends it early, the connection is not used again.
        """
        self._answer, self._limits, self._bytes, self._headers = answer, limits, 0, 0
        self._parser = HttpResponseParser(self)
        self._done = asyncio.get_running_loop().create_future()
        is_whole = False
        try:
            self._transport.write(request)
            await self._done
            is_whole = True
        finally:
            self._done = None
            if not is_whole:
                self.close()

    def close(self) -> None:
        self._is_reusable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._done is None or self._done.done():
            self.close()  # nobody asked
            return
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._is_reusable = False
            # What a callback raised is its context.
            self._fail(AnswerMalformed(str(error.__context__ or error)))
        except HttpParserUpgrade:
            self._is_reusable = False
            self._fail(AnswerMalformed("it goes on in another protocol"))
        if self._bytes > self._limits.all and not self._done.done():
            if self._answer.status is not None:
                self._cut()
            else:
                self.close()
                self._fail(AnswerMalformed("the head is too long"))

    def connection_lost(self, error: Exception | None) -> None:
        self._is_reusable = False
        if self._answer.status is not None:
            # An answer may end with its connection.
            self._answer.is_whole |= error is None and not self._answer.says_its_end
            self._end()
        else:
            self._fail(error or ConnectionResetError("closed before there was an answer"))

    def on_message_begin(self) -> None:
        if self._done is None or self._done.done():
            raise AnswerMalformed("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        if self._headers > MAX_HEADERS:
            raise AnswerMalformed("too many headers")
        if self._answer.status is None:
            self._answer.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._answer.status = status
        else:
            self._answer.headers.clear()

    def on_body(self, body: bytes) -> None:
        kept = self._answer.body
        room = self._limits.body - len(kept)
        kept += body[:room]
        if len(body) > room:
            self._cut()

    def on_message_complete(self) -> None:
        if self._answer.status is not None:
            self._answer.is_whole = True
            self._is_reusable &= self._parser.should_keep_alive()
            self._end()

    def _cut(self) -> None:
        """Wait for nothing that follows."""
        self._answer.is_cut = True
        self.close()
        self._end()

    def _end(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)


class Connections:
    """Connections that are used again.

    Each is made to an address that was checked for it, and none is shared by two exchanges at a
    time. How many there are is for those to bound who send.
    """

    def __init__(
        self,
        resolver: AbstractResolver,
        tls: ssl.SSLContext,
        *,
        kept_s: float,
        allows: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Keep each for so long after its last use, and connect to such addresses only."""
        self._resolver = resolver
        self._tls = tls
        self._kept_s = kept_s
        self._allows = allows
        self._idle: defaultdict[Place, deque[Connection]] = defaultdict(deque)
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def take(self, place: Place) -> Connection:
        """Return a connection to a place; raises what `connect` raises."""
        return self.take_kept(place) or await self.connect(place)

    def take_kept(self, place: Place) -> Connection | None:
        """Return a connection that has been used before, if there is one."""
        idle = self._idle.get(place)
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            if connection.is_usable and now - connection.idle_since < self._kept_s:
                return connection
            connection.close()
        return None

    def give_back(self, place: Place, connection: Connection) -> None:
        if self._is_closed or not connection.is_usable:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle[place].append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._kept_s, self._close_idle)

    async def close(self) -> None:
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        await self._resolver.close()

    def _close_idle(self) -> None:
        """Close what nobody has used for as long as a connection is kept."""
        loop = asyncio.get_running_loop()
        for place, idle in tuple(self._idle.items()):
            while idle and loop.time() - idle[0].idle_since >= self._kept_s:
                idle.popleft().close()
            if not idle:
                del self._idle[place]
        self._sweep = loop.call_later(self._kept_s, self._close_idle) if self._idle else None

    async def connect(self, place: Place) -> Connection:
        """Return a new connection; raises `OSError`, `AddressForbidden` of it where so."""
        if self._is_closed:
            raise RuntimeError("the connections are closed")
        connected = await start_connection(
            await self._addresses(place),
            happy_eyeballs_delay=_NEXT_ADDRESS_S,
            interleave=1,
            socket_factory=self._checked_socket,
        )
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection,
                sock=connected,
                ssl=self._tls if place.is_tls else None,
                server_hostname=place.host if place.is_tls else None,
            )
        except BaseException:
            connected.close()
            raise
        return connection

    async def _addresses(self, place: Place) -> list[Any]:
        """Return every address of a place, or raise if a single one of them is not allowed."""
        try:
            found = [str(ip_address(place.host))]
        except ValueError:
            found = await self._resolve(place)
        for address in found:
            if not self._allows(address):
                raise AddressForbidden(f"{place.host} is {address}") from None
        return [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, place.port))
            for address in found
            for family in [socket.AF_INET6 if ":" in address else socket.AF_INET]
        ]

    async def _resolve(self, place: Place) -> list[str]:
        # The last label of a name is never a number; some read the whole as an address then.
        if place.host.rpartition(".")[2][:1].isdigit():
            raise AddressForbidden(f"{place.host} is a number")
        try:
            found = await self._resolver.resolve(place.host, place.port, socket.AF_UNSPEC)
        except OSError as error:
            raise NameUnknown(str(error)) from error
        return [one["host"] for one in found]

    def _checked_socket(self, address: tuple[Any, ...]) -> socket.socket:
        # Asked of the very address that is connected to.
        family, kind, protocol, _, place = address
        if not self._allows(place[0]):
            raise AddressForbidden(f"nothing may be sent to {place[0]}")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made
