"""Reading OKX's answers: an envelope of a code and a list, whatever the HTTP status.

Source: OKX API guide v5, "Funding Account" and "Error Code"; docs/venues.md lists every field.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from adapters.lp.http import OK, Answer
from adapters.lp.listing import Execution, Page, by_name, meant, newest_first, our_id, side_of
from adapters.lp.okx.config import OkxLpConfig
from adapters.lp.provider import Order
from adapters.lp.reading import (
    BadAnswer,
    Fields,
    NoPrice,
    expect_any,
    of_taken_order,
    unexpected,
    unreadable,
)
from domain.amount import AmountTooLarge
from domain.asset import Asset
from domain.ids import AttemptId, LpQuoteRequestId
from domain.quote.pricing import AmountTooSmall
from domain.reconciliation.period import Period
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import LpQuote, LpQuoteRequest
from ports.market import Catalogue

NO_PRICE: Final = {
    "51001": "51001",  # no such instrument
    "51020": AmountTooSmall.reason,
    "51021": "51021",  # the pair is not listed
}
"""Codes of a refused request for a price that mean: asked and understood, but no price for this.

That a trade was not executed is known from its state alone: no code is documented for that.
"""


def parse_quote(answer: Answer, request: LpQuoteRequest, config: OkxLpConfig) -> LpQuote:
    """Read a price, or raise `NoPrice` or `BadAnswer`."""
    base, quote = request.instrument.base, request.instrument.quote
    envelope = _envelope(answer)
    code = envelope.text("code")
    if code in NO_PRICE:
        raise NoPrice(NO_PRICE[code])
    fields = _only(_data(envelope))
    fields.expect(
        clQReqId=request_id_of(request.id),
        baseCcy=config.code_of(base),
        quoteCcy=config.code_of(quote),
        side=request.side.value,
        rfqSzCcy=config.code_of(request.fixed.asset),
    )
    base_amount, quote_amount = fields.amount("baseSz", base), fields.amount("quoteSz", quote)
    fields.expect_price("cnvtPx", base_amount, quote_amount)
    given = fields.amount("rfqSz", request.fixed.asset)
    if given < request.fixed:
        raise NoPrice(AmountTooLarge.reason)
    if given != (base_amount if request.is_base else quote_amount):
        raise unreadable("the size is not the amount of its side")
    lifetime = timedelta(milliseconds=fields.milliseconds("ttlMs"))
    if lifetime <= config.quote_safety_margin:
        raise unreadable("the quote is over when it arrives")
    return LpQuote(
        reference=reference_of(fields.identifier("quoteId"), fields.text("rfqSzCcy")),
        base=base_amount,
        quote=quote_amount,
        expires_at=fields.unix_time("quoteTime") + lifetime - config.quote_safety_margin,
    )


def parse_trade(answer: Answer, order: Order, config: OkxLpConfig) -> Filled | Rejected:
    """Read the answer to a trade, or raise `BadAnswer`."""
    return _trade(_data(_envelope(answer)), answer, order, config)


def parse_history(answer: Answer, order: Order, config: OkxLpConfig) -> Filled | Rejected | None:
    """Read what the history says of a trade, None if it has none, or raise `BadAnswer`."""
    trades = _data(_envelope(answer))
    return _trade(trades, answer, order, config) if trades else None


def parse_page(answer: Answer, period: Period, config: OkxLpConfig, catalogue: Catalogue) -> Page:
    """Read what a page of the history has of a period.

    Raises `BadAnswer` or `StatementAssetMismatch`.
    """
    assets = by_name(catalogue.assets.values(), config.code_of)
    trades = _data(_envelope(answer))
    times = [trade.unix_time("ts") for trade in trades]
    found = [
        _execution(trade, at, assets)
        for trade, at in zip(trades, times, strict=True)
        if period.has(at)
    ]
    return newest_first(Page([one for one in found if one is not None], times))


def request_id_of(id: AttemptId | LpQuoteRequestId) -> str:
    """Return our id as OKX takes it: up to 32 letters and digits."""
    return id.uuid.hex


def reference_of(quote_id: str, size_currency: str) -> str:
    """Return what is kept of a quote: a trade must name the currency that its size was asked in."""
    return f"{quote_id}:{size_currency}"


def read_reference(reference: str) -> tuple[str, str]:
    """Return the quote's id and the currency of its size."""
    quote_id, _, size_currency = reference.rpartition(":")
    return quote_id, size_currency


def _trade(
    trades: list[Fields], answer: Answer, order: Order, config: OkxLpConfig
) -> Filled | Rejected:
    base_asset, quote_asset = order.instrument.base, order.instrument.quote
    expect_any(trades, clTReqId=request_id_of(order.client_order_id))
    with of_taken_order():
        fields = _only(trades)
        fields.expect(
            baseCcy=config.code_of(base_asset),
            quoteCcy=config.code_of(quote_asset),
            side=order.side.value,
        )
        state = fields.text("state")
        if state == "rejected":
            return Rejected(reason="LP_REJECTED", evidence=answer.evidence)
        if state != "fullyFilled":
            raise unreadable("unknown state")
        base = fields.amount("fillBaseSz", base_asset)
        quote = fields.amount("fillQuoteSz", quote_asset)
        fields.expect_price("fillPx", base, quote)
        return Filled(
            base=base,
            quote=quote,
            venue_order_id=fields.identifier("tradeId"),
            evidence=answer.evidence,
        )


def _execution(fields: Fields, at: datetime, assets: Mapping[str, Asset]) -> Execution | None:
    """Read a trade of the history, None if it was not executed."""
    state = fields.text("state")
    if state == "rejected":
        return None
    if state != "fullyFilled":
        raise unreadable("unknown state")
    order_id = fields.identifier("tradeId")
    base = fields.amount("fillBaseSz", meant(assets, fields.text("baseCcy"), order_id))
    quote = fields.amount("fillQuoteSz", meant(assets, fields.text("quoteCcy"), order_id))
    fields.expect_price("fillPx", base, quote)
    return Execution(
        order_id=order_id,
        client_order_id=our_id(fields.text("clTReqId")) or order_id,
        side=side_of(fields.text("side")),
        base=base,
        quote=quote,
        executed_at=at,
    )


def _envelope(answer: Answer) -> Fields:
    if answer.status != OK:
        raise unexpected(answer)
    return Fields.of(answer)


def _data(envelope: Fields) -> list[Fields]:
    code = envelope.text("code")
    if code != "0":
        raise BadAnswer("LP_NO_VERDICT", "the code is no verdict")
    return envelope.parts("data")


def _only(found: list[Fields]) -> Fields:
    if len(found) != 1:
        raise unreadable("not exactly one in data")
    return found[0]
