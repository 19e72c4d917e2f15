"""Pricing: every row of the table, computed a second time with exact fractions."""

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.amount import MAX_UNITS, Amount, AmountTooLarge
from domain.quote.pricing import AmountTooSmall, Rates, Terms, is_better, lp_amount, price
from domain.side import Side
from domain.waterfall import Waterfall
from tests.support.builders import BTC, ETH, NGN

UNITS = (
    st.integers(1, MAX_UNITS)
    | st.integers(1, 100_000)
    | st.integers(MAX_UNITS - 100_000, MAX_UNITS)
    | st.integers(10**16, 10**20)
)
RATES = st.builds(Rates, st.integers(0, 1_000), st.integers(0, 1_000))
SIDES = st.sampled_from(Side)


@given(RATES, UNITS, UNITS)
def test_buying_a_fixed_base_costs_the_lp_amount_plus_rates_rounded_up(
    rates: Rates, base: int, lp: int
) -> None:
    asked, terms = _priced(Side.BUY, Amount(BTC, base), rates, lp=lp, is_base=True)

    pays = ceil(lp * (1 + _f(rates) + _m(rates)))
    assert asked == Amount(BTC, base)
    if pays > MAX_UNITS:
        assert terms is None
        return
    assert terms is not None
    assert terms.base == Amount(BTC, base)
    assert terms.quote == Amount(NGN, pays)
    _assert_parts(terms, rates, lp=lp, parts=pays - lp)
    assert terms.quote.units >= lp * (1 + _f(rates) + _m(rates)), "never less than exact"


@given(RATES, UNITS, UNITS)
def test_selling_a_fixed_base_brings_the_lp_amount_less_rates_rounded_down(
    rates: Rates, base: int, lp: int
) -> None:
    asked, terms = _priced(Side.SELL, Amount(BTC, base), rates, lp=lp, is_base=True)

    receives = floor(lp * (1 - _f(rates) - _m(rates)))
    assert asked == Amount(BTC, base)
    if receives == 0:
        assert terms is None
        return
    assert terms is not None
    assert terms.base == Amount(BTC, base)
    assert terms.quote == Amount(NGN, receives)
    _assert_parts(terms, rates, lp=lp, parts=lp - receives)
    assert terms.quote.units <= lp * (1 - _f(rates) - _m(rates)), "never more than exact"


@given(RATES, UNITS, UNITS)
def test_buying_for_a_fixed_quote_amount_asks_for_what_is_left_rounded_down(
    rates: Rates, fixed: int, lp_base: int
) -> None:
    asked, terms = _priced(Side.BUY, Amount(NGN, fixed), rates, lp=lp_base, is_base=False)

    lp = floor(fixed / (1 + _f(rates) + _m(rates)))
    if lp == 0:
        assert asked is None
        return
    assert terms is not None
    assert asked == Amount(NGN, lp)
    assert terms.base == Amount(BTC, lp_base), "what the LP answers passes through"
    assert terms.quote == Amount(NGN, fixed), "what the customer fixed is exact"
    _assert_parts(terms, rates, lp=lp, parts=fixed - lp)


@given(RATES, UNITS, UNITS)
def test_selling_for_a_fixed_quote_amount_asks_for_more_rounded_up(
    rates: Rates, fixed: int, lp_base: int
) -> None:
    asked, terms = _priced(Side.SELL, Amount(NGN, fixed), rates, lp=lp_base, is_base=False)

    lp = ceil(fixed / (1 - _f(rates) - _m(rates)))
    if lp > MAX_UNITS:
        assert asked is None
        return
    assert terms is not None
    assert asked == Amount(NGN, lp)
    assert terms.base == Amount(BTC, lp_base), "what the LP answers passes through"
    assert terms.quote == Amount(NGN, fixed), "what the customer fixed is exact"
    _assert_parts(terms, rates, lp=lp, parts=lp - fixed)


