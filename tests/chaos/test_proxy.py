"""The proxy does what networks do."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.proxy import Proxy


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy before a server that says everything again."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1024):
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy("echo", server.sockets[0].getsockname()[1])
    await proxy.start()
    yield proxy
    await proxy.close()
    server.close()


class Line:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.port: int = writer.get_extra_info("sockname")[1]

    async def says(self, text: bytes, *, within_s: float = 2) -> bytes:
        self._writer.write(text)
        async with asyncio.timeout(within_s):
            return await self._reader.readexactly(len(text))

    def hang_up(self) -> None:
        self._writer.close()


async def connect(proxy: Proxy) -> Line:
    return Line(*await asyncio.open_connection("127.0.0.1", proxy.port))


async def test_it_passes_everything_on(proxy: Proxy) -> None:
    line = await connect(proxy)

    assert await line.says(b"hello") == b"hello"
    line.hang_up()


async def test_a_cut_ends_every_connection_and_takes_new_ones(proxy: Proxy) -> None:
    line = await connect(proxy)
    await line.says(b"hello")

    proxy.cut()

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await line.says(b"hello")
    again = await connect(proxy)
    assert await again.says(b"hello") == b"hello"
    again.hang_up()


async def test_a_budget_of_bytes_ends_a_connection_in_the_middle(proxy: Proxy) -> None:
    line = await connect(proxy)
    proxy.cut_after(7)  # the question and two bytes of the answer

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await line.says(b"hello")


async def test_a_black_hole_takes_everything_and_answers_nothing(proxy: Proxy) -> None:
    line = await connect(proxy)
    await line.says(b"hello")
    proxy.blackhole()

    with pytest.raises(TimeoutError):
        await line.says(b"hello", within_s=0.2)
    late = await connect(proxy)
    proxy.heal()

    for each in (line, late):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await each.says(b"hello")


async def test_a_delay_holds_up_and_loses_nothing(proxy: Proxy) -> None:
    line = await connect(proxy)
    proxy.delay(0.1)
    began = asyncio.get_running_loop().time()

    assert await line.says(b"hello") == b"hello"
    assert asyncio.get_running_loop().time() - began >= 0.2
    line.hang_up()


@pytest.mark.parametrize("is_new", [False, True])
async def test_it_tells_who_speaks_into_a_black_hole(proxy: Proxy, is_new: bool) -> None:
    line = await connect(proxy)
    await line.says(b"hello")
    proxy.blackhole()
    if is_new:
        line.hang_up()
        line = await connect(proxy)
    heard = asyncio.ensure_future(proxy.next_client())

    with pytest.raises(TimeoutError):
        await line.says(b"hello", within_s=0.2)

    assert heard.result() == line.port
    line.hang_up()
