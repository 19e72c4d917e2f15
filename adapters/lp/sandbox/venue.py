"""The sandbox venue: an HTTP server that quotes, fills, keeps a book, and fails on demand.

Its public port is what a liquidity provider offers. Its admin port, which no real one has, chooses
how it misbehaves and shows its book. Both listen on 127.0.0.1 only.
"""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from adapters.lp.sandbox.behavior import (
    FILL_DELAY_S,
    LATE_FILL_MS,
    ON_ORDER,
    ON_QUOTE,
    QUOTE_DELAY_S,
    Behavior,
    BehaviorSwitch,
)
from adapters.lp.sandbox.book import Book, BookedOrder, OrderStatus
from adapters.lp.sandbox.desk import Desk, Refused, VenueQuote, verdict
from adapters.lp.sandbox.rates import ASSETS, Rates, half_spread_bps
from adapters.system.clock import SystemClock
from domain.amount import Amount
from domain.side import Side
from ports.clock import Clock

HOST: Final = "127.0.0.1"
MAX_REQUEST_BYTES: Final = 16 * 1024
MAX_COUNT: Final = 1_000_000
MAX_LATE_MS: Final = 86_400_000
MAX_TRADES: Final = 5_000
"""Of one statement; the next one goes on from there."""
_MICROSECOND: Final = timedelta(microseconds=1)
_SHUTDOWN_S: Final = 0.5
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}", re.ASCII)
_ID: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_GARBAGE: Final = b"<html><body><h1>We will be back soon</h1></body></html>"
_ORDER: Final = web.RequestKey("client_order_id", str)
_CUT: Final = frozenset({Behavior.CUT_AFTER_FILL, Behavior.LATE_FILL})