@pytest.mark.parametrize(
    ("side", "is_base", "fixed", "lp", "asked", "pays", "fee", "markup"),
    [
        (Side.BUY, True, 10**8, 10_001, 10**8, 10_102, 25, 76),
        (Side.SELL, True, 10**8, 10_001, 10**8, 9_900, 25, 76),
        (Side.BUY, False, 10_001, 10**8, 9_901, 10_001, 24, 76),
        (Side.SELL, False, 10_001, 10**8, 10_103, 10_001, 25, 77),
    ],
)
def test_one_percent_in_four_worked_examples(
    side: Side, is_base: bool, fixed: int, lp: int, asked: int, pays: int, fee: int, markup: int
) -> None:
    asset = BTC if is_base else NGN

    question, terms = _priced(side, Amount(asset, fixed), Rates(25, 75), lp=lp, is_base=is_base)

    assert terms is not None
    assert question == Amount(asset, asked)
    assert terms.quote == Amount(NGN, pays)
    assert (terms.waterfall.fee.units, terms.waterfall.markup.units) == (fee, markup)


def test_a_price_of_thirty_digits_keeps_its_last_unit() -> None:
    lp = 987_654_321_098_765_432_109_876_543_211
    _, terms = _priced(Side.BUY, Amount(ETH, 10**30), Rates(10, 10), lp=lp, is_base=True)

    assert terms is not None
    assert terms.quote.units == 989_629_629_740_962_962_974_096_296_298
    assert terms.waterfall.fee.units == 987_654_321_098_765_432_109_876_543
    assert terms.waterfall.markup.units == 987_654_321_098_765_432_109_876_544


def test_without_rates_the_customer_gets_the_lp_price() -> None:
    for side in Side:
        _, terms = _priced(side, Amount(BTC, 7), Rates(0, 0), lp=11, is_base=True)

        assert terms is not None
        assert terms.quote == terms.waterfall.lp == terms.waterfall.total == Amount(NGN, 11)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("is_base", [True, False])
def test_an_answer_out_of_range_is_refused(side: Side, is_base: bool) -> None:
    fixed = Amount(BTC, 1_000) if is_base else Amount(NGN, 1_000)

    def answer(lp_base: int, lp_quote: int) -> Terms:
        return price(
            side,
            fixed,
            is_base=is_base,
            rates=Rates(0, 0),
            lp_base=Amount(BTC, lp_base),
            lp_quote=Amount(NGN, lp_quote),
        )

    assert answer(1_000, 1_000).base == Amount(BTC, 1_000)
    for lp_base in (0, -1):
        with pytest.raises(AmountTooSmall) as small:
            answer(lp_base, 1_000)
        assert small.value.metadata == {"asset": "BTC"}
    with pytest.raises(AmountTooLarge) as large:
        answer(MAX_UNITS + 1, 1_000)
    assert large.value.metadata == {"asset": "BTC"}
    if is_base:
        with pytest.raises(AmountTooSmall):
            answer(1_000, 0)
        with pytest.raises(AmountTooLarge):
            answer(1_000, MAX_UNITS + 1)


def test_a_total_above_the_largest_amount_is_refused_though_the_lp_amount_is_not() -> None:
    def pays(lp: int) -> Terms:
        return price(
            Side.BUY,
            Amount(BTC, 1),
            is_base=True,
            rates=Rates(0, 1_000),
            lp_base=Amount(BTC, 1),
            lp_quote=Amount(NGN, lp),
        )

    largest = floor(MAX_UNITS / Fraction(11, 10))

    assert pays(largest).quote.units <= MAX_UNITS
    with pytest.raises(AmountTooLarge) as caught:
        pays(largest + 1)
    assert caught.value.metadata == {"asset": "NGN"}


@pytest.mark.parametrize(("fee_bps", "markup_bps"), [(-1, 0), (1_001, 0), (0, -1), (0, 1_001)])
def test_rates_out_of_range_are_our_own_mistake(fee_bps: int, markup_bps: int) -> None:
    with pytest.raises(AssertionError):
        Rates(fee_bps, markup_bps)


@given(SIDES, UNITS, UNITS, UNITS, UNITS)
def test_the_better_terms_have_the_better_price_for_the_customer(
    side: Side, base: int, quote: int, other_base: int, other_quote: int
) -> None:
    one, other = _terms(side, base, quote), _terms(side, other_base, other_quote)
    difference = Fraction(quote, base) - Fraction(other_quote, other_base)

    assert is_better(side, one, other) == (difference < 0 if side is Side.BUY else difference > 0)


