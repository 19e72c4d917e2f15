"""Reading Zero Hash's answers: what was asked for is in `message`.

Source: docs.zerohash.com; docs/venues.md lists every field. Refusals have no codes, so none is a
verdict: what became of an execution that was not completed, its trades tell.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from adapters.lp.http import OK, Answer
from adapters.lp.listing import Execution, by_name, meant, side_of
from adapters.lp.provider import Order
from adapters.lp.reading import (
    WRONG_ECHO,
    BadAnswer,
    Fields,
    NoPrice,
    expect_any,
    of_taken_order,
    unexpected,
    unreadable,
)
from adapters.lp.zero_hash.config import ZeroHashLpConfig
from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.side import Side
from domain.trade.outcome import Filled
from ports.liquidity import LpQuote, LpQuoteRequest
from ports.market import Catalogue

_CREATED: Final = 201
_BAD_REQUEST: Final = 400
_EXECUTED: Final = frozenset({"accepted", "active", "terminated"})
"""All states of a trade; each was executed, and they differ in its settlement."""


def parse_quote(answer: Answer, request: LpQuoteRequest, config: ZeroHashLpConfig) -> LpQuote:
    """Read a price, or raise `NoPrice` or `BadAnswer`."""
    if answer.status == _BAD_REQUEST:
        Fields.of(answer)
        raise NoPrice("HTTP_400")
    fields = _message(answer)
    fields.expect(side=request.side.value)
    base, quote = _amounts(fields, "price", request.instrument, config)
    expires_at = fields.unix_time("expire_ts") - config.quote_safety_margin
    if answer.date is None or expires_at <= answer.date:
        raise unreadable("the quote is over when it arrives")
    return LpQuote(
        reference=fields.identifier("quote_id"), base=base, quote=quote, expires_at=expires_at
    )


def parse_execution(answer: Answer, order: Order, config: ZeroHashLpConfig) -> Filled:
    """Read the answer to an execution, or raise `BadAnswer`."""
    fields = _message(answer)
    executed = fields.part("quote")
    executed.expect(quote_id=order.reference)
    with of_taken_order():
        if fields.text("status") != "Completed":
            raise unreadable("unknown status")
        executed.expect(side=order.side.value)
        base, quote = _amounts(executed, "price", order.instrument, config)
        return Filled(
            base=base,
            quote=quote,
            venue_order_id=fields.identifier("trade_id"),
            evidence=answer.evidence,
        )


def parse_trades(answer: Answer, order: Order, config: ZeroHashLpConfig) -> Filled | None:
    """Read the trade on a quote, None if there is none, or raise `BadAnswer`."""
    if answer.status != OK:
        raise unexpected(answer)
    trades = Fields.of(answer).parts("message")
    if not trades:
        return None
    expect_any(trades, client_trade_id=order.reference)
    with of_taken_order():
        if len(trades) > 1:
            raise unreadable("more than one trade on a quote")
        (fields,) = trades
        if fields.text("trade_state") not in _EXECUTED:
            raise unreadable("unknown trade_state")
        _expect_parties(fields.parts("parties"), order.instrument, order.side, config)
        base, quote = _amounts(fields, "trade_price", order.instrument, config)
        return Filled(
            base=base,
            quote=quote,
            venue_order_id=fields.identifier("trade_id"),
            evidence=answer.evidence,
        )


def parse_page(
    answer: Answer, number: int, config: ZeroHashLpConfig, catalogue: Catalogue
) -> tuple[Sequence[Execution], int]:
    """Read a page of the trades, and how many pages there are.

    Raises `BadAnswer` or `StatementAssetMismatch`.
    """
    if answer.status != OK:
        raise unexpected(answer)
    fields = Fields.of(answer)
    if fields.count("page") != number:
        raise BadAnswer(WRONG_ECHO, "the page is not the one that was asked for")
    assets = by_name(catalogue.assets.values(), config.code_of)
    executions = [_execution(one, config, assets) for one in fields.parts("message")]
    return executions, fields.count("total_pages")


def _execution(fields: Fields, config: ZeroHashLpConfig, assets: Mapping[str, Asset]) -> Execution:
    order_id = fields.identifier("trade_id")
    if fields.text("trade_state") not in _EXECUTED:
        raise unreadable("unknown trade_state")
    underlying, quoted = (
        meant(assets, fields.text(name), order_id) for name in ("underlying", "quoted_currency")
    )
    instrument = Instrument(underlying, quoted)
    parties = fields.parts("parties")
    sides = {one.text("participant_code"): one.text("side") for one in parties}
    side = side_of(sides.get(config.participant_code, ""))
    _expect_parties(parties, instrument, side, config)
    base, quote = _amounts(fields, "trade_price", instrument, config)
    return Execution(
        order_id=order_id,
        client_order_id=fields.identifier("client_trade_id"),
        side=side,
        base=base,
        quote=quote,
        executed_at=fields.unix_time("transaction_timestamp"),
    )


def _expect_parties(
    parties: list[Fields], instrument: Instrument, side: Side, config: ZeroHashLpConfig
) -> None:
    """Raise unless one party is ours and took our side, and neither is in default."""
    ours = [one for one in parties if one.text("participant_code") == config.participant_code]
    if len(ours) != 1 or len(parties) != 2:
        raise unreadable("the trade is not between us and another")
    for party in parties:
        is_buyer = (side is Side.BUY) is (party is ours[0])
        received = instrument.base if is_buyer else instrument.quote
        party.expect(
            side=Side.BUY.value if is_buyer else Side.SELL.value, asset=config.code_of(received)
        )
        if party.has("settlement_state") and party.text("settlement_state") == "defaulted":
            raise unreadable("the trade is in default")


def _message(answer: Answer) -> Fields:
    if answer.status not in (OK, _CREATED):
        raise unexpected(answer)
    return Fields.of(answer).part("message")


def _amounts(
    fields: Fields, price_field: str, instrument: Instrument, config: ZeroHashLpConfig
) -> tuple[Amount, Amount]:
    """Read both amounts of that instrument; they multiply by the price."""
    fields.expect(
        underlying=config.code_of(instrument.base),
        quoted_currency=config.code_of(instrument.quote),
    )
    base = fields.amount("quantity", instrument.base)
    quote = fields.amount("total_notional", instrument.quote)
    fields.expect_price(price_field, base, quote)
    return base, quote
