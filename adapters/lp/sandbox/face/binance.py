"""Binance Convert's wire format, as developers.binance.com shows it (docs/venues.md)."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

from aiohttp import web

from adapters.lp.sandbox.book import BookedOrder, OrderStatus
from adapters.lp.sandbox.desk import Refused
from adapters.lp.sandbox.face.face import Face
from adapters.lp.sandbox.trading import Trading, Working
from adapters.lp.sandbox.wire import plain_text, respond, since_1970, unix_milliseconds
from domain.amount import Amount
from domain.price import Price
from domain.side import Side

API_KEY: Final = "sandbox-binance-key"
SECRET: Final = "sandbox-binance-secret"
"""What the local venue knows its only customer by."""

WINDOW: Final = timedelta(seconds=5)
"""How far a request's time may be from the venue's, unless it says otherwise."""

MAX_LIMIT: Final = 1_000
LONGEST: Final = timedelta(days=30)
"""How much, and of how long a time, is listed at once."""

_CODES: Final = {"ORDER_NOT_FOUND": -2013, "HALTED": -1000}
_REFUSED: Final = 345103


class BinanceFace(Face):
    """Takes forms, executes a quote by its id, and says an order's id as a number of 64 bits."""

    settings: ClassVar = {"api_key": API_KEY, "secret": SECRET}

    def __init__(self, trading: Trading) -> None:
        self._trading = trading

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/sapi/v1/convert/getQuote", self._get_quote),
            web.post("/sapi/v1/convert/acceptQuote", self._accept_quote),
            web.get("/sapi/v1/convert/orderStatus", self._order_status),
            web.get("/sapi/v1/convert/tradeFlow", self._trade_flow),
        ]

    def order_id(self, booked: BookedOrder) -> str:
        return str(_number(booked.id))

    def refuse(self, request: web.Request, refused: Refused) -> web.Response:
        if refused.code.lstrip("-").isdigit():
            code = int(refused.code)
        else:
            code = _CODES.get(refused.code, _REFUSED)
        status = refused.status if refused.status in (401, 405, 413) else 400
        return self._answer({"code": code, "msg": refused.message}, status=status)

    async def _get_quote(self, request: web.Request) -> web.Response:
        form = await self._admit(request)
        given, received = _text(form, "fromAsset"), _text(form, "toAsset")
        # The venue knows conversions, its desk instruments: whichever it trades is meant.
        side = Side.SELL if self._trading.desk.find_rate(given, received) else Side.BUY
        base, quote = (given, received) if side is Side.SELL else (received, given)
        is_from = "fromAmount" in form
        price = await self._trading.price(
            client_quote_id="",
            base=base,
            quote=quote,
            side=side,
            text=_text(form, "fromAmount" if is_from else "toAmount"),
            is_base=is_from is (side is Side.SELL),
        )
        return self._answer(
            {
                "quoteId": price.id,
                "validTimestamp": unix_milliseconds(price.expires_at),
                **_converted(price.side, price.base, price.quote),
            }
        )

    async def _accept_quote(self, request: web.Request) -> web.Response:
        form = await self._admit(request)
        quote_id = _text(form, "quoteId")
        if self._trading.desk.find_quote(quote_id).used_by:
            raise Refused(400, str(_REFUSED), "the quote was accepted already")
        try:
            traded = await self._trading.order(client_order_id=quote_id, quote_id=quote_id)
        except Refused as refused:
            decided = self._trading.desk.find_order(quote_id)
            if refused.code != "REJECTED" or decided is None:
                raise
            traded = decided
        return self._answer(
            {
                "orderId": str(_number(traded.id)),
                "createTime": unix_milliseconds(traded.order.decided_at),
                "orderStatus": "PROCESS",
            }
        )

    async def _order_status(self, request: web.Request) -> web.Response:
        form = await self._admit(request)
        try:
            known = self._trading.find(_text(form, "quoteId"))
        except Working:
            known = None
        if known is None or known.order.code not in ("", "REJECTED"):
            raise Refused(404, "ORDER_NOT_FOUND", "Order does not exist.")
        return self._answer(_order_fields(known))

    async def _trade_flow(self, request: web.Request) -> web.Response:
        form = await self._admit(request)
        starts, ends = (_whole(_text(form, name), name) for name in ("startTime", "endTime"))
        limit = min(_whole(form.get("limit", "100"), "limit"), MAX_LIMIT)
        if not 0 <= ends - starts <= LONGEST // timedelta(milliseconds=1):
            raise Refused(400, "-1127", "More than 30 days between startTime and endTime.")
        listed = [
            {"quoteId": booked.order.quote_id, **_order_fields(booked)}
            for booked in await self._trading.listing()
            if booked.order.code in ("", "REJECTED")
            and starts <= unix_milliseconds(booked.order.decided_at) <= ends
        ]
        return self._answer(
            {
                "list": listed[:limit],
                "startTime": starts,
                "endTime": ends,
                "limit": limit,
                "moreData": len(listed) > limit,
            }
        )

    async def _admit(self, request: web.Request) -> dict[str, str]:
        if request.headers.get("X-MBX-APIKEY") != API_KEY:
            raise Refused(401, "-2015", "Invalid API-key, IP, or permissions for action.")
        raw = request.raw_path.partition("?")[2] or (await request.read()).decode()
        signed, _, signature = raw.rpartition("&signature=")
        expected = hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256).hex()
        if not hmac.compare_digest(signature, expected):
            raise Refused(400, "-1022", "Signature for this request is not valid.")
        form = dict(parse_qsl(signed))
        stamp = form.get("timestamp", "")
        if not stamp.isdigit():
            raise Refused(400, "-1102", "Mandatory parameter 'timestamp' was not sent.")
        if abs(since_1970(self._trading.clock.now()) - timedelta(milliseconds=int(stamp))) > WINDOW:
            raise Refused(400, "-1021", "Timestamp for this request is outside of the recvWindow.")
        return form

    def _answer(self, body: dict[str, Any], *, status: int = 200) -> web.Response:
        return respond(body, now=self._trading.clock.now(), status=status)


def _order_fields(booked: BookedOrder) -> dict[str, Any]:
    order = booked.order
    base, quote = order.base.asset.code, order.quote.asset.code
    is_buy = order.side is Side.BUY
    return {
        "orderId": _number(booked.id),
        "orderStatus": "SUCCESS" if order.status is OrderStatus.FILLED else "FAIL",
        "fromAsset": quote if is_buy else base,
        "toAsset": base if is_buy else quote,
        **_converted(order.side, order.base, order.quote),
        "createTime": unix_milliseconds(order.decided_at),
    }


def _converted(side: Side, base: Amount, quote: Amount) -> dict[str, Any]:
    price = Price.of(base, quote).value
    inverse = Price.of(quote, base).value
    given, received = (quote, base) if side is Side.BUY else (base, quote)
    return {
        "ratio": inverse if side is Side.BUY else price,
        "inverseRatio": price if side is Side.BUY else inverse,
        "fromAmount": plain_text(given),
        "toAmount": plain_text(received),
    }


def _number(id: str) -> int:
    """Return an order's id in the form of this venue."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:8]) >> 1


def _whole(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Refused(400, "-1100", f"Illegal characters found in parameter '{field}'.")
    return int(text)


def _text(form: dict[str, str], field: str) -> str:
    if field not in form:
        raise Refused(400, "-1102", f"Mandatory parameter '{field}' was not sent.")
    return form[field]
