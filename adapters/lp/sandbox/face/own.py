"""The sandbox's own wire format: plain JSON, nothing signed, the venue's clock in every answer."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from aiohttp import web

from adapters.lp.sandbox.book import BookedOrder, OrderStatus
from adapters.lp.sandbox.desk import Refused, VenueQuote
from adapters.lp.sandbox.face.face import Face
from adapters.lp.sandbox.trading import Trading, Working
from adapters.lp.sandbox.wire import (
    malformed,
    read_body,
    read_query,
    read_text,
    respond,
    time_text,
)
from domain.side import Side

PAGE: Final = 100
"""The most that one page of orders has."""

_ID: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_ORDER: Final = web.RequestKey("client_order_id", str)


class OwnFace(Face):
    """Every JSON answer, a refusal too, carries the venue's clock in `time`."""

    settings: ClassVar = {}

    def __init__(self, trading: Trading) -> None:
        self._trading = trading

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/v1/time", self._get_time),
            web.post("/v1/quotes", self._create_quote),
            web.post("/v1/orders", self._create_order),
            web.get("/v1/orders", self._list_orders),
            web.get("/v1/orders/{client_order_id}", self._get_order),
        ]

    def order_id(self, booked: BookedOrder) -> str:
        return booked.id

    def refuse(self, request: web.Request, refused: Refused) -> web.Response:
        error = {"code": refused.code, "message": refused.message}
        about = {"client_order_id": request[_ORDER]} if _ORDER in request else {}
        return self._answer({"error": error, **about}, status=refused.status)

    def _answer(self, body: dict[str, Any], *, status: int = 200) -> web.Response:
        now = self._trading.clock.now()
        return respond({**body, "time": time_text(now)}, now=now, status=status)

    async def _get_time(self, request: web.Request) -> web.Response:
        return self._answer({})

    async def _create_quote(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        client_quote_id = _id(body, "client_quote_id")
        base, quote = read_text(body, "base_asset"), read_text(body, "quote_asset")
        side = _side(body)
        is_base = "base_amount" in body
        if is_base == ("quote_amount" in body):
            raise malformed("exactly one of base_amount and quote_amount must be given")
        priced = await self._trading.price(
            client_quote_id=client_quote_id,
            base=base,
            quote=quote,
            side=side,
            text=read_text(body, "base_amount" if is_base else "quote_amount"),
            is_base=is_base,
        )
        return self._answer(_quote_fields(priced))

    async def _create_order(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        client_order_id = request[_ORDER] = _id(body, "client_order_id")
        quote_id = _id(body, "quote_id")
        try:
            filled = await self._trading.order(client_order_id=client_order_id, quote_id=quote_id)
        except Working:
            return self._answer(_working_fields(client_order_id))
        return self._answer(order_fields(filled))

    async def _list_orders(self, request: web.Request) -> web.Response:
        starts, ends = (_time(request, name) for name in ("start_time", "end_time"))
        skip = read_query(request, "skip", otherwise=0)
        limit = min(read_query(request, "limit", otherwise=PAGE), PAGE)
        # What the status hides for a while is told all the same, as in a statement.
        listed = [
            order_fields(booked)
            for booked in await self._trading.listing(with_hidden=True)
            if starts <= booked.order.decided_at < ends
        ]
        return self._answer({"orders": listed[skip : skip + limit]})

    async def _get_order(self, request: web.Request) -> web.Response:
        client_order_id = request[_ORDER] = request.match_info["client_order_id"]
        try:
            known = self._trading.find(client_order_id)
        except Working:
            return self._answer(_working_fields(client_order_id))
        if known is None:
            raise Refused(404, "ORDER_NOT_FOUND", "no such order is known")
        return self._answer(order_fields(known))


def order_fields(booked: BookedOrder) -> dict[str, Any]:
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
        "execute_time": time_text(order.decided_at),
    }
    if order.status is OrderStatus.REJECTED:
        fields["code"] = order.code
    return fields


def _quote_fields(given: VenueQuote) -> dict[str, Any]:
    return {
        "quote_id": given.id,
        "client_quote_id": given.client_quote_id,
        "base_asset": given.base.asset.code,
        "quote_asset": given.quote.asset.code,
        "side": given.side,
        "base_amount": given.base.value,
        "quote_amount": given.quote.value,
        "expire_time": time_text(given.expires_at),
    }


def _working_fields(client_order_id: str) -> dict[str, Any]:
    return {"client_order_id": client_order_id, "status": "working"}


def _time(request: web.Request, name: str) -> datetime:
    try:
        return datetime.fromisoformat(request.query[name]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        raise malformed(f"{name} must be a time of ISO 8601") from None


def _id(body: dict[str, Any], field: str) -> str:
    value = read_text(body, field)
    if not _ID.fullmatch(value):
        raise malformed(f"{field} must be 1 to 64 printable ASCII characters")
    return value


def _side(body: dict[str, Any]) -> Side:
    try:
        return Side(read_text(body, "side"))
    except ValueError:
        raise malformed("side must be buy or sell") from None
