"""The price source with the real ccxt, against a local stand-in for one exchange.

It is no part of the suite, which runs without the package: `make test-ccxt`.
"""

import importlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web

from adapters.ccxt.prices import BoundedResponse, CcxtConfig, CcxtPrices, open_exchange
from adapters.system.clock import SystemClock
from domain.asset import Asset, Instrument
from domain.side import Side
from ports.liquidity import LpUnavailable
from tests.support.builders import BTC, btc

ZAR: Final = Asset("ZAR", 2)
BTC_ZAR: Final = Instrument(BTC, ZAR)
CONFIG: Final = CcxtConfig(
    name="luno",
    exchange="luno",
    symbols={"BTC-ZAR": "BTC/ZAR"},
    margin_bps=0,
    max_age=timedelta(seconds=60),
)
EXACT: Final = "1800000.100000000000000001"
"""A price that no float holds."""


@pytest.fixture
async def luno() -> AsyncIterator[tuple[CcxtPrices, dict[str, Any]]]:
    """Luno's adapter in ccxt, and what the local Luno answers (docs of Luno, "Get order book")."""
    told: dict[str, Any] = {}

    async def order_book(request: web.Request) -> web.Response:
        assert request.query["pair"] == "XBTZAR"
        return web.Response(text=told["text"], status=told.get("status", 200))

    app = web.Application()
    for path in ("/api/1/orderbook", "/api/1/orderbook_top"):
        app.router.add_get(path, order_book)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    package: Any = importlib.import_module("ccxt.async_support")
    async with aiohttp.ClientSession(response_class=BoundedResponse) as session:
        exchange: Any = open_exchange(package, CONFIG, session)
        root = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
        exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], root)
        exchange.set_markets(
            [{"id": "XBTZAR", "symbol": "BTC/ZAR", "base": "BTC", "quote": "ZAR", "spot": True}]
        )
        prices = CcxtPrices(CONFIG, exchange, SystemClock())
        yield prices, told
        await prices.close()
    await runner.cleanup()


def book(ask: str, timestamp: int) -> str:
    level = '{"price": "%s", "volume": "%s"}'
    asks = ", ".join([level % ("9999999.00", "1"), level % (ask, "0.1"), level % (ask, "0.4")])
    return (
        f'{{"timestamp": {timestamp}, "asks": [{asks}], "bids": [{level % ("1799999.00", "1")}]}}'
    )


def now_ms() -> int:
    return int(SystemClock().now().timestamp() * 1_000)


async def test_a_price_comes_through_to_its_last_digit(
    luno: tuple[CcxtPrices, dict[str, Any]],
) -> None:
    prices, told = luno
    told["text"] = book(EXACT, now_ms())

    seen = await prices.look(BTC_ZAR, Side.BUY, btc("0.5"))

    assert (seen.base, seen.quote.value) == (btc("0.5"), "900000.06")


async def test_a_web_page_and_a_failure_are_no_price(
    luno: tuple[CcxtPrices, dict[str, Any]],
) -> None:
    prices, told = luno
    told.update(text="<html>We will be back soon</html>")

    with pytest.raises(LpUnavailable):
        await prices.look(BTC_ZAR, Side.BUY, btc("0.5"))


async def test_an_old_book_is_no_price(luno: tuple[CcxtPrices, dict[str, Any]]) -> None:
    prices, told = luno
    told["text"] = book(EXACT, now_ms() - 61_000)

    with pytest.raises(LpUnavailable) as caught:
        await prices.look(BTC_ZAR, Side.BUY, btc("0.5"))
    assert caught.value.metadata["cause"] == "LP_BOOK_STALE"
