"""B2C2's wire format, as public clients of the venue show it (docs/venues.md)."""

import hmac
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from aiohttp import web

from adapters.lp.sandbox.book import BookedOrder, Order, OrderStatus
from adapters.lp.sandbox.desk import Refused, VenueQuote
from adapters.lp.sandbox.face.face import Face
from adapters.lp.sandbox.rates import Rate
from adapters.lp.sandbox.trading import Trading, Working
from adapters.lp.sandbox.wire import read_body, read_query, read_text, respond, time_text
from domain.amount import Amount
from domain.rounding import divide_down, divide_up
from domain.side import Side

TOKEN: Final = "sandbox-b2c2-token"
"""What the local venue knows its only customer by."""

DEFAULT_PAGE: Final = 50
PAGE: Final = 1_000
"""How much a page of orders has unless told, and at most."""

QUANTITY_DECIMALS: Final = 4
PRICE_DECIMALS: Final = 12
"""Enough for any amount of the local venue to come to the units that it booked."""

_CODES: Final = {
    "NO_PRICE": 1016,
    "UNKNOWN_INSTRUMENT": 1001,
    "AMOUNT_NOT_POSITIVE": 1019,
    "AMOUNT_TOO_SMALL": 1019,
    "AMOUNT_TOO_LARGE": 1010,
    "TOO_MANY_DIGITS": 1015,
    "QUOTE_NOT_FOUND": 1007,
    "QUOTE_USED": 1007,
    "QUOTE_EXPIRED": 1021,
    "HALTED": 1016,
}
_ILLEGAL_PARAMETER: Final = 1017
_OTHER: Final = 1100


class B2c2Face(Face):
    """Answers an object, or a list of errors with their codes."""

    settings: ClassVar = {"token": TOKEN}

    def __init__(self, trading: Trading) -> None:
        self._trading = trading

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/request_for_quote/", self._request_for_quote),
            web.post("/order/", self._order),
            web.get("/order/", self._list_orders),
            web.get("/order/{id}", self._find_order),
        ]

    def order_id(self, booked: BookedOrder) -> str:
        return _uuid(booked, "order")

    def refuse(self, request: web.Request, refused: Refused) -> web.Response:
        if refused.code.startswith("HTTP_") or refused.code == "ORDER_NOT_FOUND":
            code, status = _OTHER, refused.status
        else:
            code = int(refused.code) if refused.code.isdigit() else _code_of(refused)
            status = 401 if refused.status == 401 else 400
        errors = {"errors": [{"message": refused.message, "code": code}]}
        return self._answer(errors, status=status)

    async def _request_for_quote(self, request: web.Request) -> web.Response:
        self._admit(request)
        body = await read_body(request)
        instrument, quantity = read_text(body, "instrument"), read_text(body, "quantity")
        if len(quantity.partition(".")[2]) > QUANTITY_DECIMALS:
            raise Refused(400, "TOO_MANY_DIGITS", "Too many decimals")
        rate = self._rate(instrument)
        given = await self._trading.price(
            client_quote_id=read_text(body, "client_rfq_id"),
            base=rate.instrument.base.code,
            quote=rate.instrument.quote.code,
            side=_side(body),
            text=quantity,
            is_base=True,
        )
        return self._answer(
            {
                "valid_until": time_text(given.expires_at),
                "rfq_id": given.id,
                "client_rfq_id": given.client_quote_id,
                "quantity": _quantity(given.base),
                "side": given.side,
                "instrument": instrument,
                "price": _price(given.base, given.quote, given.side),
                "created": time_text(self._trading.clock.now()),
            }
        )

    async def _order(self, request: web.Request) -> web.Response:
        self._admit(request)
        body = await read_body(request)
        client_id = read_text(body, "client_order_id")
        if read_text(body, "order_type") != "FOK":
            raise Refused(400, "1023", "only FOK is traded here")
        if self._trading.clock.now() >= _time(read_text(body, "valid_until")):
            raise Refused(400, "1021", "Your order has expired")
        quote = self._trading.desk.find_quote(read_text(body, "rfq_id"))
        self._expect_repeated(body, quote)
        try:
            decided = await self._trading.order(client_order_id=client_id, quote_id=quote.id)
        except Refused as refused:
            if refused.code != "REJECTED":
                raise
            rejected = self._trading.desk.find_order(client_id)
            assert rejected is not None
            decided = rejected
        return self._answer(_order_fields(decided))

    async def _find_order(self, request: web.Request) -> web.Response:
        self._admit(request)
        try:
            known = self._trading.find(request.match_info["id"])
        except Working:
            known = None
        if known is None or known.order.code not in ("", "REJECTED"):
            raise Refused(404, "ORDER_NOT_FOUND", "Order not found")
        return self._answer(_order_fields(known))

    async def _list_orders(self, request: web.Request) -> web.Response:
        self._admit(request)
        starts, ends = (_time(request.query[f"created__{name}"]) for name in ("gte", "lt"))
        limit = min(read_query(request, "limit", otherwise=DEFAULT_PAGE), PAGE)
        offset = read_query(request, "offset", otherwise=0)
        listed = [
            _order_fields(booked)
            for booked in await self._trading.listing()
            if booked.order.code in ("", "REJECTED") and starts <= booked.order.decided_at < ends
        ]
        return self._answer(listed[offset : offset + limit])

    def _expect_repeated(self, body: dict[str, Any], quote: VenueQuote) -> None:
        if self._rate(read_text(body, "instrument")) != self._rate(_instrument(quote)):
            raise Refused(400, "1003", "Different instrument")
        if _side(body) is not quote.side:
            raise Refused(400, "1004", "Different side")
        if read_text(body, "price") != _price(quote.base, quote.quote, quote.side):
            raise Refused(400, "1005", "Different price")
        if Amount.parse(read_text(body, "quantity"), quote.base.asset) != quote.base:
            raise Refused(400, "1006", "Different quantity")

    def _rate(self, instrument: str) -> Rate:
        pair, _, kind = instrument.partition(".")
        rate = self._trading.desk.find_pair(pair)
        if rate is None or kind != "SPOT":
            raise Refused(400, "UNKNOWN_INSTRUMENT", "Instrument not allowed")
        return rate

    def _admit(self, request: web.Request) -> None:
        token = request.headers.get("Authorization", "")
        if not hmac.compare_digest(token.encode(), f"Token {TOKEN}".encode()):
            raise Refused(401, "UNAUTHORIZED", "Invalid token")

    def _answer(
        self, body: dict[str, Any] | list[dict[str, Any]], *, status: int = 200
    ) -> web.Response:
        return respond(body, now=self._trading.clock.now(), status=status)


