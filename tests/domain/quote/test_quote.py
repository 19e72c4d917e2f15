"""A quote: firm until its expiry, used once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.amount import Amount
from domain.errors import DomainError
from domain.quote.errors import QuoteAlreadyAccepted, QuoteCanceled, QuoteExpired
from domain.quote.quote import Quote, QuoteState
from domain.side import Side
from tests.support.builders import NGN, NOW, a_quote, btc, seconds

TICK = timedelta(microseconds=1)

MOVES: list[Callable[[Quote], Quote]] = [
    lambda quote: quote.accept(now=NOW),
    lambda quote: quote.cancel(now=NOW),
]


def test_an_open_quote_is_accepted_until_the_last_instant() -> None:
    quote = a_quote(expires_in_s=10)

    accepted = quote.accept(now=quote.expires_at - TICK)

    assert accepted == replace(quote, state=QuoteState.ACCEPTED, version=2)
    assert quote.state is QuoteState.OPEN


@pytest.mark.parametrize("late", [timedelta(0), TICK, timedelta(days=1)])
def test_an_expired_quote_cannot_be_accepted(late: timedelta) -> None:
    quote = a_quote(expires_in_s=10)

    with pytest.raises(QuoteExpired) as caught:
        quote.accept(now=quote.expires_at + late)

    assert caught.value.metadata == {
        "quote_id": str(quote.id),
        "expire_time": (NOW + seconds(10)).isoformat(),
    }


def test_an_open_quote_is_canceled_until_the_last_instant() -> None:
    quote = a_quote()

    canceled = quote.cancel(now=quote.expires_at - TICK)

    assert canceled == replace(quote, state=QuoteState.CANCELED, version=2)


def test_an_expired_quote_cannot_be_canceled() -> None:
    quote = a_quote()

    with pytest.raises(QuoteExpired):
        quote.cancel(now=quote.expires_at)


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize(
    ("end", "refusal"),
    [
        (lambda quote: quote.accept(now=NOW), QuoteAlreadyAccepted),
        (lambda quote: quote.cancel(now=NOW), QuoteCanceled),
    ],
)
def test_a_quote_is_used_once(
    end: Callable[[Quote], Quote], refusal: type[DomainError], move: Callable[[Quote], Quote]
) -> None:
    used = end(a_quote())

    with pytest.raises(refusal) as caught:
        move(used)

    assert caught.value.metadata == {"quote_id": str(used.id)}


def test_a_late_second_accept_hears_that_it_was_accepted_not_that_it_expired() -> None:
    accepted = a_quote().accept(now=NOW)

    with pytest.raises(QuoteAlreadyAccepted):
        accepted.accept(now=accepted.expires_at)


def test_an_open_quote_reads_as_expired_once_its_time_is_over() -> None:
    quote = a_quote()

    assert quote.state_at(quote.expires_at - TICK) is QuoteState.OPEN
    assert quote.state_at(quote.expires_at) is QuoteState.EXPIRED


@pytest.mark.parametrize("move", MOVES)
def test_a_used_quote_never_reads_as_expired(move: Callable[[Quote], Quote]) -> None:
    used = move(a_quote())

    assert used.state_at(used.expires_at + seconds(60)) is used.state


def test_a_buyer_gives_the_quote_amount_and_a_seller_the_base_amount() -> None:
    buy, sell = a_quote(side=Side.BUY), a_quote(side=Side.SELL)

    assert buy.gives == buy.quote_amount
    assert sell.gives == sell.base_amount


def test_the_price_is_the_ratio_of_the_two_amounts() -> None:
    quote = a_quote()

    assert quote.price.value == "151500000"
    assert (quote.price.base_units, quote.price.quote_units) == (1_000_000, 151_500_000)


def test_a_quote_that_promises_nothing_cannot_be_made() -> None:
    quote = a_quote()

    with pytest.raises(AssertionError):
        replace(quote, base_amount=btc("0"))
    with pytest.raises(AssertionError):
        replace(quote, quote_amount=Amount(NGN, 0))
    with pytest.raises(AssertionError):
        replace(quote, expires_at=quote.created_at)
