"""A price source asks an exchange once for all who look, and never promises anything."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web

from adapters.ccxt import prices as module
from adapters.ccxt.prices import (
    GOOD_FOR,
    CcxtConfig,
    CcxtMissing,
    CcxtPrices,
    Exchange,
    open_ccxt_prices,
    open_exchange,
)
from app.certify.clock import BenchClock
from domain.side import Side
from ports.liquidity import LiquidityProvider, LpRefused, LpUnavailable
from ports.price_source import PriceSource
from tests.support.builders import BTC_NGN, ETH_NGN, btc

CONFIG: Final = CcxtConfig(
    name="elsewhere",
    exchange="luno",
    symbols={"BTC-NGN": "BTC/NGN"},
    margin_bps=0,
    max_age=timedelta(seconds=5),
)


@dataclass(eq=False)
class AnExchange(Exchange):
    """Tells one book in the shape that ccxt documents."""

    clock: BenchClock
    timestamp: int | None = None
    failure: Exception | None = None
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[str, int]] = field(default_factory=list)
    is_closed: bool = False

    async def load_markets(self) -> object:
        return {}

    async def fetch_order_book(self, symbol: str, limit: int) -> object:
        self.asked.append((symbol, limit))
        await self.answers.wait()
        if self.failure is not None:
            raise self.failure
        return {
            "asks": [["900", "1"]],
            "bids": [["890", "1"]],
            "timestamp": self.timestamp,
        }

    async def close(self) -> None:
        self.is_closed = True


@asynccontextmanager
async def opened(
    **given: Any,
) -> AsyncIterator[tuple[CcxtPrices, AnExchange, BenchClock]]:
    clock = BenchClock()
    exchange = AnExchange(clock, **given)
    exchange.answers.set()
    prices = CcxtPrices(CONFIG, exchange, clock)
    yield prices, exchange, clock
    await prices.close()
    assert exchange.is_closed


async def test_an_amount_is_told_with_what_it_costs_elsewhere() -> None:
    async with opened() as (prices, exchange, _):
        seen = await prices.look(BTC_NGN, Side.BUY, btc("0.5"))

    assert (seen.base.value, seen.quote.value) == ("0.50000000", "450.00")
    assert exchange.asked == [("BTC/NGN", 100)]


async def test_it_can_stand_nowhere_where_a_firm_price_is_meant() -> None:
    async with opened() as (prices, _, _):
        # The type checker complains of an exemption that is not needed, so these two are.
        as_lp: LiquidityProvider = prices  # type: ignore[assignment]
        as_source: PriceSource = prices  # type: ignore[assignment]

        assert not hasattr(as_lp, "execute")
        assert not hasattr(as_source, "request_quote")


async def test_one_book_answers_all_who_look_within_a_moment() -> None:
    async with opened() as (prices, exchange, clock):
        for side in Side:
            await prices.look(BTC_NGN, side, btc("0.5"))
        clock.move(GOOD_FOR.total_seconds())
        await prices.look(BTC_NGN, Side.BUY, btc("0.1"))

    assert len(exchange.asked) == 2


async def test_who_stops_waiting_stops_nobody_else() -> None:
    async with opened() as (prices, exchange, _):
        exchange.answers.clear()
        first, second = (
            asyncio.create_task(prices.look(BTC_NGN, Side.BUY, btc("0.5"))) for _ in range(2)
        )
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        exchange.answers.set()

        assert (await second).quote.value == "450.00"
    assert len(exchange.asked) == 1


async def test_a_failure_is_shared_for_a_moment_too() -> None:
    async with opened(failure=RuntimeError("secret words")) as (prices, exchange, _):
        for _ in range(3):
            with pytest.raises(LpUnavailable) as caught:
                await prices.look(BTC_NGN, Side.BUY, btc("0.5"))
            assert caught.value.metadata["cause"] == "RuntimeError"
            assert "secret" not in caught.value.message

    assert len(exchange.asked) == 1


@pytest.mark.parametrize(("age_s", "is_told"), [(0, True), (5, True), (6, False), (-6, False)])
async def test_a_book_is_as_old_as_it_says_and_no_older_than_allowed(
    age_s: int, is_told: bool
) -> None:
    at = BenchClock().at - timedelta(seconds=age_s)
    async with opened(timestamp=int(at.timestamp()) * 1_000) as (prices, _, _):
        if is_told:
            await prices.look(BTC_NGN, Side.BUY, btc("0.5"))
        else:
            with pytest.raises(LpUnavailable) as caught:
                await prices.look(BTC_NGN, Side.BUY, btc("0.5"))
            assert caught.value.metadata["cause"] == "LP_BOOK_STALE"


async def test_what_is_not_traded_there_or_too_much_for_it_is_refused() -> None:
    async with opened() as (prices, _, _):
        for instrument, size, code in (
            (ETH_NGN, "1", "UNKNOWN_INSTRUMENT"),
            (BTC_NGN, "1.00000001", "NO_LIQUIDITY"),
        ):
            with pytest.raises(LpRefused) as caught:
                await prices.look(instrument, Side.BUY, btc(size))
            assert caught.value.metadata["code"] == code


async def test_without_a_price_source_the_package_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ccxt.async_support", None)

    async with open_ccxt_prices([], BenchClock()) as found:
        assert found == []


async def test_a_price_source_without_the_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ccxt.async_support", None)

    with pytest.raises(CcxtMissing, match=r'pip install "reli\[ccxt\]"'):
        async with open_ccxt_prices([CONFIG], BenchClock()):
            pass


class Luno:
    """As much of an exchange of ccxt as is replaced: it makes floats."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def safe_string(self, told: Any, key: Any) -> str | None:
        return str(told[key]) if key in told else None

    def on_json_response(self, body: str) -> Any:
        return json.loads(body)

    def parse_order_book_bid_ask(self, told: Any, price: Any, amount: Any) -> list[float]:
        return [float(told[price]), float(told[amount])]


PACKAGE: Final = SimpleNamespace(exchanges=["luno"], __version__="4.5.0", luno=Luno)


async def test_an_exchange_keeps_its_numbers_as_the_texts_that_they_came_as() -> None:
    async with aiohttp.ClientSession() as session:
        exchange: Any = open_exchange(PACKAGE, CONFIG, session)

    assert exchange.config["number"] is str
    assert exchange.config["timeout"] == 5_000
    told = exchange.on_json_response('{"price": 0.100000000000000001, "volume": 3}')
    assert exchange.parse_order_book_bid_ask(told, "price", "volume") == [
        "0.100000000000000001",
        "3",
    ]
    assert exchange.parse_order_book_bid_ask({}, "price", "volume") == [None, None]


async def test_an_exchange_that_ccxt_does_not_know_is_not_opened() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ValueError, match="no exchange 'kraken'"):
            open_exchange(PACKAGE, replace(CONFIG, exchange="kraken"), session)


async def test_an_answer_that_is_too_long_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 100_000)

    async def tell(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.query["size"]))

    app = web.Application()
    app.router.add_get("/", tell)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession(response_class=module.BoundedResponse) as session:
            async with session.get(url, params={"size": 100_000}) as response:
                assert len(await response.text()) == 100_000
            with pytest.raises(aiohttp.ClientPayloadError):
                async with session.get(url, params={"size": 100_001}) as response:
                    await response.text()
    finally:
        await runner.cleanup()
