"""VALR's wire format, as docs.valr.com shows it (docs/venues.md)."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, ClassVar, Final
from uuid import UUID

from aiohttp import web

from adapters.lp.sandbox.behavior import ON_QUOTE, QUOTE_DELAY_S, SPOILS_QUOTE, Behavior
from adapters.lp.sandbox.book import BookedOrder, OrderStatus
from adapters.lp.sandbox.desk import Refused
from adapters.lp.sandbox.face.face import Face
from adapters.lp.sandbox.rates import Rate
from adapters.lp.sandbox.trading import Spoiled, Trading, Working
from adapters.lp.sandbox.wire import (
    plain_text,
    read_body,
    read_query,
    read_text,
    respond,
    since_1970,
)
from domain.amount import Amount
from domain.price import Price
from domain.rounding import divide_down, divide_up
from domain.side import Side

API_KEY: Final = "sandbox-valr-key"
SECRET: Final = "sandbox-valr-secret"
"""What the local venue knows its only customer by."""

WINDOW: Final = timedelta(seconds=30)
"""How far a request's time may be from the venue's."""

PAGE: Final = 100
"""The most that one page of the order history has."""

DEPTH: Final = "1000000"
"""Of the base, on each side of the book, for one price."""


class ValrFace(Face):
    """An order book of one level; orders have a limit and are filled whole or canceled."""

    settings: ClassVar = {
        "api_key": API_KEY,
        "secret": SECRET,
        "tick_sizes": {"BTC-NGN": "1", "BTC-ZAR": "1", "USDT-NGN": "0.01"},
        "price_risk_bps": 20,
        "taker_fee_bps": 0,
    }

    def __init__(self, trading: Trading) -> None:
        self._trading = trading

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/v1/marketdata/{pair}/orderbook", self._order_book),
            web.post("/v2/orders/limit", self._order),
            web.get("/v1/orders/history/summary/customerorderid/{id}", self._summary),
            web.get("/v1/orders/history", self._history),
        ]

    def order_id(self, booked: BookedOrder) -> str:
        return _uuid(booked)

    def refuse(self, request: web.Request, refused: Refused) -> web.Response:
        status = refused.status if refused.status in (401, 404, 405, 413) else 400
        return self._answer({"code": -11, "message": refused.message}, status=status)

    async def _order_book(self, request: web.Request) -> web.Response:
        await self._admit(request)
        pair = request.match_info["pair"]
        rate = self._rate(pair)
        behavior = self._trading.behavior.take(ON_QUOTE, otherwise=Behavior.FILL)
        if behavior in SPOILS_QUOTE:
            raise Spoiled(behavior)
        if behavior is Behavior.SLOW:
            await self._trading.clock.sleep(QUOTE_DELAY_S)
        is_empty = behavior is Behavior.REFUSE_QUOTE
        return self._answer(
            {
                "Asks": [] if is_empty else [_level(pair, rate, Side.BUY)],
                "Bids": [] if is_empty else [_level(pair, rate, Side.SELL)],
                "LastChange": _time(self._trading.clock.now()),
            }
        )

    async def _order(self, request: web.Request) -> web.Response:
        await self._admit(request)
        body = await read_body(request)
        customer_id = read_text(body, "customerOrderId")
        rate = self._rate(read_text(body, "pair"))
        side = _side(body)
        if read_text(body, "timeInForce") != "FOK":
            raise Refused(400, "BAD_REQUEST", "only FOK is traded here")
        try:
            price = Fraction(read_text(body, "price"))
        except ValueError:
            raise Refused(400, "BAD_REQUEST", "price is no number") from None
        given = self._trading.desk.price(
            client_quote_id=customer_id,
            base=rate.instrument.base.code,
            quote=rate.instrument.quote.code,
            side=side,
            text=read_text(body, "quantity"),
            is_base=True,
        )
        try:
            await self._trading.order(
                client_order_id=customer_id,
                quote_id=given.id,
                limit=_worth(given.base, price, rate, side),
            )
        except Refused as refused:
            if refused.code == "HALTED":
                raise
        decided = self._trading.desk.find_order(customer_id)
        assert decided is not None
        return self._answer({"id": _uuid(decided)}, status=201)

    async def _summary(self, request: web.Request) -> web.Response:
        await self._admit(request)
        try:
            known = self._trading.find(request.match_info["id"])
        except Working:
            known = None
        if known is None:
            raise Refused(404, "NOT_FOUND", "the order was not found")
        return self._answer(_summary_fields(known))

    async def _history(self, request: web.Request) -> web.Response:
        await self._admit(request)
        skip = read_query(request, "skip", otherwise=0)
        limit = min(read_query(request, "limit", otherwise=PAGE), PAGE)
        after, before = (_instant(request.query[name]) for name in ("startTime", "endTime"))
        listed = [
            _summary_fields(booked)
            for booked in await self._trading.listing()
            if after < booked.order.decided_at < before
        ]
        return self._answer(listed[skip : skip + limit])

    def _rate(self, pair: str) -> Rate:
        rate = self._trading.desk.find_pair(pair)
        if rate is None:
            raise Refused(404, "UNKNOWN_INSTRUMENT", "no such pair")
        return rate

    async def _admit(self, request: web.Request) -> None:
        headers = request.headers
        stamp = headers.get("X-VALR-TIMESTAMP", "")
        if headers.get("X-VALR-API-KEY") != API_KEY or not stamp.isdigit():
            raise Refused(401, "UNAUTHORIZED", "API key or timestamp is invalid")
        if abs(since_1970(self._trading.clock.now()) - timedelta(milliseconds=int(stamp))) > WINDOW:
            raise Refused(401, "UNAUTHORIZED", "the request has expired")
        signed = f"{stamp}{request.method}{request.raw_path}".encode() + await request.read()
        expected = hmac.digest(SECRET.encode(), signed, hashlib.sha512).hex()
        if not hmac.compare_digest(headers.get("X-VALR-SIGNATURE", ""), expected):
            raise Refused(401, "UNAUTHORIZED", "the signature is invalid")

    def _answer(
        self, body: dict[str, Any] | list[dict[str, Any]], *, status: int = 200
    ) -> web.Response:
        return respond(body, now=self._trading.clock.now(), status=status)


def _level(pair: str, rate: Rate, side: Side) -> dict[str, Any]:
    """Return what a taker of that side meets, rounded to a price of two digits against them."""
    ratio = rate.ask if side is Side.BUY else rate.bid
    instrument = rate.instrument
    cents = 100 * ratio.numerator * 10**instrument.base.scale
    whole = ratio.denominator * 10**instrument.quote.scale
    price = divide_up(cents, whole) if side is Side.BUY else divide_down(cents, whole)
    return {
        "side": "sell" if side is Side.BUY else "buy",
        "quantity": DEPTH,
        "price": f"{price // 100}.{price % 100:02}",
        "currencyPair": pair,
        "orderCount": 1,
    }


def _worth(base: Amount, price: Fraction, rate: Rate, side: Side) -> Amount:
    """Return the most to be paid, or the least to be received."""
    instrument = rate.instrument
    exact = price * base.units * 10**instrument.quote.scale / 10**instrument.base.scale
    divide = divide_down if side is Side.BUY else divide_up
    return Amount(instrument.quote, divide(exact.numerator, exact.denominator))


def _summary_fields(booked: BookedOrder) -> dict[str, Any]:
    order = booked.order
    is_filled = order.status is OrderStatus.FILLED
    state = "Filled" if is_filled else "Cancelled" if order.code == "NOT_FILLED" else "Failed"
    return {
        "orderId": _uuid(booked),
        "orderStatusType": state,
        "currencyPair": order.base.asset.code + order.quote.asset.code,
        "averagePrice": Price.of(order.base, order.quote).value if is_filled else "0",
        "originalPrice": Price.of(order.base, order.quote).value,
        "remainingQuantity": "0" if is_filled else plain_text(order.base),
        "originalQuantity": plain_text(order.base),
        "total": plain_text(order.quote) if is_filled else "0",
        "totalExecutedQuantity": plain_text(order.base) if is_filled else "0",
        "totalFee": "0",
        "feeCurrency": (order.base if order.side is Side.BUY else order.quote).asset.code,
        "orderSide": order.side,
        "orderType": "limit",
        "failedReason": "" if is_filled else "the order was not filled",
        "orderUpdatedAt": _time(order.decided_at),
        "orderCreatedAt": _time(order.decided_at),
        "customerOrderId": order.client_order_id,
        "timeInForce": "FOK",
    }


def _uuid(booked: BookedOrder) -> str:
    """Return the order's id in the form of this venue."""
    return str(UUID(bytes=hashlib.sha256(booked.id.encode()).digest()[:16], version=4))


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(400, "BAD_REQUEST", "startTime and endTime are times of ISO 8601") from None


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _side(body: dict[str, Any]) -> Side:
    try:
        return Side(read_text(body, "side").lower())
    except ValueError:
        raise Refused(400, "BAD_REQUEST", "side must be BUY or SELL") from None
