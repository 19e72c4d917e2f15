"""Messages that are made once, however often their things are told of."""

from dataclasses import replace
from datetime import timedelta

from adapters.wire.event import event_bytes
from adapters.wire.quote import quote_message
from adapters.wire.told import KEPT, Told
from adapters.wire.trade import trade_message
from reli.event.v1 import event_pb2
from reli.quote.v1 import quote_pb2
from reli.type.v1 import amount_pb2
from tests.support.builders import a_quote, a_trade, an_event_of


def message_of(told: Told[amount_pb2.Amount], thing: list[int]) -> amount_pb2.Amount:
    return told.message(thing, lambda: amount_pb2.Amount(value=str(thing[0])))


def test_a_thing_has_one_message_and_its_equal_another() -> None:
    told: Told[amount_pb2.Amount] = Told()
    one, equal = [1], [1]

    first = message_of(told, one)

    assert message_of(told, one) is first
    assert message_of(told, equal) is not first
    assert message_of(told, equal) == first


def test_a_thing_never_has_the_message_of_one_that_is_gone() -> None:
    told: Told[amount_pb2.Amount] = Told()

    # Each takes the place in memory of one that nobody else holds any more.
    values = [message_of(told, [number]).value for number in range(4 * KEPT)]

    assert values == [str(number) for number in range(4 * KEPT)]


def test_so_many_are_kept_and_the_oldest_are_made_again() -> None:
    told: Told[amount_pb2.Amount] = Told()
    things = [[number] for number in range(KEPT + 1)]

    messages = [message_of(told, thing) for thing in things]

    assert message_of(told, things[-1]) is messages[-1]
    assert message_of(told, things[1]) is messages[1]
    assert message_of(told, things[0]) is not messages[0]


def test_a_quote_reads_otherwise_once_it_is_over() -> None:
    quote = a_quote()

    states = [
        quote_message(quote, now=quote.created_at).state,
        quote_message(quote, now=quote.expires_at).state,
        quote_message(quote, now=quote.expires_at - timedelta(microseconds=1)).state,
    ]

    is_open, is_over = quote_pb2.QUOTE_STATE_OPEN, quote_pb2.QUOTE_STATE_EXPIRED
    assert states == [is_open, is_over, is_open]


def test_what_an_event_tells_leaves_the_message_as_it_was() -> None:
    trade = a_trade()
    before = trade_message(trade).SerializeToString()
    event = an_event_of(trade, "trade.accepted", occurred_at=trade.accepted_at)

    told = event_pb2.Event.FromString(event_bytes(event))
    told.trade.rejection_reason = "changed by who was told"

    assert trade_message(trade).SerializeToString() == before
    assert trade_message(replace(trade)) == trade_message(trade)
