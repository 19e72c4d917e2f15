"""What a stream of prices tells, with time in the test's hand."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.usecase.quote.get_indicative_quote import PriceQuestion
from app.usecase.quote.stream_quotes import NoPrice, PriceNews, StreamQuotes, Unchanged
from domain.asset import InstrumentHalted, InstrumentNotFound
from domain.errors import DomainError
from domain.ids import TenantId
from domain.quote.errors import NoLiquidity
from domain.quote.indicative import IndicativeQuote
from domain.side import Side
from domain.waterfall import Waterfall
from ports.clock import Clock, DatabaseClock
from tests.support.builders import BTC_NGN, NOW, an_id, btc, ngn, seconds

QUESTION = PriceQuestion(side=Side.BUY, base_asset="BTC", quote_asset="NGN", fixed=btc("0.01"))


def costs(value: str, *, lp: str = "alpha", at_s: int = 0) -> IndicativeQuote:
    total, zero = ngn(value), ngn("0.00")
    return IndicativeQuote(
        side=Side.BUY,
        instrument=BTC_NGN,
        base_amount=btc("0.01"),
        quote_amount=total,
        waterfall=Waterfall(side=Side.BUY, lp=total, fee=zero, markup=zero, total=total),
        lp=lp,
        priced_at=NOW + seconds(at_s),
    )


@dataclass
class Prices(Clock):
    """One price for each look, the last for ever; sleeping moves the time on."""

    found: Sequence[IndicativeQuote | DomainError]
    passed_s: float = 0.0
    looks: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed_s)

    async def get(self, tenant_id: TenantId, question: PriceQuestion) -> IndicativeQuote:
        found = self.found[min(len(self.looks), len(self.found) - 1)]
        self.looks.append(self.passed_s)
        if isinstance(found, DomainError):
            raise found
        return replace(found, priced_at=self.now())

    def monotonic(self) -> float:
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        self.passed_s += seconds

    def stream(self) -> AsyncIterator[PriceNews]:
        get: Any = self.get
        stream_quotes = StreamQuotes(
            get, self, SameClock(self), look_every=seconds(1), beat_every=seconds(5)
        )
        return stream_quotes(an_id(TenantId), QUESTION)


@dataclass
class SameClock(DatabaseClock):
    """The database's goes like ours."""

    clock: Clock

    async def now(self) -> datetime:
        return self.clock.now()


async def first(news: AsyncIterator[PriceNews], number: int) -> list[PriceNews]:
    return [await anext(news) for _ in range(number)]


async def test_the_price_of_now_comes_first_and_then_every_change() -> None:
    prices = Prices([costs("100.00"), costs("100.00"), costs("101.00"), costs("100.00")])

    told = await first(prices.stream(), 3)

    assert told == [
        costs("100.00", at_s=0),
        costs("101.00", at_s=2),
        costs("100.00", at_s=3),
    ]


async def test_another_lp_at_the_same_price_is_a_change() -> None:
    prices = Prices([costs("100.00"), costs("100.00", lp="beta")])

    told = await first(prices.stream(), 2)

    assert told[1] == costs("100.00", lp="beta", at_s=1)


async def test_where_nothing_changes_there_is_a_heartbeat_after_five_seconds() -> None:
    prices = Prices([costs("100.00")])

    told = await first(prices.stream(), 4)

    assert told[1:] == [Unchanged(NOW + seconds(number)) for number in (5, 10, 15)]


async def test_a_change_puts_the_heartbeat_off() -> None:
    prices = Prices([*[costs("100.00")] * 3, costs("101.00")])

    told = await first(prices.stream(), 3)

    assert told[1:] == [costs("101.00", at_s=3), Unchanged(NOW + seconds(8))]


async def test_it_is_looked_at_once_a_second_and_only_while_somebody_listens() -> None:
    prices = Prices([costs("100.00")])
    news = prices.stream()

    await first(news, 2)
    assert prices.looks == [0, 1, 2, 3, 4, 5]
    prices.passed_s += 60  # whoever reads takes his time
    await anext(news)

    assert prices.looks[6:] == [66, 67, 68, 69, 70], "nothing was put by for him"


@pytest.mark.parametrize("refusal", [NoLiquidity("nobody answers"), InstrumentHalted("closed")])
async def test_no_price_for_the_moment_is_told_once_and_the_stream_goes_on(
    refusal: DomainError,
) -> None:
    prices = Prices([costs("100.00"), refusal, refusal, costs("100.00")])

    told = await first(prices.stream(), 3)

    assert told == [costs("100.00"), NoPrice(refusal), costs("100.00", at_s=3)]


async def test_what_will_not_pass_ends_it() -> None:
    gone = InstrumentNotFound("not traded any more")
    news = Prices([costs("100.00"), gone]).stream()
    await anext(news)

    with pytest.raises(InstrumentNotFound):
        await anext(news)


@pytest.mark.parametrize("refusal", [NoLiquidity("no"), InstrumentHalted("no")])
async def test_without_a_first_price_there_is_no_stream(refusal: DomainError) -> None:
    with pytest.raises(type(refusal)):
        await anext(Prices([refusal]).stream())
