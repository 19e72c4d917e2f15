"""The venue's desk: it quotes, it decides orders, and it writes them in the book."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Final

from adapters.lp.sandbox.behavior import (
    OTHER_PRICE_BPS,
    OTHER_PRICE_FAR_BPS,
    Behavior,
    magic_behavior,
)
from adapters.lp.sandbox.book import Book, BookedOrder, Order, OrderStatus
from adapters.lp.sandbox.rates import ASSETS, BPS, Rate, Rates
from domain.amount import MAX_UNITS, Amount
from domain.errors import DomainError
from domain.rounding import divide_down, divide_up
from domain.side import Side
from ports.clock import Clock

QUOTE_LIFE: Final = timedelta(seconds=10)

MEMORY: Final = timedelta(seconds=20)
"""How long after its expiry a quote is still told from one that never was."""

_WORSE_BPS: Final = {
    Behavior.OTHER_PRICE: OTHER_PRICE_BPS,
    Behavior.OTHER_PRICE_FAR: OTHER_PRICE_FAR_BPS,
}


class Refused(Exception):
    """The venue says no; `status` is the HTTP status it says it with."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


_VERDICTS: Final = {
    "REJECTED": (422, "the order was rejected"),
    "QUOTE_EXPIRED": (410, "the quote has expired"),
    "NOT_FILLED": (422, "the order could not be filled within its limit"),
    "QUOTE_USED": (409, "the quote was executed under another client order id"),
}
"""Refusals of an order on a known quote; the book keeps them."""


def verdict(code: str) -> Refused:
    status, message = _VERDICTS[code]
    return Refused(status, code, message)


@dataclass(slots=True, kw_only=True, eq=False)
class VenueQuote:
    """A firm price that the venue has given.

    Attributes:
        behavior: what the asked amount makes an order on this quote do.
        used_by: the client order id that took it, empty while it is free.
    """

    id: str
    client_quote_id: str
    side: Side
    base: Amount
    quote: Amount
    expires_at: datetime
    behavior: Behavior
    used_by: str = ""


