"""Zero Hash's wire format, as docs.zerohash.com shows it (docs/venues.md)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

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
    since_1970,
    unix_milliseconds,
)
from domain.amount import Amount
from domain.price import Price
from domain.side import Side

API_KEY: Final = "sandbox-zero-hash-key"
PASSPHRASE: Final = "sandbox-zero-hash-passphrase"
SECRET: Final = base64.b64encode(b"sandbox-zero-hash-secret").decode()
PARTICIPANT: Final = "SANDBX"
"""What the local venue knows its only customer by."""

WINDOW: Final = timedelta(seconds=60)
"""How far a request's time may be from the venue's."""

PAGE: Final = 100
"""How many trades a page has."""

REMEMBERED: Final = 256
"""To how many request ids it is known what was answered."""

_FOREVER_MS: Final = 10**14
_VENUE: Final = "00SCXM"


class ZeroHashFace(Face):
    """Executes a quote by its id; the id is also how its trade is found.

    A question for trades under a request id that was used for one is answered as it was then.
    """

    settings: ClassVar = {
        "api_key": API_KEY,
        "passphrase": PASSPHRASE,
        "secret": SECRET,
        "participant_code": PARTICIPANT,
    }

    def __init__(self, trading: Trading) -> None:
        self._trading = trading
        self._told: dict[str, dict[str, Any]] = {}

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/liquidity/rfq", self._request_quote),
            web.post("/liquidity/execute", self._execute),
            web.get("/trades", self._get_trades),
        ]

    def order_id(self, booked: BookedOrder) -> str:
        return _uuid(booked)

    def refuse(self, request: web.Request, refused: Refused) -> web.Response:
        is_gate = refused.status in (401, 403, 404, 405, 413)
        return self._answer(
            {"errors": [refused.message]}, status=refused.status if is_gate else 400
        )

    async def _request_quote(self, request: web.Request) -> web.Response:
        await self._admit(request)
        body = await read_body(request)
        if read_text(body, "participant_code") != PARTICIPANT:
            raise Refused(403, "FORBIDDEN", "participant_code is not of this platform")
        is_base = "quantity" in body
        given = await self._trading.price(
            client_quote_id=request.headers["X-REQUEST-ID"],
            base=read_text(body, "underlying"),
            quote=read_text(body, "quoted_currency"),
            side=_side(body),
            text=read_text(body, "quantity" if is_base else "total"),
            is_base=is_base,
        )
        return self._answer(
            {
                "message": {
                    **_quoted(given.side, given.base, given.quote),
                    "request_id": given.client_quote_id,
                    "quote_id": given.id,
                    "expire_ts": unix_milliseconds(given.expires_at),
                }
            }
        )

    async def _execute(self, request: web.Request) -> web.Response:
        await self._admit(request)
        quote_id = read_text(await read_body(request), "quote_id")
        quote = self._trading.desk.find_quote(quote_id)
        if quote.used_by:
            raise Refused(409, "QUOTE_USED", "quote_id was executed already")
        traded = await self._trading.order(client_order_id=quote_id, quote_id=quote_id)
        order, trade_id = traded.order, _uuid(traded)
        return self._answer(
            {
                "message": {
                    "request_id": request.headers["X-REQUEST-ID"],
                    "quote": {
                        **_quoted(order.side, order.base, order.quote),
                        "request_id": quote.client_quote_id,
                        "quote_id": quote_id,
                        "expire_ts": unix_milliseconds(quote.expires_at),
                        "transaction_timestamp": unix_milliseconds(order.decided_at),
                    },
                    "trade_id": trade_id,
                    "status": "Completed",
                    "trade_ids_list": [trade_id],
                }
            }
        )

    async def _get_trades(self, request: web.Request) -> web.Response:
        await self._admit(request)
        request_id = request.headers["X-REQUEST-ID"]
        if request_id not in self._told:
            is_search = "client_trade_id" in request.query
            found = self._find_trades(request) if is_search else await self._list_trades(request)
            if len(self._told) == REMEMBERED:
                del self._told[next(iter(self._told))]
            self._told[request_id] = found
        return self._answer(self._told[request_id])

    def _find_trades(self, request: web.Request) -> dict[str, Any]:
        try:
            known = self._trading.find(request.query["client_trade_id"])
        except Working:
            known = None
        is_there = known is not None and known.order.status is OrderStatus.FILLED
        found = [_trade_fields(known)] if known is not None and is_there else []
        return {"message": found, "page": 1, "total_pages": 1}

    async def _list_trades(self, request: web.Request) -> dict[str, Any]:
        starts = read_query(request, "transaction_timestamp[gte]", otherwise=0)
        ends = read_query(request, "transaction_timestamp[lt]", otherwise=_FOREVER_MS)
        is_ours = request.query.get("party_code", PARTICIPANT) == PARTICIPANT
        listed = [
            _trade_fields(booked)
            for booked in await self._trading.listing()
            if is_ours
            and booked.order.status is OrderStatus.FILLED
            and starts <= unix_milliseconds(booked.order.decided_at) < ends
        ]
        page = max(read_query(request, "page", otherwise=1), 1)
        return {
            "message": listed[(page - 1) * PAGE : page * PAGE],
            "page": page,
            "total_pages": -(-len(listed) // PAGE),
        }

    async def _admit(self, request: web.Request) -> None:
        headers = request.headers
        known = (headers.get("X-SCX-API-KEY"), headers.get("X-SCX-PASSPHRASE"))
        if known != (API_KEY, PASSPHRASE):
            raise Refused(401, "UNAUTHORIZED", "unknown key or passphrase")
        stamp = headers.get("X-SCX-TIMESTAMP", "")
        if not stamp.isdigit():
            raise Refused(401, "UNAUTHORIZED", "no timestamp")
        if abs(since_1970(self._trading.clock.now()) - timedelta(seconds=int(stamp))) > WINDOW:
            raise Refused(401, "UNAUTHORIZED", "the timestamp is not within 60 seconds")
        body = await request.read() or b"{}"
        signed = f"{stamp}{request.method}{request.raw_path}".encode() + body
        digest = hmac.digest(base64.b64decode(SECRET), signed, hashlib.sha256)
        expected = base64.b64encode(digest).decode()
        if not hmac.compare_digest(headers.get("X-SCX-SIGNED", ""), expected):
            raise Refused(401, "UNAUTHORIZED", "the signature does not match")
        try:
            is_version_4 = UUID(headers.get("X-REQUEST-ID", "")).version == 4
        except ValueError:
            is_version_4 = False
        if not is_version_4:
            raise Refused(400, "BAD_REQUEST", "X-REQUEST-ID must be a version 4 UUID")

    def _answer(self, body: dict[str, Any], *, status: int = 200) -> web.Response:
        return respond(body, now=self._trading.clock.now(), status=status)


def _quoted(side: Side, base: Amount, quote: Amount) -> dict[str, Any]:
    return {
        "participant_code": PARTICIPANT,
        "account_group": _VENUE,
        "account_label": "general",
        "side": side,
        "underlying": base.asset.code,
        "quoted_currency": quote.asset.code,
        "quantity": plain_text(base),
        "price": Price.of(base, quote).value,
        "total_notional": plain_text(quote),
        "asset_cost_notional": plain_text(quote),
        "spread_notional": "",
        "spread_bps": "",
        "settlement_type": None,
    }


def _trade_fields(booked: BookedOrder) -> dict[str, Any]:
    order = booked.order
    other = Side.SELL if order.side is Side.BUY else Side.BUY
    base, quote = order.base.asset.code, order.quote.asset.code
    return {
        "trade_id": _uuid(booked),
        "client_trade_id": order.quote_id,
        "trade_state": "terminated",
        "symbol": f"{base}/{quote}",
        "quantity": plain_text(order.base),
        "trade_price": Price.of(order.base, order.quote).value,
        "total_notional": plain_text(order.quote),
        "trade_type": "regular",
        "product_type": "spot",
        "transaction_timestamp": unix_milliseconds(order.decided_at),
        "underlying": base,
        "quoted_currency": quote,
        "parties": [_party(PARTICIPANT, order.side, order), _party(_VENUE, other, order)],
    }


def _party(code: str, side: Side, order: Any) -> dict[str, Any]:
    received = order.base if side is Side.BUY else order.quote
    return {
        "participant_code": code,
        "side": side,
        "asset": received.asset.code,
        "amount": plain_text(received),
        "settling": True,
        "settlement_state": "settled",
        "client_order_id": "",
    }


def _uuid(booked: BookedOrder) -> str:
    """Return the trade's id in the form of this venue."""
    return str(UUID(bytes=hashlib.sha256(booked.id.encode()).digest()[:16], version=4))


def _side(body: dict[str, Any]) -> Side:
    try:
        return Side(read_text(body, "side"))
    except ValueError:
        raise Refused(400, "BAD_REQUEST", "side must be buy or sell") from None
