"""What comes over a wire from somebody who does not mean well, or whose client is broken.

Each attack is one connection to a server that speaks HTTP/2, made of a seeded chance alone.
"""

import asyncio
import gzip
import itertools
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.exceptions

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS: Final = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
METHOD: Final = "/reli.tenant.v1.CustomerService/CreateCustomer"
READ_WITHIN_S: Final = 0.2
"""How long one listens to what is answered; nobody waits for the end."""
CONNECTED_WITHIN_S: Final = 5.0
SENT_WITHIN_S: Final = 1.0
"""Whoever does not read on is given up."""

PATHS: Final = (
    METHOD,
    "/reli.tenant.v1.CustomerService/Nope",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.health.v1.Health/Check",
    "/reli.ledger.v1.LedgerAdminService/LoadEntries",
    "/reli.quote.v1.QuoteService/StreamQuotes",
    "/",
    "//",
    "*",
    "nothing",
    "/" + "a" * 5_000,
    "/v1/customers",
    "/%00/\u00e9",
)
CONTENT_TYPES: Final = (
    "application/grpc",
    "application/grpc+json",
    "application/grpc-web",
    "application/json",
    "text/html",
    "application/grpc\u00e9",
    "",
)
ENCODINGS: Final = ("identity", "gzip", "deflate", "nope", "")


@dataclass(frozen=True)
class Connection:
    """One connection to whoever is attacked, and the chance that decides what is sent."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    chance: Random

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def listen(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(READ_WITHIN_S):
                while await self.reader.read(65_536):
                    pass


Attack = Callable[[Connection], Awaitable[None]]


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def message(content: bytes, *, length: int | None = None, flag: int = 0) -> bytes:
    """Frame a gRPC message, whose length may be a lie."""
    return bytes([flag]) + (len(content) if length is None else length).to_bytes(4) + content


def client() -> h2.connection.H2Connection:
    """Return the client's side of HTTP/2, which checks nothing of what it sends."""
    config = h2.config.H2Configuration(
        client_side=True,
        header_encoding="utf-8",
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    state = h2.connection.H2Connection(config)
    state.initiate_connection()
    return state


def begin(state: h2.connection.H2Connection, *more: tuple[str, str], path: str = METHOD) -> int:
    stream: int = state.get_next_available_stream_id()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a"),
        ("te", "trailers"),
        *more,
    ]
    state.send_headers(stream, headers)
    return stream


def a_call(chance: Random) -> bytes:
    """Return the bytes of a whole call that a server would answer."""
    state = client()
    stream = begin(state, ("content-type", "application/grpc"), ("authorization", "Bearer a"))
    state.send_data(stream, message(chance.randbytes(chance.randrange(40))), end_stream=True)
    whole: bytes = state.data_to_send()
    return whole


async def noise(on: Connection) -> None:
    """Bytes that mean nothing."""
    await on.send(on.chance.randbytes(on.chance.randrange(1, 4_000)))


async def noise_after_the_preface(on: Connection) -> None:
    await on.send(PREFACE + SETTINGS + on.chance.randbytes(on.chance.randrange(1, 4_000)))


async def frames_of_any_kind(on: Connection) -> None:
    """Well-formed frames that mean nothing together."""
    chance = on.chance
    frames = [
        frame(
            chance.randrange(12),
            chance.randrange(256),
            chance.choice([0, 1, 1, 2, 3, 2**31 - 1]),
            chance.randbytes(chance.choice([0, 1, 4, 5, 8, 200, 16_384])),
        )
        for _ in range(chance.randrange(1, 40))
    ]
    await on.send(PREFACE + SETTINGS + b"".join(frames))


async def a_frame_that_is_longer_than_allowed(on: Connection) -> None:
    length = on.chance.choice([16_385, 2**20, 2**24 - 1])
    head = length.to_bytes(3) + bytes([on.chance.randrange(10), 0]) + (1).to_bytes(4)
    await on.send(PREFACE + SETTINGS + head + bytes(20_000))


async def a_call_cut_off(on: Connection) -> None:
    whole = a_call(on.chance)
    await on.send(whole[: on.chance.randrange(len(whole))])
    if on.chance.randrange(2):
        on.writer.transport.abort()


async def a_call_with_flipped_bits(on: Connection) -> None:
    whole = bytearray(a_call(on.chance))
    for _ in range(on.chance.randrange(1, 6)):
        whole[on.chance.randrange(len(PREFACE), len(whole))] ^= 1 << on.chance.randrange(8)
    await on.send(bytes(whole))


