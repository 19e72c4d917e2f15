"""Choosing the LP of a quote among those that gave a usable price.

A score is `60 price + 20 fills + 10 speed + 10 answers`, each part 0 to 10,000, so it is in
millionths:

- price: 10,000 for the best of the prices, and 100 less for each basis point that one is worse for
  the customer, at exact ratios and rounded down. With everything else alike the best price wins.
- fills: the share of its orders that the LP filled.
- speed: what is left of the budget for a quote on average; a quote that came too late took all.
- answers: the share of its calls that got what was asked for: a price, or a fill.

Both shares begin with `PRIOR` good calls, so that an LP of which little is known is not judged by
one bad one. Of two alike the earlier in the tenant's order is chosen.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from domain.quote.pricing import Terms, is_better
from domain.rounding import divide_down, divide_up
from domain.routing import LpRecord, RoutingRule
from domain.side import Side

PRICE: Final = 60
FILLS: Final = 20
SPEED: Final = 10
ANSWERS: Final = 10

WHOLE: Final = 10_000
PRIOR: Final = 10

_LOST_BY_A_WHOLE: Final = 100 * WHOLE
"""What a price loses that is worse by all of itself: 100 for each of its basis points."""


class Offer(NamedTuple):
    """A usable price of an LP, and what it did lately."""

    terms: Terms
    record: LpRecord


class Choice(NamedTuple):
    """Attributes:
    position: of the chosen offer.
    scores: of every offer in millionths, where the rule gives scores.
    """

    position: int
    scores: Sequence[int | None]


def choose(rule: RoutingRule, side: Side, offers: Sequence[Offer], *, budget_ms: int) -> Choice:
    """Choose among at least one offer, which come in the tenant's order.

    `budget_ms` is how long an LP may take for a quote.
    """
    best = _best(side, offers)
    unscored = [None] * len(offers)
    match rule:
        case RoutingRule.BEST_PRICE:
            return Choice(best, unscored)
        case RoutingRule.PRIMARY_BACKUP:
            return Choice(0, unscored)
        case RoutingRule.SCORE:
            scores = [score(side, one, offers[best].terms, budget_ms=budget_ms) for one in offers]
            return Choice(scores.index(max(scores)), scores)


def score(side: Side, offer: Offer, best: Terms, *, budget_ms: int) -> int:
    """Return what an offer is worth beside the best price, in millionths."""
    record = offer.record
    return (
        PRICE * _price_points(side, offer.terms, best)
        + FILLS * _share(record.filled, record.orders)
        + SPEED * _speed_points(record, budget_ms)
        + ANSWERS * _share(record.quoted + record.filled, record.requests + record.orders)
    )


def _best(side: Side, offers: Sequence[Offer]) -> int:
    best = 0
    for position, offer in enumerate(offers):
        # A later LP in the tenant's order must be strictly better to win.
        if is_better(side, offer.terms, offers[best].terms):
            best = position
    return best


def _price_points(side: Side, terms: Terms, best: Terms) -> int:
    ours = terms.quote.units * best.base.units
    theirs = best.quote.units * terms.base.units
    worse_by = ours - theirs if side is Side.BUY else theirs - ours
    return max(0, WHOLE - divide_up(worse_by * _LOST_BY_A_WHOLE, theirs))


def _speed_points(record: LpRecord, budget_ms: int) -> int:
    timed = record.quoted + record.late
    if not timed:
        return WHOLE
    took_ms = record.quote_ms + record.late * budget_ms
    return max(0, WHOLE - divide_up(took_ms * WHOLE, timed * budget_ms))


def _share(good: int, all: int) -> int:
    return divide_down((good + PRIOR) * WHOLE, all + PRIOR)
