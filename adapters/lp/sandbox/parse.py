"""Reading a sandbox venue's answers."""

from datetime import datetime, timedelta
from typing import Final

from adapters.lp.http import OK, Answer
from adapters.lp.listing import Execution, Page, meant, side_of
from adapters.lp.provider import Order
from adapters.lp.reading import (
    BadAnswer,
    Fields,
    NoPrice,
    of_taken_order,
    unexpected,
    unreadable,
)
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import LpQuote, LpQuoteRequest, Working
from ports.market import Catalogue

QUOTE_EXPIRED: Final = "QUOTE_EXPIRED"

VERDICTS: Final = frozenset({QUOTE_EXPIRED, "REJECTED", "QUOTE_NOT_FOUND", "QUOTE_USED"})
"""Codes of an order's refusal that mean: not executed, and never will be."""

NO_PRICE: Final = frozenset(
    {"NO_PRICE", "UNKNOWN_INSTRUMENT", "AMOUNT_TOO_SMALL", "AMOUNT_TOO_LARGE"}
)
"""Codes of a quote's refusal that mean: asked and understood, but no price for this."""

_NOT_FOUND: Final = 404


def parse_quote(answer: Answer, request: LpQuoteRequest, *, margin: timedelta) -> LpQuote:
    """Read a price, or raise `NoPrice` or `BadAnswer`."""
    if answer.status != OK:
        raise _no_quote(answer)
    fields = Fields.of(answer)
    fields.expect(
        client_quote_id=str(request.id),
        base_asset=request.instrument.base.code,
        quote_asset=request.instrument.quote.code,
        side=request.side.value,
    )
    expire_time = fields.time("expire_time")
    if expire_time - fields.time("time") <= margin:
        raise unreadable("the quote is over when it arrives")
    return LpQuote(
        reference=fields.identifier("quote_id"),
        base=fields.amount("base_amount", request.instrument.base),
        quote=fields.amount("quote_amount", request.instrument.quote),
        expires_at=expire_time - margin,
    )


def parse_execution(answer: Answer, order: Order) -> Filled | Rejected | Working:
    """Read the answer to an order, or raise `BadAnswer`."""
    if answer.status != OK:
        return _verdict(answer, order)
    return parse_order(answer, order)


def parse_order(answer: Answer, order: Order) -> Filled | Rejected | Working:
    """Read the state of an order, or raise `BadAnswer`."""
    if answer.status != OK:
        raise unexpected(answer)
    fields = Fields.of(answer)
    fields.expect(client_order_id=str(order.client_order_id))
    with of_taken_order():
        status = fields.text("status")
        if status == "working":
            return Working(answer.evidence)
        fields.expect(
            base_asset=order.instrument.base.code,
            quote_asset=order.instrument.quote.code,
            side=order.side.value,
        )
        if status == "rejected":
            return _rejection(fields.text("code"), answer)
        if status != "filled":
            raise unreadable("unknown status")
        return Filled(
            base=fields.amount("base_amount", order.instrument.base),
            quote=fields.amount("quote_amount", order.instrument.quote),
            venue_order_id=fields.identifier("order_id"),
            evidence=answer.evidence,
        )


def parse_page(answer: Answer, catalogue: Catalogue) -> Page:
    """Read a page of orders, or raise `BadAnswer` or `StatementAssetMismatch`."""
    if answer.status != OK:
        raise unexpected(answer)
    listed = Fields.of(answer).parts("orders")
    found = [_execution(one, catalogue) for one in listed]
    return Page(
        [one for one in found if one is not None], [one.time("execute_time") for one in listed]
    )


def _execution(fields: Fields, catalogue: Catalogue) -> Execution | None:
    """Read an order of a list, None if it was not executed."""
    status, order_id = fields.text("status"), fields.identifier("order_id")
    if status == "rejected":
        return None
    if status != "filled":
        raise unreadable("unknown status")
    base, quote = (
        meant(catalogue.assets, fields.text(name), order_id)
        for name in ("base_asset", "quote_asset")
    )
    return Execution(
        order_id=order_id,
        client_order_id=fields.identifier("client_order_id"),
        side=side_of(fields.text("side")),
        base=fields.amount("base_amount", base),
        quote=fields.amount("quote_amount", quote),
        executed_at=fields.time("execute_time"),
    )


def is_not_found(answer: Answer) -> bool:
    """Say whether it knows no such order, or raise `BadAnswer`."""
    return answer.status == _NOT_FOUND and _code(Fields.of(answer)) == "ORDER_NOT_FOUND"


def parse_time(answer: Answer) -> datetime:
    """Read the venue's clock, which it says in every answer."""
    return Fields.of(answer).time("time")


def _no_quote(answer: Answer) -> Exception:
    if not _is_refusal(answer):
        return unexpected(answer)
    code = _code(Fields.of(answer))
    return NoPrice(code) if code in NO_PRICE else unexpected(answer)


def _verdict(answer: Answer, order: Order) -> Rejected:
    if not _is_refusal(answer):
        raise unexpected(answer)
    fields = Fields.of(answer)
    # A refusal repeats the id of what was asked; it does not say that there is an order.
    if fields.has("client_order_id"):
        fields.expect(client_order_id=str(order.client_order_id))
    return _rejection(_code(fields), answer)


def _rejection(code: str, answer: Answer) -> Rejected:
    if code not in VERDICTS:
        raise BadAnswer("LP_NO_VERDICT", "the code is no verdict")
    return Rejected(
        reason=f"LP_{code}", evidence=answer.evidence, lp_quote_expired=code == QUOTE_EXPIRED
    )


def _code(fields: Fields) -> str:
    return fields.part("error").text("code")


def _is_refusal(answer: Answer) -> bool:
    return 400 <= answer.status < 500
