"""Reading VALR's answers.

Source: docs.valr.com; docs/venues.md lists every field. Refusals of an order have no documented
codes, so none is a verdict: the summary of the order tells.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Final

from adapters.lp.http import OK, Answer
from adapters.lp.listing import WORKING, Execution, Page, by_name, meant, our_id, side_of
from adapters.lp.provider import Order
from adapters.lp.reading import (
    BadAnswer,
    Fields,
    NoPrice,
    bounded,
    of_taken_order,
    unexpected,
    unreadable,
)
from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.valr.price import Level, order_for
from domain.amount import Amount
from domain.asset import Instrument
from domain.side import Side
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import LpQuote, LpQuoteRequest
from ports.market import Catalogue

_NOT_FOUND: Final = 404
_OWN_CODE: Final = re.compile(r"-[1-9][0-9]{0,8}", re.ASCII)
"""Of the venue's own errors; what stands in front of it has none, or repeats the HTTP status."""

_WITHOUT_FILL: Final = frozenset({"Cancelled", "Failed"})
"""States of an order of all or none that was not executed."""

_MAX_LEVELS: Final = 1_000
_WIDEST: Final = Fraction(11, 10)
"""How far an ask may be above the best bid before the book is taken for a mistake."""
_LARGEST_FEE: Final = Fraction(1, 20)


def parse_quote(
    answer: Answer, request: LpQuoteRequest, config: ValrLpConfig, *, now: datetime
) -> LpQuote:
    """Read the order book and return a price, or raise `NoPrice` or `BadAnswer`."""
    if answer.status != OK:
        raise unexpected(answer)
    fields = Fields.of(answer)
    asks = _levels(fields, "Asks", "sell", request.instrument, config)
    bids = _levels(fields, "Bids", "buy", request.instrument, config)
    if not asks or not bids:
        raise NoPrice("NO_LIQUIDITY")
    if not bids[0].price < asks[0].price <= bids[0].price * _WIDEST:
        raise unreadable("the best prices make no sense beside each other")
    levels = asks if request.side is Side.BUY else bids
    order = order_for(request.fixed, request.instrument, request.side, levels, config)
    if order is None:
        raise NoPrice("NO_LIQUIDITY")
    if not order.cost.is_positive:
        raise NoPrice("AMOUNT_TOO_SMALL")
    return LpQuote(
        reference=reference_of(
            order.quantity, order.limit, config.tick_sizes[request.instrument.code]
        ),
        base=request.fixed,
        quote=bounded(order.cost),
        expires_at=now + config.quote_life - config.quote_safety_margin,
    )


def parse_summary(answer: Answer, order: Order, config: ValrLpConfig) -> Filled | Rejected:
    """Read what became of an order, or raise `BadAnswer`."""
    if answer.status != OK:
        raise unexpected(answer)
    fields = Fields.of(answer)
    fields.expect(customerOrderId=str(order.client_order_id.uuid))
    with of_taken_order():
        fields.expect(currencyPair=config.pair_of(order.instrument), orderSide=order.side.value)
        state = fields.text("orderStatusType")
        executed = fields.amount("totalExecutedQuantity", order.instrument.base, or_zero=True)
        if state in _WITHOUT_FILL:
            if executed.units:
                raise unreadable("all or none was ordered, and some was executed")
            return Rejected(reason=f"LP_{state.upper()}", evidence=answer.evidence)
        if state != "Filled":
            raise unreadable("unknown orderStatusType")
        total = fields.amount("total", order.instrument.quote)
        fields.expect_price("averagePrice", executed, total)
        base, quote = _without_fee(fields, executed, total, order.side, config)
        return Filled(
            base=base,
            quote=quote,
            venue_order_id=fields.identifier("orderId"),
            evidence=answer.evidence,
        )


