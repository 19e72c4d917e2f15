"""Reading B2C2's answers: an object, or a list of errors with a code each.

Source: public clients of the venue and their recorded answers; docs/venues.md lists every field. A
price is told and no quote amount, which is therefore the two multiplied, rounded against us.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

from adapters.lp.b2c2.config import B2c2LpConfig
from adapters.lp.http import OK, Answer
from adapters.lp.listing import Execution, Page, by_name, meant, our_id, side_of
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
from adapters.lp.worth import against_us, worth
from domain.amount import Amount, AmountTooLarge, TooManyDigits
from domain.asset import Instrument
from domain.quote.pricing import AmountTooSmall
from domain.side import Side
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import LpQuote, LpQuoteRequest
from ports.market import Catalogue

_CREATED: Final = 201
_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404

NO_PRICE: Final = {
    "1001": "1001",  # the instrument does not exist, or is not traded with us
    "1010": AmountTooLarge.reason,
    "1012": "1012",  # the risk exposure is exhausted
    "1013": "1013",  # the credit exposure is exhausted
    "1015": TooManyDigits.reason,
    "1016": "1016",  # trading is disabled
    "1019": AmountTooSmall.reason,
    "1022": "1022",  # the currency is not traded with us
}
"""Codes of a refused request for a price that mean: asked and understood, but no price for this.

That an order was not executed is known from the order alone: which codes prove it is nowhere said.
"""


@dataclass(frozen=True, slots=True)
class Reference:
    """What an order must repeat of the price that it is placed on.

    Attributes:
        price: as the venue wrote it.
        valid_until: when the price is over by the venue's clock.
    """

    rfq_id: str
    price: str
    valid_until: str

    def __str__(self) -> str:
        return f"{self.price}@{self.valid_until}@{self.rfq_id}"

    @classmethod
    def read(cls, text: str) -> "Reference":
        price, _, rest = text.partition("@")
        valid_until, _, rfq_id = rest.partition("@")
        return cls(rfq_id, price, valid_until)


def parse_quote(answer: Answer, request: LpQuoteRequest, config: B2c2LpConfig) -> LpQuote:
    """Read a price, or raise `NoPrice` or `BadAnswer`."""
    if answer.status == _BAD_REQUEST:
        code = _error_code(answer)
        if code in NO_PRICE:
            raise NoPrice(NO_PRICE[code])
        raise BadAnswer(f"LP_CODE_{code}", "no answer to what was asked")
    fields = _object(answer)
    fields.expect(
        client_rfq_id=str(request.id.uuid),
        instrument=config.name_of(request.instrument),
        side=request.side.value,
    )
    base = fields.amount("quantity", request.instrument.base)
    exact = worth(base, fields.price("price"), request.instrument)
    quote = _told(exact, request.instrument, request.side)
    if not quote.is_positive:
        raise NoPrice(AmountTooSmall.reason)
    valid_until = fields.time("valid_until")
    expires_at = valid_until - config.quote_safety_margin
    if answer.date is None or expires_at <= answer.date:
        raise unreadable("the quote is over when it arrives")
    reference = Reference(fields.identifier("rfq_id"), fields.text("price"), _time(valid_until))
    return LpQuote(reference=str(reference), base=base, quote=quote, expires_at=expires_at)


def parse_order(answer: Answer, order: Order, config: B2c2LpConfig) -> Filled | Rejected:
    """Read what became of an order, or raise `BadAnswer`."""
    fields = _object(answer)
    name = config.name_of(order.instrument)
    fields.expect(client_order_id=str(order.client_order_id.uuid))
    with of_taken_order():
        fields.expect(instrument=name, side=order.side.value)
        base = fields.amount("quantity", order.instrument.base)
        if _is_rejected(fields):
            return Rejected(reason="LP_REJECTED", evidence=answer.evidence)
        return Filled(
            base=base,
            quote=_executed(fields, base, order.instrument, order.side, name),
            venue_order_id=fields.identifier("order_id"),
            evidence=answer.evidence,
        )


def parse_page(answer: Answer, config: B2c2LpConfig, catalogue: Catalogue) -> Page:
    """Read a page of orders, or raise `BadAnswer` or `StatementAssetMismatch`."""
    if answer.status != OK:
        raise unexpected(answer)
    instruments = by_name(catalogue.instruments.values(), config.name_of)
    listed = Fields.all_of(answer)
    found = [_listed(one, instruments) for one in listed]
    return Page([one for one in found if one is not None], [one.time("created") for one in listed])


def _listed(fields: Fields, instruments: Mapping[str, Instrument]) -> Execution | None:
    """Read an order of a list, None if it was not executed."""
    order_id, name = fields.identifier("order_id"), fields.text("instrument")
    if _is_rejected(fields):
        return None
    instrument, side = meant(instruments, name, order_id), side_of(fields.text("side"))
    base = fields.amount("quantity", instrument.base)
    return Execution(
        order_id=order_id,
        client_order_id=our_id(fields.identifier("client_order_id")),
        side=side,
        base=base,
        quote=_executed(fields, base, instrument, side, name),
        executed_at=fields.time("created"),
    )


def is_not_found(answer: Answer) -> bool:
    """Say whether it knows no such order, or raise `BadAnswer`."""
    return answer.status == _NOT_FOUND and bool(_error_code(answer))


def quantity_text(base: Amount) -> str:
    """Return an amount without the zeros at its end, which count as digits here."""
    text = base.value
    return text.rstrip("0").rstrip(".") if "." in text else text


def _object(answer: Answer) -> Fields:
    if answer.status not in (OK, _CREATED):
        raise unexpected(answer)
    return Fields.of(answer)


def _error_code(answer: Answer) -> str:
    errors = Fields.of(answer).parts("errors")
    if len(errors) != 1:
        raise unreadable("not exactly one error")
    return errors[0].code("code")


def _is_rejected(fields: Fields) -> bool:
    if not fields.is_null("executed_price"):
        return False
    # With trades it would be a contradiction, and without their list only half an answer.
    if fields.parts("trades"):
        raise unreadable("no executed_price, and trades")
    return True


def _executed(
    fields: Fields, base: Amount, instrument: Instrument, side: Side, name: str
) -> Amount:
    """Return what the order came to, which is the sum of its trades where they are told.

    Its own price is their average, and may be rounded.
    """
    if fields.has("trades"):
        exact, filled = Fraction(), Amount(base.asset, 0)
        for trade in fields.parts("trades"):
            trade.expect(instrument=name, side=side.value)
            quantity = trade.amount("quantity", base.asset)
            exact += worth(quantity, trade.price("price"), instrument)
            filled += quantity
        if filled != base:
            raise unreadable("the trades are not the whole order")
    else:
        exact = worth(base, fields.price("executed_price"), instrument)
    quote = _told(exact, instrument, side)
    if not quote.is_positive:
        raise unreadable("what was executed is worth nothing")
    fields.expect_price("executed_price", base, quote)
    return quote


def _told(exact: Fraction, instrument: Instrument, side: Side) -> Amount:
    return bounded(against_us(exact, instrument.quote, side))


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
