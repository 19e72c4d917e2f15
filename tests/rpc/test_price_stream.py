"""A stream of prices from the real servicer, and what a server that stops tells it."""

import asyncio
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from app import serve as serve_module
from app.stack.ports import Ports
from reli.quote.v1 import quote_service_pb2 as pb
from tests.support.platform import BUY, Client, Platform, amount, refusal_in, refusal_of
from tests.support.stage import until

APP: Final = Path(serve_module.__file__).parent


def a_question(base_amount: str = "0.01") -> pb.StreamQuotesRequest:
    return pb.StreamQuotesRequest(
        side=BUY,
        base_asset="BTC",
        quote_asset="NGN",
        base_amount=amount(base_amount, "BTC"),
    )


async def test_it_begins_with_the_indicative_quote_of_now(platform: Platform) -> None:
    _, client = await platform.a_tenant()

    stream = client.quotes.StreamQuotes(a_question())
    first = await stream.read()
    stream.cancel()

    asked = await client.quotes.GetIndicativeQuote(
        pb.GetIndicativeQuoteRequest(
            side=BUY,
            base_asset="BTC",
            quote_asset="NGN",
            base_amount=amount("0.01", "BTC"),
        )
    )
    for quote in (first.quote, asked.quote):
        quote.ClearField("price_time")
    assert first.quote == asked.quote


async def test_where_nobody_gives_a_price_there_is_no_stream(platform: Platform) -> None:
    _, client = await platform.a_tenant()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.quotes.StreamQuotes(a_question("0.00007788")).read()

    assert refusal_of(caught.value).reason == "NO_LIQUIDITY"


async def test_a_server_that_is_told_to_stop_says_so_in_the_stream(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_module, "settle_down", lambda: None)
    _, known = await platform.a_tenant()
    port = Ports(None).take()
    settings = platform.settings.model_copy(update={"grpc_port": port})
    serving = asyncio.create_task(serve_module.serve(settings))
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            client = Client(channel, known.secret)

            async def opened() -> Any:
                stream = client.quotes.StreamQuotes(a_question(), timeout=60)
                try:
                    return stream if (await stream.read()).HasField("quote") else None
                except grpc.aio.AioRpcError:
                    return None

            stream = await until(opened, "the server serves")
            serving.cancel()
            async with asyncio.timeout(3):
                last = await stream.read()

            assert last.HasField("end")
            assert refusal_in(last.end).reason == "STREAM_ENDED"
            assert await stream.code() is grpc.StatusCode.OK
    finally:
        if not serving.cancelling():  # twice would cut the shut down short
            serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert not [task for task in asyncio.all_tasks() if _is_of_the_server(task)]


def _is_of_the_server(task: "asyncio.Task[Any]") -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(str(APP))