class Venue:
    """The two HTTP faces of one desk.

    Every JSON answer, a refusal too, carries the venue's clock in `time`.
    """

    def __init__(
        self,
        *,
        name: str,
        desk: Desk,
        book: Book,
        rates: Rates,
        clock: Clock,
        deduplicates: bool,
    ) -> None:
        self._name = name
        self._desk = desk
        self._book = book
        self._rates = rates
        self._clock = clock
        self._deduplicates = deduplicates
        self._behavior = BehaviorSwitch()

    def public(self) -> web.Application:
        app = self._application()
        app.router.add_get("/v1/time", self._get_time)
        app.router.add_post("/v1/quotes", self._create_quote)
        app.router.add_post("/v1/orders", self._create_order)
        app.router.add_get("/v1/orders/{client_order_id}", self._get_order)
        app.router.add_get("/v1/statement", self._get_statement)
        return app

    def admin(self) -> web.Application:
        app = self._application()
        app.router.add_get("/v1/behavior", self._get_behavior)
        app.router.add_put("/v1/behavior", self._set_behavior)
        app.router.add_delete("/v1/behavior", self._clear_behavior)
        app.router.add_get("/v1/book", self._get_book)
        app.router.add_get("/v1/deduplication", self._get_deduplication)
        app.router.add_put("/v1/deduplication", self._set_deduplication)
        app.router.add_get("/v1/rates", self._get_rates)
        app.router.add_put("/v1/rates", self._set_rate)
        return app

    def _application(self) -> web.Application:
        return web.Application(
            middlewares=[self._answer_refusals], client_max_size=MAX_REQUEST_BYTES
        )

    @web.middleware
    async def _answer_refusals(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            error = {"code": refused.code, "message": refused.message}
            about = {"client_order_id": request[_ORDER]} if _ORDER in request else {}
            return self._answer({"error": error, **about}, status=refused.status)
        except web.HTTPException as refused:
            error = {"code": f"HTTP_{refused.status}", "message": refused.reason}
            return self._answer({"error": error}, status=refused.status)

    def _answer(self, body: dict[str, Any], *, status: int = 200) -> web.Response:
        body["time"] = _time(self._clock.now())
        return web.Response(
            body=json.dumps(body).encode(), status=status, content_type="application/json"
        )

    async def _get_time(self, request: web.Request) -> web.Response:
        return self._answer({})

    async def _create_quote(self, request: web.Request) -> web.Response:
        body = await _body(request)
        client_quote_id = _id(body, "client_quote_id")
        base, quote = _text(body, "base_asset"), _text(body, "quote_asset")
        side = _side(body)
        is_base = "base_amount" in body
        if is_base == ("quote_amount" in body):
            raise _malformed("exactly one of base_amount and quote_amount must be given")
        text = _text(body, "base_amount" if is_base else "quote_amount")
        priced = self._desk.price(
            client_quote_id=client_quote_id,
            base=base,
            quote=quote,
            side=side,
            text=text,
            is_base=is_base,
        )
        behavior = self._behavior.take(ON_QUOTE, otherwise=priced.behavior)
        if behavior is Behavior.REFUSE_QUOTE:
            raise Refused(422, "NO_PRICE", "no price is given for this")
        if behavior is Behavior.SLOW:
            await self._clock.sleep(QUOTE_DELAY_S)
        return self._answer(_quote_fields(priced))

    async def _create_order(self, request: web.Request) -> web.Response:
        body = await _body(request)
        client_order_id = request[_ORDER] = _id(body, "client_order_id")
        quote_id = _id(body, "quote_id")
        if self._deduplicates:
            if self._desk.is_working(client_order_id):
                return self._answer(_working_fields(client_order_id))
            if known := self._desk.find_order(client_order_id):
                if known.order.status is OrderStatus.REJECTED:
                    raise verdict(known.order.code)
                return self._answer(_order_fields(known))
        quote = self._desk.find_quote(quote_id)
        behavior = self._behavior.take(ON_ORDER, otherwise=quote.behavior)
        if behavior is Behavior.CUT_BEFORE_FILL:
            return _cut(request)
        self._desk.take(quote, client_order_id, behavior)
        if behavior is Behavior.SLOW:
            with self._desk.working(client_order_id):
                await self._clock.sleep(FILL_DELAY_S)
        filled = self._desk.fill(quote, client_order_id, behavior, late_ms=self._behavior.late_ms)
        if behavior in _CUT:
            return _cut(request)
        if behavior is Behavior.GARBAGE:
            return web.Response(body=_GARBAGE, content_type="text/html")
        return self._answer(_order_fields(filled))

    async def _get_order(self, request: web.Request) -> web.Response:
        client_order_id = request[_ORDER] = request.match_info["client_order_id"]
        if self._desk.is_working(client_order_id):
            return self._answer(_working_fields(client_order_id))
        known = self._desk.find_visible_order(client_order_id)
        if known is None:
            raise Refused(404, "ORDER_NOT_FOUND", "no such order is known")
        return self._answer(_order_fields(known))

    async def _get_statement(self, request: web.Request) -> web.Response:
        told = self._book.statement(request.query.get("after", ""), MAX_TRADES)
        now = self._clock.now()
        times = [booked.order.decided_at for booked in told.executions]
        closing = dict(told.opening)
        for booked in told.executions:
            for code, units in booked.order.gained:
                closing[code] = closing.get(code, 0) + units
        return self._answer(
            {
                "source": self._name,
                "start_time": _time(min(times, default=now)),
                "end_time": _time(max([now, *times]) + _MICROSECOND),
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
                "trades": [_order_fields(booked) for booked in told.executions],
            }
        )

    async def _get_behavior(self, request: web.Request) -> web.Response:
        behavior, count = self._behavior.behavior, self._behavior.remaining
        return self._answer({"behavior": behavior, "count": count})

    async def _set_behavior(self, request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            behavior = Behavior(_text(body, "behavior"))
        except ValueError:
            raise _malformed(f"behavior must be one of {', '.join(Behavior)}") from None
        count = body.get("count")
        if count is not None and (type(count) is not int or not 0 < count <= MAX_COUNT):
            raise _malformed(f"count must be null or 1 to {MAX_COUNT}")
        late_ms = body.get("late_ms", LATE_FILL_MS)
        if type(late_ms) is not int or not 0 < late_ms <= MAX_LATE_MS:
            raise _malformed(f"late_ms must be 1 to {MAX_LATE_MS}")
        self._behavior.set(behavior, count, late_ms=late_ms)
        return await self._get_behavior(request)

    async def _clear_behavior(self, request: web.Request) -> web.Response:
        self._behavior.clear()
        return await self._get_behavior(request)

    async def _get_book(self, request: web.Request) -> web.Response:
        executions: list[dict[str, Any]] = []
        rejections: list[dict[str, Any]] = []
        for booked in self._book:
            is_filled = booked.order.status is OrderStatus.FILLED
            (executions if is_filled else rejections).append(_order_fields(booked))
        return self._answer({"executions": executions, "rejections": rejections})

    async def _get_deduplication(self, request: web.Request) -> web.Response:
        return self._answer({"enabled": self._deduplicates})

    async def _set_deduplication(self, request: web.Request) -> web.Response:
        enabled = (await _body(request)).get("enabled")
        if not isinstance(enabled, bool):
            raise _malformed("enabled must be true or false")
        self._deduplicates = enabled
        return await self._get_deduplication(request)

    async def _get_rates(self, request: web.Request) -> web.Response:
        return self._answer({"prices": self._rates.prices()})

    async def _set_rate(self, request: web.Request) -> web.Response:
        body = await _body(request)
        if not self._rates.move(_text(body, "instrument"), _text(body, "price")):
            raise _malformed("instrument must be traded here and price a positive decimal")
        return await self._get_rates(request)


@dataclass(frozen=True, slots=True)
class VenuePorts:
    """Where a running venue listens."""

    public: int
    admin: int


@asynccontextmanager
async def open_venue(
    *,
    name: str,
    port: int,
    admin_port: int,
    data_dir: Path,
    position: int,
    deduplicates: bool = True,
    clock: Clock,
) -> AsyncIterator[VenuePorts]:
    """Serve a venue while the context is open; a port of 0 takes a free one.

    Raises `sqlite3.OperationalError` when another process has the book of that name, and
    `OSError` when a port is taken.
    """
    if not _NAME.fullmatch(name) or position < 1:
        raise ValueError("a venue has a lower-case name and a position of 1 or more")
    async with AsyncExitStack() as stack:
        book = Book(data_dir, name)
        stack.callback(book.close)
        rates = Rates(half_spread_bps(position))
        desk = Desk(name=name, position=position, rates=rates, book=book, clock=clock)
        venue = Venue(
            name=name, desk=desk, book=book, rates=rates, clock=clock, deduplicates=deduplicates
        )
        yield VenuePorts(
            public=await _listen(stack, venue.public(), port),
            admin=await _listen(stack, venue.admin(), admin_port),
        )


async def run_venue(
    *,
    name: str,
    port: int,
    admin_port: int,
    data_dir: Path,
    position: int,
    deduplicates: bool = True,
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
        clock=SystemClock(),
    ):
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stopped.set)
        try:
            await stopped.wait()
        finally:
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(signum)


async def _listen(stack: AsyncExitStack, app: web.Application, port: int) -> int:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, HOST, port).start()
    bound: int = runner.addresses[0][1]
    return bound


