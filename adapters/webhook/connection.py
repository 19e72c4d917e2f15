"""Connections to endpoints: a small client of HTTP/1.1 for one exchange after the other.

A client for everybody spends more on a request than all else that a delivery takes. This one posts,
reads the beginning of an answer, and does nothing else: no redirect, cookie, proxy, retry or
compression. Answers are parsed by llhttp.
"""

import asyncio
import socket
import ssl
from collections import defaultdict, deque
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

from aiohappyeyeballs import start_connection
from aiohttp.abc import AbstractResolver
from httptools import HttpParserError, HttpResponseParser
from yarl import URL

from domain.webhook.delivery import MAX_RESPONSE_BYTES
from domain.webhook.destination import Destinations

KEPT_ALIVE_S: Final = 4.0
"""Below what servers keep a connection for: one that they close while we send is a failure."""

MAX_ANSWER_BYTES: Final = 32_768
MAX_HEADERS: Final = 64
"""How much of an answer is read, and how many headers it may have, trailers included."""

_NEXT_ADDRESS_S: Final = 0.25
"""How long a connection may take before another address of the name is tried beside it."""


class AddressForbidden(OSError):
    """Nothing may be sent to the address."""


class NameUnknown(OSError):
    """The name of the host has no address."""


class AnswerMalformed(Exception):
    """What came back is no HTTP, or more of it than anybody needs."""


@dataclass(slots=True)
class Answer:
    """What is known of an answer, as it comes.

    Attributes:
        status: None until its head is complete.
        headers: by their names in lower case.
        body: its first `MAX_RESPONSE_BYTES`.
    """

    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads.

    Attributes:
        head: the first lines of each request there, up to the headers that differ.
    """

    is_tls: bool
    host: str
    port: int
    head: bytes


@lru_cache(maxsize=1_024)
def place_of(url: str, headers: str) -> Place:
    """Return where a URL leads, and how requests there begin."""
    parsed = URL(url, encoded=True)
    assert parsed.raw_host is not None
    assert parsed.port is not None
    head = f"POST {parsed.raw_path_qs} HTTP/1.1\r\nHost: {parsed.raw_authority}\r\n{headers}"
    return Place(parsed.scheme == "https", parsed.raw_host, parsed.port, head.encode("ascii"))


class Connection(asyncio.Protocol):
    """A connection on which one exchange is made after the other."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._parser: Any = None
        self._answer = Answer()
        self._bytes = 0
        self._headers = 0
        self._done: asyncio.Future[None] | None = None
        self._is_reusable = True
        self.idle_since = 0.0

    @property
    def is_usable(self) -> bool:
        return self._is_reusable and not self._transport.is_closing()

    async def exchange(self, request: bytes, answer: Answer) -> None:
        """Send a request and fill in its answer; raises `OSError` or `AnswerMalformed`.

        Whatever ends it early, the connection is not used again.
        """
        self._answer, self._bytes, self._headers = answer, 0, 0
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
        if self._bytes > MAX_ANSWER_BYTES and not self._done.done():
            self.close()
            if self._answer.status is not None:
                self._end()  # whatever follows is not waited for
            else:
                self._fail(AnswerMalformed("the head is too long"))

    def connection_lost(self, error: Exception | None) -> None:
        self._is_reusable = False
        if self._answer.status is not None:
            self._end()  # an answer may end with its connection
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
        kept += body[: MAX_RESPONSE_BYTES - len(kept)]
        if len(kept) == MAX_RESPONSE_BYTES:
            self.close()  # whatever follows is not waited for
            self._end()

    def on_message_complete(self) -> None:
        if self._answer.status is not None:
            self._is_reusable &= self._parser.should_keep_alive()
            self._end()

    def _end(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)


class Connections:
    """What all deliveries of a process share.

    Every connection is made to an address that was checked for it, and none is shared by two
    exchanges at a time. How many there are is for those to bound who send.
    """

    def __init__(
        self, destinations: Destinations, resolver: AbstractResolver, tls: ssl.SSLContext
    ) -> None:
        self._destinations = destinations
        self._resolver = resolver
        self._tls = tls
        self._idle: defaultdict[Place, deque[Connection]] = defaultdict(deque)
        self._sweep: asyncio.TimerHandle | None = None

    async def take(self, place: Place) -> Connection:
        """Return a connection to a place; raises `OSError`, `AddressForbidden` of it where so."""
        idle = self._idle.get(place)
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            if connection.is_usable and now - connection.idle_since < KEPT_ALIVE_S:
                return connection
            connection.close()
        return await self._connect(place)

    def give_back(self, place: Place, connection: Connection) -> None:
        if not connection.is_usable:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle[place].append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(KEPT_ALIVE_S, self._close_idle)

    async def close(self) -> None:
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
            while idle and loop.time() - idle[0].idle_since >= KEPT_ALIVE_S:
                idle.popleft().close()
            if not idle:
                del self._idle[place]
        self._sweep = loop.call_later(KEPT_ALIVE_S, self._close_idle) if self._idle else None

    async def _connect(self, place: Place) -> Connection:
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
            if not self._destinations.allows(address):
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
        if not self._destinations.allows(place[0]):
            raise AddressForbidden(f"nothing may be sent to {place[0]}")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made
