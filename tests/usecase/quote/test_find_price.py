"""What is said where no LP gave a price that can be used."""

from datetime import timedelta

import pytest

from app.usecase.quote.find_price import Candidate, Candidates, PriceRequest
from domain.amount import AmountTooLarge, TooManyDigits
from domain.errors import DomainError
from domain.ids import LpQuoteRequestId
from domain.quote.errors import NoLiquidity
from domain.quote.pricing import AmountTooSmall
from domain.quote.quote import LpAnswer, LpVerdict
from domain.routing import RoutingRule
from domain.side import Side
from tests.support.builders import BTC_NGN, NOW, an_id, an_lp, btc


def refused_by(**codes: str) -> Candidates:
    """Return what LPs of these names answered, each with the code of its refusal."""
    return Candidates(
        request=PriceRequest(BTC_NGN, Side.BUY, btc("0.00001")),
        rule=RoutingRule.BEST_PRICE,
        answered_at=NOW,
        candidates=[
            Candidate(
                an_lp(name),
                LpAnswer(
                    id=an_id(LpQuoteRequestId), lp=name, verdict=LpVerdict.REFUSED, latency_ms=7
                ),
                code=code,
            )
            for name, code in codes.items()
        ],
        budget=timedelta(seconds=1),
    )


@pytest.mark.parametrize("error", [AmountTooSmall, AmountTooLarge, TooManyDigits])
def test_a_size_that_no_lp_trades_is_refused_for_good(error: type[DomainError]) -> None:
    with pytest.raises(error):
        refused_by(alpha=error.reason, beta=error.reason).best()


def test_where_one_lp_might_trade_the_size_asking_again_may_help() -> None:
    with pytest.raises(NoLiquidity):
        refused_by(alpha=TooManyDigits.reason, beta="LP_BUSY").best()