@given(SIDES, UNITS, UNITS)
def test_equal_terms_are_not_better(side: Side, base: int, quote: int) -> None:
    terms = _terms(side, base, quote)

    assert not is_better(side, terms, terms)


@given(SIDES, UNITS, UNITS, UNITS, st.integers(-2, 2).filter(bool))
def test_a_waterfall_whose_parts_do_not_add_up_cannot_be_made(
    side: Side, lp: int, fee: int, markup: int, wrong: int
) -> None:
    total = lp + fee + markup if side is Side.BUY else lp - fee - markup

    assert _waterfall(side, lp, fee, markup, total).total.units == total
    with pytest.raises(AssertionError):
        _waterfall(side, lp, fee, markup, total + wrong)


@given(SIDES, UNITS, UNITS)
def test_a_waterfall_has_no_negative_part(side: Side, lp: int, units: int) -> None:
    sign = 1 if side is Side.BUY else -1
    with pytest.raises(AssertionError):
        _waterfall(side, lp, -units, units, lp)
    with pytest.raises(AssertionError):
        _waterfall(side, lp, units, -units, lp)
    assert _waterfall(side, lp, 0, units, lp + sign * units).fee.units == 0


@given(SIDES, RATES, UNITS, UNITS, UNITS)
def test_a_better_lp_answer_never_makes_the_customer_worse_off(
    side: Side, rates: Rates, base: int, one: int, other: int
) -> None:
    assume(one < other)
    _, cheap = _priced(side, Amount(BTC, base), rates, lp=one, is_base=True)
    _, dear = _priced(side, Amount(BTC, base), rates, lp=other, is_base=True)
    assume(cheap is not None and dear is not None)
    assert cheap is not None
    assert dear is not None

    assert cheap.quote <= dear.quote


def _priced(
    side: Side, fixed: Amount, rates: Rates, *, lp: int, is_base: bool
) -> tuple[Amount | None, Terms | None]:
    """Ask and price as a quote does; `lp` is the LP's answer in the asset that is not fixed."""
    try:
        asked = lp_amount(side, fixed, is_base=is_base, rates=rates)
    except (AmountTooSmall, AmountTooLarge):
        return None, None
    other = Amount(NGN if is_base else BTC, lp)
    lp_base, lp_quote = (asked, other) if is_base else (other, asked)
    try:
        terms = price(side, fixed, is_base=is_base, rates=rates, lp_base=lp_base, lp_quote=lp_quote)
    except (AmountTooSmall, AmountTooLarge):
        return asked, None
    return asked, terms


def _assert_parts(terms: Terms, rates: Rates, *, lp: int, parts: int) -> None:
    waterfall = terms.waterfall
    assert waterfall.lp == Amount(NGN, lp)
    assert waterfall.total == terms.quote
    assert waterfall.fee == Amount(NGN, floor(lp * _f(rates)))
    assert waterfall.markup == Amount(NGN, parts - waterfall.fee.units)
    assert waterfall.fee.units >= 0
    assert waterfall.markup.units >= floor(lp * _m(rates)), "the tenant never loses to rounding"
    assert {type(amount.units) for amount in (terms.base, terms.quote, waterfall.fee)} == {int}


def _f(rates: Rates) -> Fraction:
    return Fraction(rates.fee_bps, 10_000)


def _m(rates: Rates) -> Fraction:
    return Fraction(rates.markup_bps, 10_000)


def _terms(side: Side, base: int, quote: int) -> Terms:
    return Terms(Amount(BTC, base), Amount(NGN, quote), _waterfall(side, quote, 0, 0, quote))


def _waterfall(side: Side, lp: int, fee: int, markup: int, total: int) -> Waterfall:
    return Waterfall(
        side=side,
        lp=Amount(NGN, lp),
        fee=Amount(NGN, fee),
        markup=Amount(NGN, markup),
        total=Amount(NGN, total),
    )
