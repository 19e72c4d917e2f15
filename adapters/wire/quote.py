"""Quotes."""

from datetime import datetime
from functools import partial
from typing import Final

from adapters.wire.amount import (
    SIDE_MESSAGE,
    amount_message,
    price_message,
    time_message,
    waterfall_message,
)
from adapters.wire.enum import enum_messages
from adapters.wire.routing import ROUTING_RULE_MESSAGE
from adapters.wire.told import Told
from domain.quote.indicative import IndicativeQuote
from domain.quote.quote import LpAnswer, LpVerdict, Quote, QuoteState
from reli.quote.v1 import indicative_quote_pb2, quote_pb2

_STATE = enum_messages(QuoteState, quote_pb2.QuoteState, "QUOTE_STATE")
_VERDICT = enum_messages(LpVerdict, quote_pb2.LpVerdict, "LP_VERDICT")


_told: Final[Told[quote_pb2.Quote]] = Told()


def quote_message(quote: Quote, *, now: datetime) -> quote_pb2.Quote:
    """Return the quote as it reads at `now`, when an open one may have expired.

    Others may be given the same message too.
    """
    state = quote.state_at(now)
    return _told.message(quote, partial(_quote_message, quote, state), as_of=state)


def _quote_message(quote: Quote, state: QuoteState) -> quote_pb2.Quote:
    return quote_pb2.Quote(
        id=str(quote.id),
        customer_id=str(quote.party.customer_id or ""),
        side=SIDE_MESSAGE[quote.side],
        instrument=quote.instrument.code,
        base_amount=amount_message(quote.base_amount),
        quote_amount=amount_message(quote.quote_amount),
        price=price_message(quote.price),
        waterfall=waterfall_message(quote.waterfall),
        state=_STATE[state],
        create_time=time_message(quote.created_at),
        expire_time=time_message(quote.expires_at),
        lp=quote.lp,
        routing=ROUTING_RULE_MESSAGE[quote.routing],
    )


def indicative_quote_message(quote: IndicativeQuote) -> indicative_quote_pb2.IndicativeQuote:
    return indicative_quote_pb2.IndicativeQuote(
        side=SIDE_MESSAGE[quote.side],
        instrument=quote.instrument.code,
        base_amount=amount_message(quote.base_amount),
        quote_amount=amount_message(quote.quote_amount),
        price=price_message(quote.price),
        waterfall=waterfall_message(quote.waterfall),
        lp=quote.lp,
        price_time=time_message(quote.priced_at),
        is_indicative=True,
    )


def lp_answer_message(answer: LpAnswer) -> quote_pb2.LpAnswer:
    return quote_pb2.LpAnswer(
        lp=answer.lp,
        verdict=_VERDICT[answer.verdict],
        latency_ms=answer.latency_ms,
        base_amount=amount_message(answer.base) if answer.base else None,
        quote_amount=amount_message(answer.quote) if answer.quote else None,
        reason=answer.reason,
        score=answer.score,
    )
