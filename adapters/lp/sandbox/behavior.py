"""How the venue misbehaves when it is asked to."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Behavior(StrEnum):
    """One way to answer: to an order, or where its name says so to a request for a quote.

    `SLOW` acts on both. What withholds or ruins an answer does so with the pages of a listing as
    well.
    """

    FILL = "fill"
    REJECT = "reject"
    """The order is refused for good."""
    EXPIRE = "expire"
    """The order is refused because its quote is said to be over."""
    SLOW = "slow"
    """A quote takes `QUOTE_DELAY_S`, a fill `FILL_DELAY_S`."""
    CUT_AFTER_FILL = "cut_after_fill"
    """The order is filled, and the connection closed without a byte of answer."""
    CUT_BEFORE_FILL = "cut_before_fill"
    """The connection is closed without a byte of answer, and nothing was executed."""
    OTHER_PRICE = "other_price"
    """The order is filled, `OTHER_PRICE_BPS` worse for the asker than quoted."""
    REFUSE_QUOTE = "refuse_quote"
    """No price is given."""
    OTHER_PRICE_FAR = "other_price_far"
    """The order is filled, `OTHER_PRICE_FAR_BPS` worse for the asker than quoted."""
    LATE_FILL = "late_fill"
    """As `CUT_AFTER_FILL`, and the status does not know the order for a while."""
    GARBAGE = "garbage"
    """The order is filled, and the answer is a web page."""
    SHORT_BODY = "short_body"
    """The order is filled, and the connection closed in the middle of the answer."""
    SERVER_ERROR = "server_error"
    """The order is filled, and the answer is HTTP 500."""
    UNAVAILABLE = "unavailable"
    """Nothing is executed, and the answer is HTTP 503."""
    OVERLOADED = "overloaded"
    """Nothing is executed, and the answer is HTTP 429."""
    HALTED = "halted"
    """The order is refused with a code that says nothing of whether it was executed; it was not."""
    STUCK = "stuck"
    """Nothing is executed, and no answer comes for `STUCK_S`."""
    DRIP = "drip"
    """The order is filled, and the answer comes one byte every `DRIP_EVERY_S`, without an end."""
    STUCK_QUOTE = "stuck_quote"
    """As `STUCK`, of a price."""
    DRIP_QUOTE = "drip_quote"
    """As `DRIP`, of a price."""


QUOTE_DELAY_S: Final = 1.0
FILL_DELAY_S: Final = 3.0
LATE_FILL_MS: Final = 3_000
OTHER_PRICE_BPS: Final = 5
OTHER_PRICE_FAR_BPS: Final = 50

STUCK_S: Final = 60.0
DRIP_EVERY_S: Final = 0.1

SPOILS_QUOTE: Final = frozenset({Behavior.STUCK_QUOTE, Behavior.DRIP_QUOTE})
"""A price is withheld."""

ON_QUOTE: Final = frozenset({Behavior.SLOW, Behavior.REFUSE_QUOTE}) | SPOILS_QUOTE
ON_ORDER: Final = frozenset(Behavior) - {Behavior.REFUSE_QUOTE} - SPOILS_QUOTE

ON_LISTING: Final = frozenset(
    {
        Behavior.SLOW,
        Behavior.CUT_BEFORE_FILL,
        Behavior.GARBAGE,
        Behavior.SHORT_BODY,
        Behavior.SERVER_ERROR,
        Behavior.UNAVAILABLE,
        Behavior.OVERLOADED,
    }
)
"""What acts on a page of a listing, on which nothing is executed."""

SPOILS_BEFORE: Final = frozenset(
    {Behavior.CUT_BEFORE_FILL, Behavior.UNAVAILABLE, Behavior.OVERLOADED, Behavior.STUCK}
)
"""Nothing is executed, and the answer is withheld or says nothing."""

SPOILS_AFTER: Final = frozenset(
    {
        Behavior.CUT_AFTER_FILL,
        Behavior.LATE_FILL,
        Behavior.GARBAGE,
        Behavior.SHORT_BODY,
        Behavior.SERVER_ERROR,
        Behavior.DRIP,
    }
)
"""The order is filled, and the answer is withheld or says nothing."""

MAGIC_MARK: Final = "77"
MAGIC_DIGITS: Final = {
    "1": Behavior.FILL,
    "2": Behavior.REJECT,
    "3": Behavior.EXPIRE,
    "4": Behavior.SLOW,
    "5": Behavior.CUT_AFTER_FILL,
    "6": Behavior.CUT_BEFORE_FILL,
    "7": Behavior.OTHER_PRICE,
    "8": Behavior.REFUSE_QUOTE,
    "9": Behavior.OTHER_PRICE_FAR,
}
MAGIC_POSITIONS: Final = 2
"""Venues that have a digit of their own in a magic amount."""


def magic_behavior(units: int, position: int) -> Behavior:
    """Return what an asked amount makes the venue of that position do.

    The significant digits of a magic amount, without zeros at the end, end in `77` and one digit
    of `MAGIC_DIGITS` per position: buying 0.00007721 BTC is rejected at the venue of position 1
    and filled at the venue of position 2.
    """
    digits = str(units).rstrip("0")
    mark, choices = digits[:-MAGIC_POSITIONS], digits[-MAGIC_POSITIONS:]
    if position > MAGIC_POSITIONS or not mark.endswith(MAGIC_MARK):
        return Behavior.FILL
    return MAGIC_DIGITS.get(choices[position - 1], Behavior.FILL)


@dataclass(slots=True)
class BehaviorSwitch:
    """What the admin port has set; while it is set, magic amounts mean nothing.

    Attributes:
        behavior: what is set, or nothing.
        remaining: how many more quotes or orders it acts on; no number means until changed.
        late_ms: how long a late fill is hidden from the status.
    """

    behavior: Behavior | None = None
    remaining: int | None = None
    late_ms: int = LATE_FILL_MS

    def set(self, behavior: Behavior, count: int | None, *, late_ms: int = LATE_FILL_MS) -> None:
        assert count is None or count > 0
        assert late_ms > 0
        self.behavior, self.remaining, self.late_ms = behavior, count, late_ms

    def clear(self) -> None:
        self.behavior = self.remaining = None

    def take(self, stage: frozenset[Behavior], *, otherwise: Behavior) -> Behavior:
        """Return how to behave in one quote or one order, and count it."""
        behavior = self.behavior
        if behavior is None:
            return otherwise
        if behavior not in stage:
            return Behavior.FILL
        if self.remaining is not None:
            self.remaining -= 1
            if not self.remaining:
                self.clear()
        return behavior