def _order_fields(booked: BookedOrder) -> dict[str, Any]:
    order = booked.order
    id = _uuid(booked, "order")
    is_filled = order.status is OrderStatus.FILLED
    price = _price(order.base, order.quote, order.side)
    told = {
        "quantity": _quantity(order.base),
        "side": order.side,
        "instrument": _instrument(order),
        "price": price,
        "executing_unit": "",
        "created": time_text(order.decided_at),
    }
    trade = {
        **told,
        "trade_id": _uuid(booked, "trade"),
        "rfq_id": order.quote_id,
        "order": id,
        "origin": "rest",
    }
    return {
        **told,
        "order_id": id,
        "client_order_id": order.client_order_id,
        "executed_price": price if is_filled else None,
        "order_type": "FOK",
        "trades": [trade] if is_filled else [],
    }


def _instrument(about: VenueQuote | Order) -> str:
    return f"{about.base.asset.code}{about.quote.asset.code}.SPOT"


def _price(base: Amount, quote: Amount, side: Side) -> str:
    """Return the price that comes to the quote amount once it is rounded against the asker."""
    numerator = quote.units * 10 ** (base.asset.scale + PRICE_DECIMALS)
    divide = divide_down if side is Side.BUY else divide_up
    scaled = divide(numerator, base.units * 10**quote.asset.scale)
    digits = str(scaled).rjust(PRICE_DECIMALS + 1, "0")
    return f"{digits[:-PRICE_DECIMALS]}.{digits[-PRICE_DECIMALS:]}"


def _quantity(base: Amount) -> str:
    """Return an amount of the base, which has no more decimals here than this."""
    whole, _, fraction = base.value.partition(".")
    return f"{whole}.{fraction[:QUANTITY_DECIMALS].ljust(10, '0')}"


def _uuid(booked: BookedOrder, kind: str) -> str:
    """Return an id in the form of this venue."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}:{booked.id}"))


def _code_of(refused: Refused) -> int:
    return _CODES.get(refused.code, _ILLEGAL_PARAMETER)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(400, "1020", "The field valid_until is malformed") from None


def _side(body: dict[str, Any]) -> Side:
    try:
        return Side(read_text(body, "side"))
    except ValueError:
        raise Refused(400, "1017", "Illegal parameter: side") from None