class Desk:
    """All that the venue knows: rates, live quotes, orders being worked on, and the book."""

    def __init__(self, *, name: str, position: int, rates: Rates, book: Book, clock: Clock) -> None:
        self._name = name
        self._position = position
        self._rates = rates
        self._book = book
        self._clock = clock
        self._quotes: dict[str, VenueQuote] = {}
        self._oldest: deque[VenueQuote] = deque()
        self._working: set[str] = set()

    def price(
        self, *, client_quote_id: str, base: str, quote: str, side: Side, text: str, is_base: bool
    ) -> VenueQuote:
        """Give a firm price for the amount `text` of the base or of the quote asset."""
        rate = self._rates.find(base, quote)
        if rate is None:
            raise Refused(400, "UNKNOWN_INSTRUMENT", "the pair is not traded here")
        instrument = rate.instrument
        try:
            fixed = Amount.parse_positive(text, instrument.base if is_base else instrument.quote)
        except DomainError as error:
            raise Refused(400, error.reason, error.message) from error
        base_amount = fixed if is_base else rate.base_for(fixed, side)
        quote_amount = rate.quote_for(fixed, side) if is_base else fixed
        if min(base_amount.units, quote_amount.units) <= 0:
            raise Refused(400, "AMOUNT_TOO_SMALL", "the amount is worth nothing here")
        if max(base_amount.units, quote_amount.units) > MAX_UNITS:
            raise Refused(400, "AMOUNT_TOO_LARGE", "the amount is worth too much")
        now = self._clock.now()
        self._forget(now - MEMORY)
        given = VenueQuote(
            id=f"{self._name}-q-{token_hex(12)}",
            client_quote_id=client_quote_id,
            side=side,
            base=base_amount,
            quote=quote_amount,
            expires_at=now + QUOTE_LIFE,
            behavior=magic_behavior(fixed.units, self._position),
        )
        self._quotes[given.id] = given
        self._oldest.append(given)
        return given

    def find_rate(self, base: str, quote: str) -> Rate | None:
        return self._rates.find(base, quote)

    def find_pair(self, pair: str) -> Rate | None:
        """Return what a pair costs, such as `BTCZAR`, whose two codes nothing parts."""
        for code in ASSETS:
            rate = self.find_rate(pair.removesuffix(code), code)
            if rate is not None:
                return rate
        return None

    def find_quote(self, quote_id: str) -> VenueQuote:
        quote = self._quotes.get(quote_id)
        if quote is None:
            raise Refused(404, "QUOTE_NOT_FOUND", "no such quote was given")
        return quote

    def latest_quote(self) -> VenueQuote:
        """Return the price that was given last."""
        return self._oldest[-1]

    def find_order(self, client_order_id: str) -> BookedOrder | None:
        """Return what was decided under that id, whether the status knows it yet or not."""
        return self._book.find(client_order_id)

    def find_visible_order(self, client_order_id: str) -> BookedOrder | None:
        """Return what the status says was decided under that id."""
        booked = self._book.find(client_order_id)
        if booked is None or self._clock.now() < booked.order.visible_at:
            return None
        return booked

    def orders(self, *, with_hidden: bool) -> list[BookedOrder]:
        """Return what was decided, the newest first, with or without what the status hides yet."""
        now = self._clock.now()
        return [booked for booked in self._book if with_hidden or booked.order.visible_at <= now][
            ::-1
        ]

    def is_working(self, client_order_id: str) -> bool:
        return client_order_id in self._working

    @contextmanager
    def working(self, client_order_id: str) -> Iterator[None]:
        """Have the order taken but not decided."""
        self._working.add(client_order_id)
        try:
            yield
        finally:
            self._working.discard(client_order_id)

    def take(
        self,
        quote: VenueQuote,
        client_order_id: str,
        behavior: Behavior,
        *,
        limit: Amount | None = None,
    ) -> None:
        """Bind the quote to the order, or book the refusal and raise it.

        With a limit it is refused if the fill would be worse for the asker.
        """
        if quote.used_by not in ("", client_order_id):
            code = "QUOTE_USED"
        elif behavior is Behavior.EXPIRE or self._clock.now() >= quote.expires_at:
            code = "QUOTE_EXPIRED"
        elif behavior is Behavior.REJECT:
            code = "REJECTED"
        elif behavior is Behavior.HALTED:
            raise Refused(422, "HALTED", "the venue is halted")
        elif limit is not None and self._is_beyond(limit, quote, behavior):
            code = "NOT_FILLED"
        else:
            quote.used_by = client_order_id
            return
        self._book.append(self._decided(quote, client_order_id, code=code))
        raise verdict(code)

    def fill(
        self, quote: VenueQuote, client_order_id: str, behavior: Behavior, *, late_ms: int
    ) -> BookedOrder:
        """Execute a quote that was taken; every call is one more execution."""
        order = self._executed(quote, client_order_id, behavior)
        if behavior is Behavior.LATE_FILL:
            visible_at = order.decided_at + timedelta(milliseconds=late_ms)
            order = replace(order, visible_at=visible_at)
        return self._book.append(order)

    def _is_beyond(self, limit: Amount, quote: VenueQuote, behavior: Behavior) -> bool:
        amount = self._executed(quote, "", behavior).quote
        return limit < amount if quote.side is Side.BUY else amount < limit

    def _executed(self, quote: VenueQuote, client_order_id: str, behavior: Behavior) -> Order:
        order = self._decided(quote, client_order_id)
        if behavior not in _WORSE_BPS:
            return order
        return replace(order, quote=_worse(order, _WORSE_BPS[behavior]))

    def _decided(self, quote: VenueQuote, client_order_id: str, *, code: str = "") -> Order:
        now = self._clock.now()
        return Order(
            client_order_id=client_order_id,
            quote_id=quote.id,
            status=OrderStatus.REJECTED if code else OrderStatus.FILLED,
            code=code,
            side=quote.side,
            base=quote.base,
            quote=quote.quote,
            decided_at=now,
            visible_at=now,
        )

    def _forget(self, before: datetime) -> None:
        while self._oldest and self._oldest[0].expires_at < before:
            del self._quotes[self._oldest.popleft().id]


def _worse(order: Order, bps: int) -> Amount:
    units = order.quote.units
    if order.side is Side.BUY:
        return Amount(order.quote.asset, divide_up(units * (BPS + bps), BPS))
    return Amount(order.quote.asset, divide_down(units * (BPS - bps), BPS))
