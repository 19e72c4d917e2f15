"""OKX Convert's wire format, as the OKX API guide v5 shows it (docs/venues.md)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from aiohttp import web

from adapters.lp.sandbox.book import BookedOrder, OrderStatus
from adapters.lp.sandbox.desk import Refused
from adapters.lp.sandbox.face.face import Face
from adapters.lp.sandbox.trading import Trading, Working
from adapters.lp.sandbox.wire import (
    plain_text,
    read_body,
    read_query,
    read_text,
    respond,
    unix_milliseconds,
)
from domain.amount import Amount
from domain.price import Price
from domain.side import Side

API_KEY: Final = "sandbox-okx-key"
PASSPHRASE: Final = "sandbox-okx-passphrase"
SECRET: Final = "sandbox-okx-secret"
"""What the local venue knows its only customer by."""

WINDOW: Final = timedelta(seconds=30)
"""How far a request's time may be from the venue's."""

PAGE: Final = 100
"""The most that one page of the history has."""

_FOREVER_MS: Final = 10**14
_EXPIRED: Final = "52915"
_CODES: Final = {
    "UNKNOWN_INSTRUMENT": "51001",
    "NO_PRICE": "51021",
    "AMOUNT_TOO_SMALL": "51020",
    "QUOTE_EXPIRED": _EXPIRED,
    "QUOTE_NOT_FOUND": _EXPIRED,
    "QUOTE_USED": _EXPIRED,
    "HALTED": "50026",
}
_CLIENT_ID: Final = re.compile(r"[0-9A-Za-z]{1,32}", re.ASCII)


class OkxFace(Face):
    """Answers HTTP 200 with an envelope, but for what stops at the gate."""

    settings: ClassVar = {"api_key": API_KEY, "passphrase": PASSPHRASE, "secret": SECRET}

    def __init__(self, trading: Trading) -> None:
        self._trading = trading

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/api/v5/asset/convert/estimate-quote", self._estimate_quote),
            web.post("/api/v5/asset/convert/trade", self._trade),
            web.get("/api/v5/asset/convert/history", self._history),
        ]

    def order_id(self, booked: BookedOrder) -> str:
        return _trade_id(booked)

    def refuse(self, request: web.Request, refused: Refused) -> web.Response:
        if refused.code.startswith("HTTP_"):
            return self._answer("50001", refused.message, status=refused.status)
        status = 401 if refused.status == 401 else 200
        code = refused.code if refused.code.isdigit() else _CODES.get(refused.code, "51000")
        return self._answer(code, refused.message, status=status)

    async def _estimate_quote(self, request: web.Request) -> web.Response:
        await self._admit(request)
        body = await read_body(request)
        base, quote = read_text(body, "baseCcy"), read_text(body, "quoteCcy")
        size_currency = read_text(body, "rfqSzCcy")
        if size_currency not in (base, quote):
            raise Refused(200, "51000", "Parameter rfqSzCcy error")
        given = await self._trading.price(
            client_quote_id=body.get("clQReqId", ""),
            base=base,
            quote=quote,
            side=_side(body),
            text=read_text(body, "rfqSz"),
            is_base=size_currency == base,
        )
        size = given.base if size_currency == base else given.quote
        now = self._trading.clock.now()
        return self._data(
            {
                "baseCcy": base,
                "baseSz": plain_text(given.base),
                "clQReqId": given.client_quote_id,
                "cnvtPx": Price.of(given.base, given.quote).value,
                "origRfqSz": plain_text(size),
                "quoteCcy": quote,
                "quoteId": given.id,
                "quoteSz": plain_text(given.quote),
                "quoteTime": _ms(now),
                "rfqSz": plain_text(size),
                "rfqSzCcy": size_currency,
                "side": given.side,
                "ttlMs": str((given.expires_at - now) // timedelta(milliseconds=1)),
            }
        )

    async def _trade(self, request: web.Request) -> web.Response:
        await self._admit(request)
        body = await read_body(request)
        client_id, quote_id = read_text(body, "clTReqId"), read_text(body, "quoteId")
        if not _CLIENT_ID.fullmatch(client_id):
            raise Refused(200, "51000", "Parameter clTReqId error")
        quote = self._trading.desk.find_quote(quote_id)
        if quote.used_by:
            raise Refused(200, _EXPIRED, "the quote was traded already")
        asked = (body.get("baseCcy"), body.get("quoteCcy"), body.get("side"))
        if asked != (quote.base.asset.code, quote.quote.asset.code, quote.side):
            raise Refused(200, "51000", "Parameter baseCcy, quoteCcy or side error")
        sizes = {one.asset.code: one for one in (quote.base, quote.quote)}
        whole = sizes.get(read_text(body, "szCcy"))
        if whole is None or Amount.parse(read_text(body, "sz"), whole.asset) != whole:
            raise Refused(200, "51000", "Parameter sz error")
        try:
            traded = await self._trading.order(client_order_id=client_id, quote_id=quote_id)
        except Refused as refused:
            if refused.code != "REJECTED":
                raise
            rejected = self._trading.desk.find_order(client_id)
            assert rejected is not None
            traded = rejected
        return self._data({**_trade_fields(traded), "quoteId": quote_id})

    async def _history(self, request: web.Request) -> web.Response:
        await self._admit(request)
        if "clTReqId" not in request.query:
            return await self._list_history(request)
        try:
            known = self._trading.find(request.query.get("clTReqId", ""))
        except Working:
            known = None
        if known is None or known.order.code not in ("", "REJECTED"):
            return self._answer("0", "", [])
        return self._data(_trade_fields(known))

    async def _list_history(self, request: web.Request) -> web.Response:
        limit = min(read_query(request, "limit", otherwise=PAGE), PAGE)
        before = read_query(request, "after", otherwise=_FOREVER_MS)
        after = read_query(request, "before", otherwise=-1)
        listed = [
            _trade_fields(booked)
            for booked in await self._trading.listing()
            if booked.order.code in ("", "REJECTED")
            and after < unix_milliseconds(booked.order.decided_at) < before
        ]
        return self._answer("0", "", listed[:limit])

    async def _admit(self, request: web.Request) -> None:
        headers = request.headers
        if headers.get("OK-ACCESS-KEY") != API_KEY:
            raise Refused(401, "50111", "Invalid OK-ACCESS-KEY")
        if headers.get("OK-ACCESS-PASSPHRASE") != PASSPHRASE:
            raise Refused(401, "50105", "Request header OK-ACCESS-PASSPHRASE incorrect.")
        stamp = headers.get("OK-ACCESS-TIMESTAMP", "")
        try:
            sent_at = datetime.fromisoformat(stamp)
            is_late = abs(self._trading.clock.now() - sent_at) > WINDOW
        except (TypeError, ValueError):
            raise Refused(401, "50112", "Invalid OK-ACCESS-TIMESTAMP") from None
        if is_late:
            raise Refused(401, "50102", "Timestamp request expired")
        signed = f"{stamp}{request.method}{request.raw_path}".encode() + await request.read()
        digest = hmac.digest(SECRET.encode(), signed, hashlib.sha256)
        expected = base64.b64encode(digest).decode()
        if not hmac.compare_digest(headers.get("OK-ACCESS-SIGN", ""), expected):
            raise Refused(401, "50113", "Invalid Sign")

    def _data(self, fields: dict[str, Any]) -> web.Response:
        return self._answer("0", "", [fields])

    def _answer(
        self, code: str, message: str, data: Sequence[dict[str, Any]] = (), *, status: int = 200
    ) -> web.Response:
        body = {"code": code, "data": list(data), "msg": message}
        return respond(body, now=self._trading.clock.now(), status=status)


def _trade_fields(booked: BookedOrder) -> dict[str, Any]:
    order = booked.order
    is_filled = order.status is OrderStatus.FILLED
    base, quote = order.base.asset.code, order.quote.asset.code
    return {
        "baseCcy": base,
        "clTReqId": order.client_order_id,
        "fillBaseSz": plain_text(order.base) if is_filled else "",
        "fillPx": Price.of(order.base, order.quote).value if is_filled else "",
        "fillQuoteSz": plain_text(order.quote) if is_filled else "",
        "instId": f"{base}-{quote}",
        "quoteCcy": quote,
        "side": order.side,
        "state": "fullyFilled" if is_filled else "rejected",
        "tradeId": _trade_id(booked),
        "ts": _ms(order.decided_at),
    }


def _ms(at: datetime) -> str:
    return str(unix_milliseconds(at))


def _trade_id(booked: BookedOrder) -> str:
    return f"trader{booked.id}"


def _side(body: dict[str, Any]) -> Side:
    try:
        return Side(read_text(body, "side"))
    except ValueError:
        raise Refused(200, "51000", "Parameter side error") from None
