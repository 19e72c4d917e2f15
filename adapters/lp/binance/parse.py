"""Reading Binance's answers.

Source: developers.binance.com, "Convert" and "Error codes"; docs/venues.md lists every field. No
code of a refused acceptance is documented, so none is a verdict: the order's state tells.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from adapters.lp.binance.config import BinanceLpConfig
from adapters.lp.conversion import assets_of
from adapters.lp.http import OK, Answer
from adapters.lp.listing import WORKING, Execution, by_name, meant
from adapters.lp.provider import Order
from adapters.lp.reading import (
    BadAnswer,
    Fields,
    NoPrice,
    of_taken_order,
    unexpected,
    unreadable,
)
from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.side import Side
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import LpQuote, LpQuoteRequest, Working
from ports.market import Catalogue

PAGE: Final = 1_000
"""The most that one answer lists; a call costs the same however much it lists."""

_BAD_REQUEST: Final = 400
_NO_SUCH_ORDER: Final = "-2013"
_OF_THE_CALL: Final = ("-10", "-20")
"""How codes begin that are about the call or the key, and not about what was asked."""


def parse_quote(answer: Answer, request: LpQuoteRequest, config: BinanceLpConfig) -> LpQuote:
    """Read a price, or raise `NoPrice` or `BadAnswer`."""
    if answer.status == _BAD_REQUEST:
        code = Fields.of(answer).code("code")
        raise unexpected(answer) if code.startswith(_OF_THE_CALL) else NoPrice(code)
    fields = _fields(answer)
    base, quote = _amounts(fields, request.instrument, request.side)
    expires_at = fields.unix_time("validTimestamp") - config.quote_safety_margin
    if answer.date is None or expires_at <= answer.date:
        raise unreadable("the quote is over when it arrives")
    # Without an id the account has not enough to convert.
    return LpQuote(
        reference=fields.identifier("quoteId"), base=base, quote=quote, expires_at=expires_at
    )


def is_accepted(answer: Answer) -> bool:
    """Say whether the acceptance was taken; what became of it is asked next."""
    try:
        return bool(_fields(answer).identifier("orderId"))
    except BadAnswer:
        return False


def parse_order(
    answer: Answer, order: Order, config: BinanceLpConfig
) -> Filled | Rejected | Working:
    """Read the state of an order, or raise `BadAnswer`."""
    fields = _fields(answer)
    given, received = assets_of(order.instrument, order.side)
    # No id is repeated: it was asked by ours, and an order of these two assets is taken for ours.
    fields.expect(fromAsset=config.code_of(given), toAsset=config.code_of(received))
    with of_taken_order():
        state = fields.text("orderStatus")
        if state in ("PROCESS", "ACCEPT_SUCCESS"):
            return Working(answer.evidence)
        if state == "FAIL":
            return Rejected(reason="LP_FAIL", evidence=answer.evidence)
        if state != "SUCCESS":
            raise unreadable("unknown orderStatus")
        base, quote = _amounts(fields, order.instrument, order.side)
        return Filled(
            base=base,
            quote=quote,
            venue_order_id=fields.identifier("orderId"),
            evidence=answer.evidence,
        )


def is_not_found(answer: Answer) -> bool:
    """Say whether it knows no such order, or raise `BadAnswer`."""
    return answer.status == _BAD_REQUEST and Fields.of(answer).code("code") == _NO_SUCH_ORDER


def parse_flow(
    answer: Answer, config: BinanceLpConfig, catalogue: Catalogue
) -> tuple[Sequence[Execution], bool]:
    """Read what is listed of a time, and whether there is more of it.

    Raises `BadAnswer` or `StatementAssetMismatch`.
    """
    fields = _fields(answer)
    assets = by_name(catalogue.assets.values(), config.code_of)
    listed = fields.parts("list")
    found = [_execution(one, assets) for one in listed]
    # A list that is full may hold back more, whatever else is said.
    has_more = fields.flag("moreData") or len(listed) >= PAGE
    return [one for one in found if one is not None], has_more


def _execution(fields: Fields, assets: Mapping[str, Asset]) -> Execution | None:
    """Read a conversion, None if it was not executed."""
    state = fields.text("orderStatus")
    if state == "FAIL":
        return None
    if state != "SUCCESS":
        raise BadAnswer(WORKING, "not decided yet")
    order_id = fields.identifier("orderId")
    given, received = (
        meant(assets, fields.text(name), order_id) for name in ("fromAsset", "toAsset")
    )
    # What is given is sold: which of both an instrument has as its base makes no difference.
    base, quote = _amounts(fields, Instrument(given, received), Side.SELL)
    return Execution(
        order_id=order_id,
        client_order_id=fields.identifier("quoteId"),
        side=Side.SELL,
        base=base,
        quote=quote,
        executed_at=fields.unix_time("createTime"),
    )


def _amounts(fields: Fields, instrument: Instrument, side: Side) -> tuple[Amount, Amount]:
    given, received = assets_of(instrument, side)
    from_amount = fields.amount("fromAmount", given)
    to_amount = fields.amount("toAmount", received)
    fields.expect_price("ratio", from_amount, to_amount)
    return (to_amount, from_amount) if side is Side.BUY else (from_amount, to_amount)


def _fields(answer: Answer) -> Fields:
    if answer.status != OK:
        raise unexpected(answer)
    return Fields.of(answer)
