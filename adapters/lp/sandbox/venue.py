"""The sandbox venue: an HTTP server that quotes, fills, keeps a book, and fails on demand.

Its public port is what a liquidity provider offers, in the wire format of its face. Its admin port,
which no real one has, chooses how it misbehaves and shows its book. Both listen on 127.0.0.1 only.
"""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from adapters.lp.sandbox.behavior import (
    DRIP_EVERY_S,
    LATE_FILL_MS,
    STUCK_S,
    Behavior,
    BehaviorSwitch,
)
from adapters.lp.sandbox.book import Book, OrderStatus
from adapters.lp.sandbox.desk import Desk, Refused
from adapters.lp.sandbox.face import OWN
from adapters.lp.sandbox.face.b2c2 import B2c2Face
from adapters.lp.sandbox.face.binance import BinanceFace
from adapters.lp.sandbox.face.bybit import BybitFace
from adapters.lp.sandbox.face.face import Face
from adapters.lp.sandbox.face.okx import OkxFace
from adapters.lp.sandbox.face.own import OwnFace, order_fields
from adapters.lp.sandbox.face.valr import ValrFace
from adapters.lp.sandbox.face.zero_hash import ZeroHashFace
from adapters.lp.sandbox.rates import ASSETS, Rates, half_spread_bps
from adapters.lp.sandbox.trading import Spoiled, Trading
from adapters.lp.sandbox.wire import date_text, malformed, read_body, read_text, respond, time_text
from adapters.system.clock import SystemClock
from domain.amount import Amount
from domain.errors import DomainError
from ports.clock import Clock

HOST: Final = "127.0.0.1"
MAX_REQUEST_BYTES: Final = 16 * 1024
MAX_COUNT: Final = 1_000_000
MAX_LATE_MS: Final = 86_400_000
MAX_SKEW_MS: Final = 86_400_000
MAX_TRADES: Final = 5_000
"""Of one statement; the next one goes on from there."""
_MICROSECOND: Final = timedelta(microseconds=1)
_SHUTDOWN_S: Final = 0.5
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}", re.ASCII)
_PAGE: Final = b"<html><body><h1>We will be back soon</h1></body></html>"

_SHORT: Final = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n{"code":'
)

FACES: Final[Mapping[str, type[Face]]] = {
    OWN: OwnFace,
    "okx": OkxFace,
    "zero-hash": ZeroHashFace,
    "valr": ValrFace,
    "binance": BinanceFace,
    "bybit": BybitFace,
    "b2c2": B2c2Face,
}
"""The wire formats by name; one that trades with them is the adapter of that name."""

_STICKS: Final = frozenset({Behavior.STUCK, Behavior.STUCK_QUOTE})
_DRIPS: Final = frozenset({Behavior.DRIP, Behavior.DRIP_QUOTE})

_PAGES: Final = {
    Behavior.GARBAGE: 200,
    Behavior.SERVER_ERROR: 500,
    Behavior.UNAVAILABLE: 503,
    Behavior.OVERLOADED: 429,
}
"""The HTTP status of what is answered with a web page."""


