"""Settlement: the postings are the waterfall plus slippage, to the unit, whatever the LP did."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.amount import MAX_UNITS, Amount, AmountTooLarge
from domain.quote.pricing import AmountTooSmall, Rates, Terms, lp_amount, price
from domain.side import Side
from domain.trade.settlement import (
    SETTLEMENT_MOVEMENTS,
    Movement,
    Purpose,
    Role,
    hold,
    release,
    settlement,
)
from domain.trade.trade import Trade
from domain.waterfall import Waterfall
from tests.support.builders import (
    BTC,
    NGN,
    NOW,
    a_fill,
    a_quote,
    a_sent_trade,
    ngn,
    some_terms,
)

UNITS = st.integers(1, MAX_UNITS) | st.integers(1, 10_000) | st.integers(10**16, 10**20)
BPS = st.integers(0, 1_000)

BUY_STORY = """
party     clearing       1515000.00 NGN  payment
clearing  lp             1500000.00 NGN  lp_cost
clearing  platform_fee   3750.00 NGN     platform_fee
clearing  tenant_markup  11250.00 NGN    tenant_markup
lp        party          0.01000000 BTC  delivery
"""

SELL_STORY = """
party     clearing       0.01000000 BTC  payment
clearing  lp             0.01000000 BTC  delivery
lp        party          1485000.00 NGN  lp_proceeds
lp        platform_fee   3750.00 NGN     platform_fee
lp        tenant_markup  11250.00 NGN    tenant_markup
"""


@st.composite
def filled_trades(draw: st.DrawFn) -> Trade:
    """Draw any quote of the pricing table, and any fill of it."""
    side, is_base = draw(st.sampled_from(Side)), draw(st.booleans())
    rates = Rates(draw(BPS), draw(BPS))
    fixed = Amount(BTC if is_base else NGN, draw(UNITS))
    try:
        terms = _terms(side, fixed, rates, other=draw(UNITS))
    except (AmountTooSmall, AmountTooLarge):
        terms = some_terms(side, fee_bps=rates.fee_bps, markup_bps=rates.markup_bps)
    trade = a_sent_trade(a_quote(side=side, terms=terms))
    lp = trade.waterfall.lp.units
    near = st.integers(max(1, lp - 3), lp + 3)
    return _filled(trade, draw(near | UNITS))


@given(filled_trades())
def test_the_customer_moves_exactly_the_two_amounts_of_the_quote(trade: Trade) -> None:
    net = _net(settlement(trade))
    sign = 1 if trade.side is Side.BUY else -1

    assert net[Role.PARTY, BTC] == sign * trade.base_amount.units
    assert net[Role.PARTY, NGN] == -sign * trade.quote_amount.units


@given(filled_trades())
def test_the_postings_are_the_waterfall_plus_slippage(trade: Trade) -> None:
    net = _net(settlement(trade))
    parts, fill = trade.waterfall, trade.lp_fill.units
    is_buy = trade.side is Side.BUY

    assert net[Role.PLATFORM_FEE, NGN] == parts.fee.units
    assert net[Role.TENANT_MARKUP, NGN] == parts.markup.units
    assert net[Role.LP, NGN] == (fill if is_buy else -fill), "the LP's real amount"
    assert net[Role.LP, BTC] == (-trade.base_amount.units if is_buy else trade.base_amount.units)
    gain = parts.lp.units - fill if is_buy else fill - parts.lp.units
    assert net[Role.SLIPPAGE, NGN] == gain, "a better price than quoted is kept, a worse one borne"


@given(filled_trades())
def test_clearing_ends_at_zero_and_every_asset_adds_up(trade: Trade) -> None:
    net = _net(settlement(trade))

    assert net[Role.CLEARING, NGN] == net[Role.CLEARING, BTC] == 0
    for asset in (NGN, BTC):
        assert sum(units for (_, of), units in net.items() if of == asset) == 0


@given(filled_trades())
def test_clearing_never_owes_on_the_way(trade: Trade) -> None:
    balance: Counter[object] = Counter()
    for movement in settlement(trade):
        for role, units in _sides(movement):
            if role is Role.CLEARING:
                balance[movement.amount.asset] += units
                assert balance[movement.amount.asset] >= 0


@given(filled_trades())
def test_a_settlement_posts_the_hold_first_and_moves_only_positive_amounts(trade: Trade) -> None:
    movements = settlement(trade)

    assert movements[0] == Movement(Role.PARTY, Role.CLEARING, trade.gives, Purpose.PAYMENT)
    assert [m.purpose for m in movements].count(Purpose.PAYMENT) == 1
    assert all(movement.amount.is_positive for movement in movements)
    assert all(movement.debit is not movement.credit for movement in movements)
    assert len(movements) <= SETTLEMENT_MOVEMENTS


@given(filled_trades())
def test_release_gives_back_exactly_what_was_held(trade: Trade) -> None:
    assert hold(trade) == Movement(Role.PARTY, Role.CLEARING, trade.gives, Purpose.HOLD)
    assert release(trade) == replace(hold(trade), purpose=Purpose.RELEASE)


@pytest.mark.parametrize(("side", "story"), [(Side.BUY, BUY_STORY), (Side.SELL, SELL_STORY)])
def test_a_fill_as_quoted_settles_by_the_story(side: Side, story: str) -> None:
    trade = a_sent_trade(a_quote(side=side))

    assert _lines(settlement(_filled(trade, trade.waterfall.lp.units))) == _words(story)


@pytest.mark.parametrize(
    ("side", "fill", "line"),
    [
        (Side.BUY, "1499999.99", "lp slippage 0.01 NGN slippage"),
        (Side.BUY, "1500000.01", "slippage lp 0.01 NGN slippage"),
        (Side.SELL, "1500000.01", "lp slippage 0.01 NGN slippage"),
        (Side.SELL, "1499999.99", "slippage lp 0.01 NGN slippage"),
        # Far beyond any tolerance a fill still settles; that it is a break is said elsewhere.
        (Side.SELL, "0.01", "slippage lp 1499999.99 NGN slippage"),
    ],
)
def test_the_difference_to_the_quoted_cost_moves_between_lp_and_slippage(
    side: Side, fill: str, line: str
) -> None:
    trade = a_sent_trade(a_quote(side=side))
    story = BUY_STORY if side is Side.BUY else SELL_STORY

    lines = _lines(settlement(_filled(trade, ngn(fill).units)))

    assert lines == [*_words(story), line.split()]
    assert len(lines) == SETTLEMENT_MOVEMENTS, "no settlement has more"


def test_a_part_of_zero_makes_no_movement() -> None:
    terms = some_terms(fee_bps=0, markup_bps=0)
    trade = a_sent_trade(a_quote(terms=terms))

    purposes = [m.purpose for m in settlement(_filled(trade, terms.waterfall.lp.units))]

    assert purposes == [Purpose.PAYMENT, Purpose.LP_COST, Purpose.DELIVERY]


@pytest.mark.parametrize("side", Side)
def test_books_that_differ_from_the_promise_are_never_settled(side: Side) -> None:
    trade = a_sent_trade(a_quote(side=side))
    filled = _filled(trade, trade.waterfall.lp.units)
    parts = filled.waterfall
    one = ngn("0.01")
    shifted = Waterfall(
        side=side, lp=parts.lp, fee=parts.fee + one, markup=parts.markup - one, total=parts.total
    )

    assert settlement(replace(filled, waterfall=shifted)), "another split is fine in itself"
    with pytest.raises(AssertionError, match="are not the waterfall"):
        settlement(replace(filled, quote_amount=filled.quote_amount + one))


def test_a_trade_without_a_fill_has_no_settlement() -> None:
    with pytest.raises(AssertionError):
        settlement(a_sent_trade())


def _terms(side: Side, fixed: Amount, rates: Rates, *, other: int) -> Terms:
    is_base = fixed.asset == BTC
    asked = lp_amount(side, fixed, is_base=is_base, rates=rates)
    answer = Amount(NGN if is_base else BTC, other)
    lp_base, lp_quote = (asked, answer) if is_base else (answer, asked)
    return price(side, fixed, is_base=is_base, rates=rates, lp_base=lp_base, lp_quote=lp_quote)


def _filled(trade: Trade, units: int) -> Trade:
    return trade.conclude(a_fill(trade, quote=Amount(NGN, units)), actor="worker", now=NOW)


def _sides(movement: Movement) -> tuple[tuple[Role, int], tuple[Role, int]]:
    units = movement.amount.units
    return (movement.debit, -units), (movement.credit, units)


def _net(movements: Sequence[Movement]) -> Counter[tuple[Role, object]]:
    net: Counter[tuple[Role, object]] = Counter()
    for movement in movements:
        for role, units in _sides(movement):
            net[role, movement.amount.asset] += units
    return net


def _lines(movements: Sequence[Movement]) -> list[list[str]]:
    return [f"{m.debit} {m.credit} {m.amount} {m.purpose}".split() for m in movements]


def _words(story: str) -> list[list[str]]:
    return [line.split() for line in story.strip().splitlines()]
