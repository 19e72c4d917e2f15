"""Bybit Convert's wire format, as the Bybit v5 documentation shows it (docs/venues.md)."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final

from aiohttp import web

from adapters.lp.sandbox.book import BookedOrder, Order, OrderStatus
from adapters.lp.sandbox.desk import Refused
from adapters.lp.sandbox.face.face import Face
from adapters.lp.sandbox.trading import Trading, Working
from adapters.lp.sandbox.wire import (
    plain_text,
    read_body,
    read_query,
    read_text,
    respond,
    since_1970,
    unix_milliseconds,
)
from domain.amount import Amount
from domain.price import Price
from domain.side import Side

API_KEY: Final = "sandbox-bybit-key"
SECRET: Final = "sandbox-bybit-secret"
"""What the local venue knows its only customer by."""

ACCOUNT_TYPE: Final = "eb_convert_uta"

DEFAULT_PAGE: Final = 20
PAGE: Final = 100
"""How much a page of the history has unless told, and at most."""

_CODES: Final = {
    "NO_PRICE": 700001,
    "UNKNOWN_INSTRUMENT": 700001,
    "AMOUNT_TOO_SMALL": 700006,
    "AMOUNT_TOO_LARGE": 700007,
    "ORDER_NOT_FOUND": 700004,
    "QUOTE_EXPIRED": 700008,
    "QUOTE_NOT_FOUND": 700008,
    "QUOTE_USED": 700009,
    "HALTED": 790000,
}
_MALFORMED: Final = 700000


class BybitFace(Face):
    """Answers HTTP 200 with an envelope; a quote is executed and found by its id."""

    settings: ClassVar = {"api_key": API_KEY, "secret": SECRET}

    def __init__(self, trading: Trading) -> None:
        self._trading = trading

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/v5/asset/exchange/quote-apply", self._apply_quote),
            web.post("/v5/asset/exchange/convert-execute", self._execute),
            web.get("/v5/asset/exchange/convert-result-query", self._query_result),
            web.get("/v5/asset/exchange/query-convert-history", self._query_history),
        ]

    def order_id(self, booked: BookedOrder) -> str:
        return booked.order.quote_id

    def refuse(self, request: web.Request, refused: Refused) -> web.Response:
        code = refused.code
        number = int(code) if code.isdigit() else _CODES.get(code, _MALFORMED)
        status = refused.status if code.startswith("HTTP_") else 200
        return self._answer({}, code=number, message=refused.message, status=status)

    async def _apply_quote(self, request: web.Request) -> web.Response:
        self._admit(request, await request.read())
        body = await read_body(request)
        given, received = read_text(body, "fromCoin"), read_text(body, "toCoin")
        if read_text(body, "requestCoin") != given:
            raise Refused(200, "700002", "quote fail: not support quote type")
        # The venue knows conversions, its desk instruments: whichever it trades is meant.
        side = Side.SELL if self._trading.desk.find_rate(given, received) else Side.BUY
        base, quote = (given, received) if side is Side.SELL else (received, given)
        price = await self._trading.price(
            client_quote_id="",
            base=base,
            quote=quote,
            side=side,
            text=read_text(body, "requestAmount"),
            is_base=side is Side.SELL,
        )
        return self._answer(
            {
                "quoteTxId": price.id,
                "expiredTime": str(unix_milliseconds(price.expires_at)),
                "requestId": "",
                **_converted("exchangeRate", price.side, price.base, price.quote),
            }
        )

    async def _execute(self, request: web.Request) -> web.Response:
        self._admit(request, await request.read())
        quote_id = read_text(await read_body(request), "quoteTxId")
        if self._trading.desk.find_quote(quote_id).used_by:
            raise Refused(200, "QUOTE_USED", "quoteTxId has already been used")
        try:
            await self._trading.order(client_order_id=quote_id, quote_id=quote_id)
        except Refused as refused:
            if refused.code != "REJECTED":
                raise
        return self._answer({"exchangeStatus": "processing", "quoteTxId": quote_id})

    async def _query_result(self, request: web.Request) -> web.Response:
        self._admit(request, request.raw_path.partition("?")[2].encode())
        try:
            known = self._trading.find(request.query.get("quoteTxId", ""))
        except Working:
            known = None
        if known is None or known.order.code not in ("", "REJECTED"):
            raise Refused(200, "ORDER_NOT_FOUND", "order does not exist")
        return self._answer({"result": _result_fields(known.order)})

    async def _query_history(self, request: web.Request) -> web.Response:
        self._admit(request, request.raw_path.partition("?")[2].encode())
        index = read_query(request, "index", otherwise=1)
        limit = min(read_query(request, "limit", otherwise=DEFAULT_PAGE), PAGE)
        is_ours = ACCOUNT_TYPE in request.query.get("accountType", ACCOUNT_TYPE).split(",")
        listed = [
            _result_fields(booked.order)
            for booked in await self._trading.listing()
            if is_ours and booked.order.code in ("", "REJECTED")
        ]
        start = (max(index, 1) - 1) * limit
        return self._answer({"list": listed[start : start + limit]})

    def _admit(self, request: web.Request, signed: bytes) -> None:
        headers = request.headers
        if headers.get("X-BAPI-API-KEY") != API_KEY:
            raise Refused(200, "10003", "API key is invalid.")
        stamp, window = headers.get("X-BAPI-TIMESTAMP", ""), headers.get("X-BAPI-RECV-WINDOW", "")
        if not stamp.isdigit() or not window.isdigit():
            raise Refused(200, "10002", "invalid request, please check your server timestamp")
        off = abs(since_1970(self._trading.clock.now()) - timedelta(milliseconds=int(stamp)))
        if off > timedelta(milliseconds=int(window)):
            raise Refused(200, "10002", "invalid request, please check your server timestamp")
        message = f"{stamp}{API_KEY}{window}".encode() + signed
        expected = hmac.digest(SECRET.encode(), message, hashlib.sha256).hex()
        if not hmac.compare_digest(headers.get("X-BAPI-SIGN", ""), expected):
            raise Refused(200, "10004", "error sign!")

    def _answer(
        self, result: dict[str, Any], *, code: int = 0, message: str = "ok", status: int = 200
    ) -> web.Response:
        now = self._trading.clock.now()
        body = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": unix_milliseconds(now),
        }
        return respond(body, now=now, status=status)


def _result_fields(order: Order) -> dict[str, Any]:
    return {
        "accountType": ACCOUNT_TYPE,
        "exchangeTxId": order.quote_id,
        "exchangeStatus": "success" if order.status is OrderStatus.FILLED else "failure",
        "createdAt": str(unix_milliseconds(order.decided_at)),
        **_converted("convertRate", order.side, order.base, order.quote),
    }


def _converted(rate: str, side: Side, base: Amount, quote: Amount) -> dict[str, Any]:
    given, received = (quote, base) if side is Side.BUY else (base, quote)
    return {
        "fromCoin": given.asset.code,
        "fromCoinType": "crypto",
        "toCoin": received.asset.code,
        "toCoinType": "crypto",
        "fromAmount": plain_text(given),
        "toAmount": plain_text(received),
        rate: Price.of(given, received).value,
    }