class SkewedClock(Clock):
    """The venue's clock, which may be wrong."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.skew = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self.skew

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """One desk with its two ports; every answer of the admin port says the venue's time."""

    name: str
    trading: Trading
    book: Book
    rates: Rates
    clock: SkewedClock
    face: Face

    def public(self) -> web.Application:
        app = web.Application(middlewares=[self._show_face], client_max_size=MAX_REQUEST_BYTES)
        app.router.add_routes(self.face.routes())
        if isinstance(self.face, OwnFace):
            app.router.add_get("/v1/statement", self._get_statement)
        return app

    def admin(self) -> web.Application:
        app = web.Application(middlewares=[self._refuse], client_max_size=MAX_REQUEST_BYTES)
        app.router.add_get("/v1/behavior", self._get_behavior)
        app.router.add_put("/v1/behavior", self._set_behavior)
        app.router.add_delete("/v1/behavior", self._clear_behavior)
        app.router.add_get("/v1/book", self._get_book)
        app.router.add_get("/v1/statement", self._get_statement)
        app.router.add_get("/v1/clock", self._get_clock)
        app.router.add_put("/v1/clock", self._set_clock)
        app.router.add_get("/v1/deduplication", self._get_deduplication)
        app.router.add_put("/v1/deduplication", self._set_deduplication)
        app.router.add_get("/v1/rates", self._get_rates)
        app.router.add_put("/v1/rates", self._set_rate)
        return app

    @web.middleware
    async def _show_face(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Spoiled as spoiled:
            return await self._spoil(request, spoiled.behavior)
        except Refused as refused:
            return self.face.refuse(request, refused)
        except DomainError as error:
            return self.face.refuse(request, Refused(400, error.reason, error.message))
        except web.HTTPException as refused:
            return self.face.refuse(request, _as_refused(refused))

    @web.middleware
    async def _refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            refused = _as_refused(error)
        except Refused as error:
            refused = error
        error_fields = {"code": refused.code, "message": refused.message}
        return self._answer({"error": error_fields}, status=refused.status)

    async def _spoil(self, request: web.Request, behavior: Behavior) -> web.StreamResponse:
        if behavior in _DRIPS:
            return await self._drip(request)
        if behavior in _STICKS:
            await self.clock.sleep(STUCK_S)
        status = _PAGES.get(behavior)
        if status is not None:
            date = {"Date": date_text(self.clock.now())}
            return web.Response(body=_PAGE, status=status, content_type="text/html", headers=date)
        if request.transport is not None:
            if behavior is Behavior.SHORT_BODY:
                request.transport.write(_SHORT)
            request.transport.close()
        return web.Response()  # which is never written

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        drops = round(STUCK_S / DRIP_EVERY_S)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = drops + 1  # so that the answer is never whole
        with suppress(ConnectionError):
            await response.prepare(request)
            for _ in range(drops):
                await response.write(b" ")
                await self.clock.sleep(DRIP_EVERY_S)
        if request.transport is not None:
            request.transport.close()
        return response

    def _answer(self, body: dict[str, Any], *, status: int = 200) -> web.Response:
        now = self.clock.now()
        return respond({**body, "time": time_text(now)}, now=now, status=status)

    async def _get_statement(self, request: web.Request) -> web.Response:
        told = self.book.statement(request.query.get("after", ""), MAX_TRADES)
        now = self.clock.now()
        times = [booked.order.decided_at for booked in told.executions]
        closing = dict(told.opening)
        for booked in told.executions:
            for code, units in booked.order.gained:
                closing[code] = closing.get(code, 0) + units
        return self._answer(
            {
                "source": self.name,
                "start_time": time_text(min(times, default=now)),
                "end_time": time_text(max([now, *times]) + _MICROSECOND),
                "position": told.position,
                "has_more": told.has_more,
                "balances": [
                    {
                        "asset": code,
                        "opening": Amount(ASSETS[code], told.opening.get(code, 0)).value,
                        "closing": Amount(ASSETS[code], units).value,
                    }
                    for code, units in sorted(closing.items())
                ],
                "trades": [order_fields(booked) for booked in told.executions],
            }
        )

    async def _get_behavior(self, request: web.Request) -> web.Response:
        behavior, count = self.trading.behavior.behavior, self.trading.behavior.remaining
        return self._answer({"behavior": behavior, "count": count})

    async def _set_behavior(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        try:
            behavior = Behavior(read_text(body, "behavior"))
        except ValueError:
            raise malformed(f"behavior must be one of {', '.join(Behavior)}") from None
        count = body.get("count")
        if count is not None and (type(count) is not int or not 0 < count <= MAX_COUNT):
            raise malformed(f"count must be null or 1 to {MAX_COUNT}")
        late_ms = body.get("late_ms", LATE_FILL_MS)
        if type(late_ms) is not int or not 0 < late_ms <= MAX_LATE_MS:
            raise malformed(f"late_ms must be 1 to {MAX_LATE_MS}")
        self.trading.behavior.set(behavior, count, late_ms=late_ms)
        return await self._get_behavior(request)

    async def _clear_behavior(self, request: web.Request) -> web.Response:
        self.trading.behavior.clear()
        return await self._get_behavior(request)

    async def _get_book(self, request: web.Request) -> web.Response:
        executions: list[dict[str, Any]] = []
        rejections: list[dict[str, Any]] = []
        for booked in self.book:
            is_filled = booked.order.status is OrderStatus.FILLED
            fields = order_fields(booked) | {"order_id": self.face.order_id(booked)}
            (executions if is_filled else rejections).append(fields)
        return self._answer({"executions": executions, "rejections": rejections})

    async def _get_clock(self, request: web.Request) -> web.Response:
        return self._answer({"skew_ms": self.clock.skew // timedelta(milliseconds=1)})

    async def _set_clock(self, request: web.Request) -> web.Response:
        skew_ms = (await read_body(request)).get("skew_ms")
        if type(skew_ms) is not int or abs(skew_ms) > MAX_SKEW_MS:
            raise malformed(f"skew_ms must be -{MAX_SKEW_MS} to {MAX_SKEW_MS}")
        self.clock.skew = timedelta(milliseconds=skew_ms)
        return await self._get_clock(request)

    async def _get_deduplication(self, request: web.Request) -> web.Response:
        return self._answer({"enabled": self.trading.deduplicates})

    async def _set_deduplication(self, request: web.Request) -> web.Response:
        enabled = (await read_body(request)).get("enabled")
        if not isinstance(enabled, bool):
            raise malformed("enabled must be true or false")
        self.trading.deduplicates = enabled
        return await self._get_deduplication(request)

    async def _get_rates(self, request: web.Request) -> web.Response:
        return self._answer({"prices": self.rates.prices()})

    async def _set_rate(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        if not self.rates.move(read_text(body, "instrument"), read_text(body, "price")):
            raise malformed("instrument must be traded here and price a positive decimal")
        return await self._get_rates(request)


@dataclass(frozen=True, slots=True)
class VenuePorts:
    """Where a running venue listens, and the venue itself for whoever shares its process."""

    public: int
    admin: int
    venue: Venue


@asynccontextmanager
async def open_venue(
    *,
    name: str,
    port: int,
    admin_port: int,
    data_dir: Path,
    position: int,
    deduplicates: bool = True,
    face: str = OWN,
    clock: Clock,
) -> AsyncIterator[VenuePorts]:
    """Serve a venue while the context is open; a port of 0 takes a free one.

    Raises `sqlite3.OperationalError` when another process has the book of that name, and
    `OSError` when a port is taken.
    """
    if not NAME.fullmatch(name) or position < 1:
        raise ValueError("a venue has a lower-case name and a position of 1 or more")
    async with AsyncExitStack() as stack:
        book = Book(data_dir, name)
        stack.callback(book.close)
        rates = Rates(half_spread_bps(position))
        skewed = SkewedClock(clock)
        trading = Trading(
            desk=Desk(name=name, position=position, rates=rates, book=book, clock=skewed),
            behavior=BehaviorSwitch(),
            clock=skewed,
            deduplicates=deduplicates,
        )
        venue = Venue(
            name=name,
            trading=trading,
            book=book,
            rates=rates,
            clock=skewed,
            face=FACES[face](trading),
        )
        yield VenuePorts(
            public=await _listen(stack, venue.public(), port),
            admin=await _listen(stack, venue.admin(), admin_port),
            venue=venue,
        )


async def run_venue(
    *,
    name: str,
    port: int,
    admin_port: int,
    data_dir: Path,
    position: int,
    deduplicates: bool = True,
    face: str = OWN,
) -> None:
    """Serve a venue until SIGTERM, SIGINT or cancellation.

    Position 1 has the better prices and the first digit of a magic amount. Raises as `open_venue`.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    async with open_venue(
        name=name,
        port=port,
        admin_port=admin_port,
        data_dir=data_dir,
        position=position,
        deduplicates=deduplicates,
        face=face,
        clock=SystemClock(),
    ):
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stopped.set)
        try:
            await stopped.wait()
        finally:
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(signum)


async def run_venues(
    faces: Sequence[str],
    *,
    port_base: int | None,
    data_dir: Path,
    on_ready: Callable[[VenuePorts], object],
) -> None:
    """Serve a venue of each wire format until cancellation; raises as `open_venue`.

    Without a base for their ports they take free ones.
    """
    async with AsyncExitStack() as stack:
        for number, face in enumerate(faces):
            port = 0 if port_base is None else port_base + 2 * number
            venue = open_venue(
                name=face,
                port=port,
                admin_port=port and port + 1,
                data_dir=data_dir,
                position=1,
                face=face,
                clock=SystemClock(),
            )
            on_ready(await stack.enter_async_context(venue))
        await asyncio.Event().wait()


async def _listen(stack: AsyncExitStack, app: web.Application, port: int) -> int:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, HOST, port).start()
    bound: int = runner.addresses[0][1]
    return bound


def _as_refused(error: web.HTTPException) -> Refused:
    return Refused(error.status, f"HTTP_{error.status}", error.reason)
