"""Reading Bybit's answers: an envelope of a code and a result.

Source: Bybit v5 documentation, "Asset: Convert" and its guideline with the codes; docs/venues.md
lists every field.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from adapters.lp.bybit.config import BybitLpConfig
from adapters.lp.conversion import assets_of
from adapters.lp.http import OK, Answer
from adapters.lp.listing import WORKING, Execution, Page, by_name, meant, newest_first
from adapters.lp.provider import Order
from adapters.lp.reading import (
    BadAnswer,
    Fields,
    NoPrice,
    of_taken_order,
    unexpected,
    unreadable,
)
from domain.amount import Amount, AmountTooLarge
from domain.asset import Asset, Instrument
from domain.quote.pricing import AmountTooSmall
from domain.reconciliation.period import Period
from domain.side import Side
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import LpQuote, LpQuoteRequest, Working
from ports.market import Catalogue

_OK: Final = "0"
_EXPIRED: Final = "700008"
_NO_SUCH_ORDER: Final = "700004"

VERDICTS: Final = frozenset(
    {
        _EXPIRED,
        "700005",  # the balance is not enough
        "32024",  # the rate has moved too far, and the conversion is canceled
    }
)
"""Codes of a refused confirmation that mean: not executed, and never will be."""

NO_PRICE: Final = {
    "700001": "700001",  # nobody makes a price
    "700002": "700002",  # not in this currency
    "700006": AmountTooSmall.reason,
    "700007": AmountTooLarge.reason,
}
"""Codes of a refused request for a price that mean: asked and understood, but no price for this."""


def parse_quote(answer: Answer, request: LpQuoteRequest, config: BybitLpConfig) -> LpQuote:
    """Read a price, or raise `NoPrice` or `BadAnswer`."""
    code, envelope = _envelope(answer)
    if code in NO_PRICE:
        raise NoPrice(NO_PRICE[code])
    if code != _OK:
        raise BadAnswer(f"LP_CODE_{code}", "no answer to what was asked")
    fields = envelope.part("result")
    base, quote = _amounts(fields, "exchangeRate", request.instrument, request.side, config)
    expires_at = fields.unix_time("expiredTime") - config.quote_safety_margin
    if answer.date is None or expires_at <= answer.date:
        raise unreadable("the quote is over when it arrives")
    return LpQuote(
        reference=fields.identifier("quoteTxId"), base=base, quote=quote, expires_at=expires_at
    )


def is_accepted(answer: Answer) -> bool:
    """Say whether the confirmation was taken; what became of it is asked next."""
    try:
        code, envelope = _envelope(answer)
        return code == _OK and bool(envelope.part("result").identifier("quoteTxId"))
    except BadAnswer:
        return False


def parse_execution(
    answer: Answer, order: Order, config: BybitLpConfig
) -> Filled | Rejected | Working:
    """Read a refused confirmation, or what became of one that was taken, or raise `BadAnswer`."""
    if not answer.is_of_taken_order:
        code, _ = _envelope(answer)
        if code in VERDICTS:
            return Rejected(
                reason=f"LP_{code}", evidence=answer.evidence, lp_quote_expired=code == _EXPIRED
            )
    return parse_result(answer, order, config)


def parse_result(
    answer: Answer, order: Order, config: BybitLpConfig
) -> Filled | Rejected | Working:
    """Read the state of an order, or raise `BadAnswer`."""
    code, envelope = _envelope(answer)
    if code != _OK:
        raise BadAnswer("LP_NO_VERDICT", "the code is no verdict")
    fields = envelope.part("result").part("result")
    fields.expect(exchangeTxId=order.reference)
    with of_taken_order():
        state = fields.text("exchangeStatus")
        if state in ("init", "processing"):
            return Working(answer.evidence)
        if state == "failure":
            return Rejected(reason="LP_FAILURE", evidence=answer.evidence)
        if state != "success":
            raise unreadable("unknown exchangeStatus")
        base, quote = _amounts(fields, "convertRate", order.instrument, order.side, config)
        return Filled(
            base=base, quote=quote, venue_order_id=order.reference, evidence=answer.evidence
        )


def is_not_found(answer: Answer) -> bool:
    """Say whether it knows no such order, or raise `BadAnswer`."""
    return _envelope(answer)[0] == _NO_SUCH_ORDER


def parse_page(answer: Answer, period: Period, config: BybitLpConfig, catalogue: Catalogue) -> Page:
    """Read what a page of the history has of a period.

    Raises `BadAnswer` or `StatementAssetMismatch`.
    """
    code, envelope = _envelope(answer)
    if code != _OK:
        raise BadAnswer(f"LP_CODE_{code}", "no answer to what was asked")
    assets = by_name(catalogue.assets.values(), config.code_of)
    listed = envelope.part("result").parts("list")
    times = [one.unix_time("createdAt") for one in listed]
    found = [
        _execution(one, at, config, assets)
        for one, at in zip(listed, times, strict=True)
        if period.has(at)
    ]
    return newest_first(Page([one for one in found if one is not None], times))


def _execution(
    fields: Fields, at: datetime, config: BybitLpConfig, assets: Mapping[str, Asset]
) -> Execution | None:
    """Read a conversion, None if it was not executed."""
    state = fields.text("exchangeStatus")
    if state == "failure":
        return None
    if state != "success":
        raise BadAnswer(WORKING, "not decided yet")
    order_id = fields.identifier("exchangeTxId")
    given, received = (
        meant(assets, fields.text(name), order_id) for name in ("fromCoin", "toCoin")
    )
    # What is given is sold: which of both an instrument has as its base makes no difference.
    base, quote = _amounts(fields, "convertRate", Instrument(given, received), Side.SELL, config)
    return Execution(
        order_id=order_id,
        client_order_id=order_id,
        side=Side.SELL,
        base=base,
        quote=quote,
        executed_at=at,
    )


def _amounts(
    fields: Fields, rate: str, instrument: Instrument, side: Side, config: BybitLpConfig
) -> tuple[Amount, Amount]:
    given, received = assets_of(instrument, side)
    fields.expect(fromCoin=config.code_of(given), toCoin=config.code_of(received))
    from_amount = fields.amount("fromAmount", given)
    to_amount = fields.amount("toAmount", received)
    fields.expect_price(rate, from_amount, to_amount)
    return (to_amount, from_amount) if side is Side.BUY else (from_amount, to_amount)


def _envelope(answer: Answer) -> tuple[str, Fields]:
    if answer.status != OK:
        raise unexpected(answer)
    envelope = Fields.of(answer)
    return envelope.code("retCode"), envelope