def parse_page(answer: Answer, config: ValrLpConfig, catalogue: Catalogue) -> Page:
    """Read a page of the order history, or raise `BadAnswer` or `StatementAssetMismatch`."""
    if answer.status != OK:
        raise unexpected(answer)
    pairs = by_name(catalogue.instruments.values(), config.pair_of)
    listed = Fields.all_of(answer)
    found = [_execution(one, config, pairs) for one in listed]
    return Page(
        [one for one in found if one is not None], [one.time("orderUpdatedAt") for one in listed]
    )


def _execution(
    fields: Fields, config: ValrLpConfig, pairs: Mapping[str, Instrument]
) -> Execution | None:
    """Read an order of the history, None if nothing of it was executed."""
    order_id = fields.identifier("orderId")
    instrument = meant(pairs, fields.text("currencyPair"), order_id)
    state = fields.text("orderStatusType")
    quantity = fields.amount("totalExecutedQuantity", instrument.base, or_zero=True)
    if state in _WITHOUT_FILL and not quantity.units:
        return None
    if state != "Filled":
        raise BadAnswer(WORKING, "an order that is neither filled nor over")
    side = side_of(fields.text("orderSide"))
    total = fields.amount("total", instrument.quote)
    fields.expect_price("averagePrice", quantity, total)
    base, quote = _without_fee(fields, quantity, total, side, config)
    return Execution(
        order_id=order_id,
        client_order_id=our_id(fields.identifier("customerOrderId"))
        if fields.has("customerOrderId")
        else order_id,
        side=side,
        base=base,
        quote=quote,
        executed_at=fields.time("orderUpdatedAt"),
    )


def is_not_found(answer: Answer) -> bool:
    """Say whether it knows no such completed order, or raise `BadAnswer`."""
    if answer.status != _NOT_FOUND:
        return False
    fields = Fields.of(answer)
    fields.text("message")
    if not _OWN_CODE.fullmatch(fields.code("code")):
        raise unexpected(answer)
    return True


def reference_of(quantity: Amount, limit: Fraction, tick: Fraction) -> str:
    """Return what is kept of a price: the quantity and the limit of the order."""
    return f"{quantity.value}@{_decimal(limit, tick)}"


def read_reference(reference: str) -> tuple[str, str]:
    """Return the quantity and the limit."""
    quantity, _, limit = reference.partition("@")
    return quantity, limit


def _levels(
    fields: Fields, side: str, order_side: str, instrument: Instrument, config: ValrLpConfig
) -> list[Level]:
    found = fields.parts(side)
    if len(found) > _MAX_LEVELS:
        raise unreadable("more levels than anybody needs")
    levels = []
    for one in found:
        one.expect(side=order_side, currencyPair=config.pair_of(instrument))
        levels.append(Level(one.price("price"), one.amount("quantity", instrument.base)))
    prices = [level.price for level in levels]
    if prices != sorted(prices, reverse=side == "Bids"):
        raise unreadable("the best price is not the first")
    return levels


def _without_fee(
    fields: Fields, executed: Amount, total: Amount, side: Side, config: ValrLpConfig
) -> tuple[Amount, Amount]:
    """Return what was received and given, all in."""
    code = fields.text("feeCurrency")
    assets = {config.code_of(one.asset): one for one in (executed, total)}
    if code not in assets:
        raise unreadable("the fee is in another currency")
    gross = assets[code]
    fee = fields.amount("totalFee", gross.asset, or_zero=True)
    if fee.units > gross.units * _LARGEST_FEE:
        raise unreadable("the fee is too large to be one")
    if gross is executed:
        return (executed - fee if side is Side.BUY else bounded(executed + fee)), total
    return executed, (bounded(total + fee) if side is Side.BUY else total - fee)


def _decimal(price: Fraction, tick: Fraction) -> str:
    """Write a price, a multiple of its tick, in decimal digits."""
    places = 0
    while (tick * 10**places).denominator != 1:
        places += 1
    digits = str(int(price * 10**places)).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits
