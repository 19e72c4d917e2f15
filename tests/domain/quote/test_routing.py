"""Routing: who is chosen among those that gave a price, and why."""

from fractions import Fraction
from itertools import permutations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.amount import Amount
from domain.quote.pricing import Rates, price
from domain.quote.routing import ANSWERS, FILLS, PRICE, SPEED, WHOLE, Offer, choose, score
from domain.routing import LpRecord, RoutingRule
from domain.side import Side
from tests.support.builders import BTC, NGN

BUDGET_MS: Final = 300
SIDES: Final = st.sampled_from(Side)
UNITS: Final = st.integers(1, 10**12)
COUNTS: Final = st.integers(0, 10_000)
RECORDS: Final = st.builds(
    LpRecord, *(COUNTS for _ in LpRecord._fields[:-1]), st.integers(0, 10**7)
)
PRICES: Final = st.lists(UNITS, min_size=1, max_size=5)


def an_offer(side: Side, units: int, record: LpRecord | None = None) -> Offer:
    base, quote = Amount(BTC, 1_000_000), Amount(NGN, units)
    terms = price(side, base, is_base=True, rates=Rates(0, 0), lp_base=base, lp_quote=quote)
    return Offer(terms, record or LpRecord())


@given(SIDES, PRICES)
def test_the_best_price_is_the_cheapest_to_buy_at_and_the_dearest_to_sell_at(
    side: Side, prices: list[int]
) -> None:
    offers = [an_offer(side, units) for units in prices]

    choice = choose(RoutingRule.BEST_PRICE, side, offers, budget_ms=BUDGET_MS)

    best = min(prices) if side is Side.BUY else max(prices)
    assert choice.position == prices.index(best), "of two alike the earlier"
    assert choice.scores == [None] * len(offers)


@given(SIDES, PRICES)
def test_the_primary_is_used_whatever_the_others_give(side: Side, prices: list[int]) -> None:
    offers = [an_offer(side, units) for units in prices]

    assert choose(RoutingRule.PRIMARY_BACKUP, side, offers, budget_ms=BUDGET_MS).position == 0


@given(SIDES, PRICES, RECORDS)
def test_with_everything_else_alike_the_score_chooses_the_best_price(
    side: Side, prices: list[int], record: LpRecord
) -> None:
    offers = [an_offer(side, units, record) for units in prices]

    by_score = choose(RoutingRule.SCORE, side, offers, budget_ms=BUDGET_MS)

    assert (
        by_score.position
        == choose(RoutingRule.BEST_PRICE, side, offers, budget_ms=BUDGET_MS).position
    )


@given(SIDES, st.lists(st.tuples(UNITS, RECORDS), min_size=1, max_size=4))
def test_the_chosen_one_has_the_highest_score_and_every_score_is_in_millionths(
    side: Side, given_by: list[tuple[int, LpRecord]]
) -> None:
    offers = [an_offer(side, units, record) for units, record in given_by]

    choice = choose(RoutingRule.SCORE, side, offers, budget_ms=BUDGET_MS)

    scores = [one for one in choice.scores if one is not None]
    assert len(scores) == len(offers)
    assert all(0 <= one <= 1_000_000 for one in scores)
    assert scores.index(max(scores)) == choice.position


@given(SIDES, st.lists(st.tuples(UNITS, RECORDS), min_size=2, max_size=3, unique=True))
def test_the_order_decides_only_between_two_alike(
    side: Side, given_by: list[tuple[int, LpRecord]]
) -> None:
    chosen = set()
    for order in permutations(given_by):
        offers = [an_offer(side, units, record) for units, record in order]
        choice = choose(RoutingRule.SCORE, side, offers, budget_ms=BUDGET_MS)
        score_of_chosen = choice.scores[choice.position]
        if list(choice.scores).count(score_of_chosen) == 1:
            chosen.add(order[choice.position])

    assert len(chosen) <= 1


@given(SIDES, UNITS, UNITS, RECORDS)
def test_the_score_is_what_exact_fractions_make_of_it(
    side: Side, ours: int, best: int, record: LpRecord
) -> None:
    if (ours < best) is (side is Side.BUY) and ours != best:
        ours, best = best, ours
    offer, other = an_offer(side, ours, record), an_offer(side, best)

    worse_by = abs(Fraction(ours - best, best))
    exact = (
        PRICE * max(Fraction(0), WHOLE - 100 * WHOLE * worse_by)
        + FILLS * WHOLE * Fraction(record.filled + 10, record.orders + 10)
        + SPEED * _speed(record)
        + ANSWERS
        * WHOLE
        * Fraction(record.quoted + record.filled + 10, record.requests + record.orders + 10)
    )

    found = score(side, offer, other.terms, budget_ms=BUDGET_MS)
    assert 0 <= exact - found < PRICE + FILLS + SPEED + ANSWERS


def _speed(record: LpRecord) -> Fraction:
    timed = record.quoted + record.late
    if not timed:
        return Fraction(WHOLE)
    took = Fraction(record.quote_ms + record.late * BUDGET_MS, timed)
    return max(Fraction(0), WHOLE - WHOLE * took / BUDGET_MS)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (LpRecord(quoted=100, filled=60, rejected=40), "it rejects two orders of five"),
        (LpRecord(quoted=100, quote_ms=100 * 290), "it takes nearly all of the budget"),
        (LpRecord(quoted=40, refused=60), "it refuses three requests of five"),
    ],
)
def test_a_slightly_better_price_of_a_worse_lp_is_not_chosen(record: LpRecord, why: str) -> None:
    reliable = an_offer(Side.BUY, 1_000_100, LpRecord(quoted=100, filled=100))
    better = an_offer(Side.BUY, 1_000_000, record)

    choice = choose(RoutingRule.SCORE, Side.BUY, [better, reliable], budget_ms=BUDGET_MS)

    assert choice.position == 1, why


def test_a_price_that_is_worse_by_a_hundredth_has_no_points_of_its_own() -> None:
    best = an_offer(Side.BUY, 1_000_000)
    worse = an_offer(Side.BUY, 1_010_000)

    assert score(Side.BUY, best, best.terms, budget_ms=BUDGET_MS) == 1_000_000
    assert score(Side.BUY, worse, best.terms, budget_ms=BUDGET_MS) == 400_000