def _cut(request: web.Request) -> web.Response:
    """Close the connection; the response is never written."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _quote_fields(given: VenueQuote) -> dict[str, Any]:
    return {
        "quote_id": given.id,
        "client_quote_id": given.client_quote_id,
        "base_asset": given.base.asset.code,
        "quote_asset": given.quote.asset.code,
        "side": given.side,
        "base_amount": given.base.value,
        "quote_amount": given.quote.value,
        "expire_time": _time(given.expires_at),
    }


def _order_fields(booked: BookedOrder) -> dict[str, Any]:
    order = booked.order
    fields: dict[str, Any] = {
        "order_id": booked.id,
        "client_order_id": order.client_order_id,
        "quote_id": order.quote_id,
        "status": order.status,
        "base_asset": order.base.asset.code,
        "quote_asset": order.quote.asset.code,
        "side": order.side,
        "base_amount": order.base.value,
        "quote_amount": order.quote.value,
        "execute_time": _time(order.decided_at),
    }
    if order.status is OrderStatus.REJECTED:
        fields["code"] = order.code
    return fields


def _working_fields(client_order_id: str) -> dict[str, Any]:
    return {"client_order_id": client_order_id, "status": "working"}


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _malformed(message: str) -> Refused:
    return Refused(400, "MALFORMED_REQUEST", message)


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise _malformed("the body must be a JSON object") from None
    if not isinstance(body, dict):
        raise _malformed("the body must be a JSON object")
    return body


def _text(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str):
        raise _malformed(f"{field} must be a string")
    return value


def _id(body: dict[str, Any], field: str) -> str:
    value = _text(body, field)
    if not _ID.fullmatch(value):
        raise _malformed(f"{field} must be 1 to 64 printable ASCII characters")
    return value


def _side(body: dict[str, Any]) -> Side:
    try:
        return Side(_text(body, "side"))
    except ValueError:
        raise _malformed("side must be buy or sell") from None