async def metadata_without_measure(on: Connection) -> None:
    chance, state = on.chance, client()
    size = chance.choice([8, 60, 200]) * 1_024
    many = chance.randrange(1, 200)
    more = [(f"x-{number}", "v" * (size // many)) for number in range(many)]
    stream = begin(state, ("content-type", "application/grpc"), *more)
    state.send_data(stream, message(b""), end_stream=True)
    await on.send(state.data_to_send())


async def names_that_unfold(on: Connection) -> None:
    """A short block of headers that stands for a very long one (HPACK bomb)."""
    entry = b"\x40\x01x" + b"\x7f\xd1\x1e" + b"v" * 4_048  # goes into the table of both sides
    references = b"\xbe" * on.chance.choice([100, 10_000, 16_000])
    await on.send(
        PREFACE + SETTINGS + frame(0x1, 0x0, 1, entry) + frame(0x9, 0x4, 1, references[:16_384])
    )


async def headers_without_end(on: Connection) -> None:
    await on.send(PREFACE + SETTINGS + frame(0x1, 0x0, 1, b"\x00\x01a\x01b"))
    for _ in range(on.chance.choice([5, 300])):
        await on.send(frame(0x9, 0x0, 1, b"\x00\x01a\x7f\x81\x06" + b"v" * 896))


async def streams_reset_at_once(on: Connection) -> None:
    """CVE-2023-44487."""
    state = client()
    for _ in range(on.chance.choice([50, 400])):
        with suppress(h2.exceptions.ProtocolError):
            stream = begin(state, ("content-type", "application/grpc"))
            if on.chance.randrange(2):
                state.send_data(stream, message(b""))
            state.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
    await on.send(state.data_to_send())


async def content_of_another_type(on: Connection) -> None:
    chance, state = on.chance, client()
    stream = begin(
        state,
        ("content-type", chance.choice(CONTENT_TYPES)),
        ("grpc-encoding", chance.choice(ENCODINGS)),
        ("grpc-timeout", chance.choice(["1S", "99999999H", "-1S", "x", "0n", ""])),
        ("x-envoy-original-path", "/v1/customers"),
        path=chance.choice(PATHS),
    )
    state.send_data(stream, chance.randbytes(chance.randrange(2_000)), end_stream=True)
    await on.send(state.data_to_send())


async def a_message_that_lies_about_itself(on: Connection) -> None:
    chance, state = on.chance, client()
    content = chance.randbytes(chance.randrange(100))
    lies = [
        message(content, length=2**32 - 1),
        message(content, length=chance.randrange(2**32)),
        message(content, flag=1),
        message(content, flag=chance.randrange(2, 256)),
        message(content) * chance.randrange(2, 50),
        message(content)[: chance.randrange(5)],
        b"",
    ]
    stream = begin(state, ("content-type", "application/grpc"), path=chance.choice(PATHS[:6]))
    state.send_data(stream, chance.choice(lies), end_stream=bool(chance.randrange(2)))
    await on.send(state.data_to_send())


_BOMB: Final = gzip.compress(bytes(48 << 20))
"""Less than 50 KB that stand for 48 MB."""


async def a_message_that_unfolds(on: Connection) -> None:
    state = client()
    stream = begin(state, ("content-type", "application/grpc"), ("grpc-encoding", "gzip"))
    content = message(_BOMB, flag=1)
    for start in range(0, len(content), 16_384):
        state.send_data(stream, content[start : start + 16_384])
    await on.send(state.data_to_send())


async def settings_of_all_sorts(on: Connection) -> None:
    chance = on.chance
    settings = b"".join(
        chance.randrange(10).to_bytes(2)
        + chance.choice([0, 1, 2**14, 2**31, 2**32 - 1]).to_bytes(4)
        for _ in range(chance.choice([1, 6, 2_000]))
    )
    await on.send(PREFACE + frame(0x4, 0, 0, settings) + a_call(chance)[len(PREFACE) :])


async def a_flood_of_questions(on: Connection) -> None:
    ask = on.chance.choice([frame(0x6, 0, 0, bytes(8)), frame(0x4, 0, 0, b"")])
    await on.send(PREFACE + SETTINGS + ask * on.chance.choice([100, 20_000]))


async def windows_that_overflow(on: Connection) -> None:
    grow = frame(0x8, 0, on.chance.choice([0, 1]), (2**31 - 1).to_bytes(4))
    await on.send(a_call(on.chance) + grow * 3 + frame(0x8, 0, 0, bytes(4)))


async def an_answer_that_nobody_reads(on: Connection) -> None:
    """A window of nothing, and calls that wait for it."""
    state = client()
    for _ in range(50):
        stream = begin(state, ("content-type", "application/grpc"))
        state.send_data(stream, message(b""), end_stream=True)
    calls = state.data_to_send()[len(PREFACE) :]
    await on.send(PREFACE + frame(0x4, 0, 0, b"\x00\x04" + bytes(4)) + calls)


async def a_call_that_is_never_finished(on: Connection) -> None:
    state = client()
    for _ in range(on.chance.choice([1, 99, 150])):
        with suppress(h2.exceptions.ProtocolError):
            begin(state, ("content-type", "application/grpc"), path=on.chance.choice(PATHS[:6]))
    await on.send(state.data_to_send())


async def an_older_protocol(on: Connection) -> None:
    await on.send(
        on.chance.choice(
            [
                b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
                b"POST " + METHOD.encode() + b" HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n",
                b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + on.chance.randbytes(300),
                b"SSH-2.0-a\r\n",
            ]
        )
    )


ATTACKS: Final[Sequence[Attack]] = (
    noise,
    noise_after_the_preface,
    frames_of_any_kind,
    a_frame_that_is_longer_than_allowed,
    a_call_cut_off,
    a_call_with_flipped_bits,
    metadata_without_measure,
    names_that_unfold,
    headers_without_end,
    streams_reset_at_once,
    content_of_another_type,
    a_message_that_lies_about_itself,
    a_message_that_unfolds,
    settings_of_all_sorts,
    a_flood_of_questions,
    windows_that_overflow,
    an_answer_that_nobody_reads,
    a_call_that_is_never_finished,
    an_older_protocol,
)


async def attack(
    host: str, port: int, seed: int, *, encryption: ssl.SSLContext | None = None
) -> Attack:
    """Make the attack of a seed; the other side may close whenever it likes."""
    chance = Random(seed)
    chosen = ATTACKS[seed % len(ATTACKS)]
    async with asyncio.timeout(CONNECTED_WITHIN_S):
        reader, writer = await asyncio.open_connection(host, port, ssl=encryption)
    on = Connection(reader, writer, chance)
    try:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(SENT_WITHIN_S + READ_WITHIN_S):
                await chosen(on)
                await on.listen()
    finally:
        writer.transport.abort()
    return chosen


def seeds(seed: int) -> Iterator[int]:
    """Yield a seed for one attack after another, each kind in its turn."""
    return itertools.count(seed * len(ATTACKS))
