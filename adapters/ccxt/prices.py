"""What an amount costs in an exchange's order book, read by ccxt.

ccxt tells neither what became of an order nor until when a price stands, so nothing is executed by
it: this is an `IndicativeSource` and no liquidity provider. The package is big and slow to import;
it is imported when a price source is opened, and not before.
"""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import aiohttp

from adapters.ccxt.book import BookUnreadable, OrderBook, read_book
from domain.amount import Amount
from domain.asset import Instrument
from domain.side import Side
from ports.clock import Clock
from ports.liquidity import LpRefused, LpUnavailable
from ports.price_source import Indication, IndicativeSource

DEPTH: Final = 100
"""How many levels of each side are asked for."""
GOOD_FOR: Final = timedelta(seconds=1)
"""How long one book, or one failure to get it, answers all who ask."""
MAX_ANSWER_BYTES: Final = 32 << 20
"""Of one answer: an exchange's list of markets has megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CcxtConfig:
    """Attributes:
    name: what we call the source.
    exchange: ccxt's id of the exchange, such as `kraken`.
    symbols: ccxt's symbol by instrument code, such as `BTC/USD`; others are not priced.
    margin_bps: what is put on the book's price, such as the exchange's fee.
    max_age: how old a book may be, where the exchange says of when it is.
    timeout: of one call.
    """

    name: str
    exchange: str
    symbols: Mapping[str, str]
    margin_bps: int
    max_age: timedelta
    timeout: timedelta = timedelta(seconds=5)


class CcxtMissing(RuntimeError):
    """A price source is configured, and the package that it needs is not there."""


class Exchange(Protocol):
    """What is used of an exchange of `ccxt.async_support`."""

    async def load_markets(self) -> object: ...

    async def fetch_order_book(self, symbol: str, limit: int) -> object: ...

    async def close(self) -> None: ...


class CcxtPrices(IndicativeSource):
    """One exchange. A book is fetched once for all who ask, and goes on if they stop waiting."""

    def __init__(self, config: CcxtConfig, exchange: Exchange, clock: Clock) -> None:
        self._config = config
        self._exchange = exchange
        self._clock = clock
        self._fetching: dict[str, asyncio.Task[OrderBook | LpUnavailable]] = {}
        self._good_until: dict[str, float] = {}

    @property
    def name(self) -> str:
        return self._config.name

    async def look(self, instrument: Instrument, side: Side, fixed: Amount) -> Indication:
        symbol = self._config.symbols.get(instrument.code)
        if symbol is None:
            raise self._refused("UNKNOWN_INSTRUMENT")
        book = await asyncio.shield(self._book(symbol))
        if isinstance(book, LpUnavailable):
            raise book.with_traceback(None)
        if book.at is not None and abs(self._clock.now() - book.at) > self._config.max_age:
            raise self._unavailable("LP_BOOK_STALE")
        found = book.cost(instrument, side, fixed, margin_bps=self._config.margin_bps)
        if found is None:
            raise self._refused("NO_LIQUIDITY")
        return Indication(base=found[0], quote=found[1])

    async def close(self) -> None:
        for task in self._fetching.values():
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)
        await self._exchange.close()

    def _book(self, symbol: str) -> "asyncio.Task[OrderBook | LpUnavailable]":
        known = self._fetching.get(symbol)
        is_over = self._clock.monotonic() >= self._good_until.get(symbol, 0.0)
        if known is None or (known.done() and is_over):
            known = self._fetching[symbol] = asyncio.create_task(self._fetch(symbol))
        return known

    async def _fetch(self, symbol: str) -> OrderBook | LpUnavailable:
        """Return the book, or why there is none: nobody may be waiting to hear it raised."""
        try:
            # Of the markets that are known the exchange is not asked again.
            await self._exchange.load_markets()
            return read_book(await self._exchange.fetch_order_book(symbol, DEPTH))
        except BookUnreadable as error:
            return self._unavailable(f"LP_ANSWER_UNREADABLE: {error}")
        except Exception as error:
            return self._unavailable(type(error).__name__)
        finally:
            self._good_until[symbol] = self._clock.monotonic() + GOOD_FOR.total_seconds()

    def _unavailable(self, cause: str) -> LpUnavailable:
        return LpUnavailable(f"{self.name} could not be asked: {cause}", lp=self.name, cause=cause)

    def _refused(self, code: str) -> LpRefused:
        return LpRefused(f"{self.name} gives no price: {code}", lp=self.name, code=code)


@asynccontextmanager
async def open_ccxt_prices(
    configs: Sequence[CcxtConfig], clock: Clock
) -> AsyncIterator[Sequence[CcxtPrices]]:
    """Open all exchanges, or raise `CcxtMissing`; without any, ccxt need not be there."""
    async with AsyncExitStack() as stack:
        opened: list[CcxtPrices] = []
        if configs:
            package = await asyncio.to_thread(_package)
            session = await stack.enter_async_context(
                aiohttp.ClientSession(response_class=BoundedResponse)
            )
            for config in configs:
                prices = CcxtPrices(config, open_exchange(package, config, session), clock)
                stack.push_async_callback(prices.close)
                opened.append(prices)
        yield opened


def open_exchange(package: Any, config: CcxtConfig, session: aiohttp.ClientSession) -> Exchange:
    """Return the exchange of that id, or raise `ValueError` if there is none."""
    if config.exchange not in package.exchanges:
        raise ValueError(f"ccxt {package.__version__} knows no exchange {config.exchange!r}")
    kind = getattr(package, config.exchange)
    # ccxt makes levels floats whatever `number` says, and numbers of JSON too where orjson is
    # installed; here both stay the texts that they came as. Where an exchange's own code makes
    # floats all the same, the book is refused as unreadable.
    exact = type(
        kind.__name__, (kind,), {"on_json_response": _texts, "parse_order_book_bid_ask": _level}
    )
    made: Exchange = exact(
        {
            "session": session,
            "timeout": config.timeout // timedelta(milliseconds=1),
            "enableRateLimit": True,
            "number": str,
        }
    )
    return made


def _texts(_exchange: Any, body: str) -> Any:
    return json.loads(body, parse_float=str, parse_int=str)


def _level(
    exchange: Any, told: Any, price: Any = 0, amount: Any = 1, _count: Any = 2
) -> Sequence[str | None]:
    return [exchange.safe_string(told, price), exchange.safe_string(told, amount)]


def _package() -> Any:
    try:
        return importlib.import_module("ccxt.async_support")
    except ModuleNotFoundError as error:
        raise CcxtMissing('price sources need ccxt: pip install "reli[ccxt]"') from error


class BoundedResponse(aiohttp.ClientResponse):
    """An answer that is not read on once it is too long; ccxt itself reads any to its end."""

    async def read(self) -> bytes:
        if self._body is None:
            body = bytearray()
            async for chunk in self.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    self.close()
                    raise aiohttp.ClientPayloadError(f"more than {MAX_ANSWER_BYTES} bytes")
            self._body = bytes(body)
        return self._body
