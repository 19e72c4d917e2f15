"""A break says what is to be explained; a late fill also what the house has of it."""

from dataclasses import replace

import pytest

from domain.reconciliation.break_ import BreakKind
from domain.side import Side
from tests.support.builders import a_break, a_late_fill, btc, ngn


def test_bought_late_the_house_has_the_base_and_owes_the_quote() -> None:
    assert a_late_fill(Side.BUY).gained == (btc("0.01000000"), -ngn("1500000.00"))


def test_sold_late_the_house_owes_the_base_and_has_the_quote() -> None:
    assert a_late_fill(Side.SELL).gained == (-btc("0.01000000"), ngn("1500000.00"))


@pytest.mark.parametrize("leg", ["base", "quote"])
def test_an_execution_of_nothing_is_none(leg: str) -> None:
    fill = a_late_fill()
    nothing = getattr(fill, leg) - getattr(fill, leg)

    with pytest.raises(AssertionError):
        replace(fill, **{leg: nothing})


def test_a_late_fill_says_what_was_executed_and_no_other_break_does() -> None:
    with pytest.raises(AssertionError):
        replace(a_break(), late_fill=None)
    with pytest.raises(AssertionError):
        replace(a_break(), kind=BreakKind.FILL_BEYOND_TOLERANCE)
