"""Where no LP gives a price, what others trade at is told, on the same terms and by its source."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.usecase.quote.find_price import PriceRequest
from app.usecase.quote.look_around import LookAround
from domain.amount import Amount
from domain.asset import Instrument
from domain.quote.indicative import IndicativeQuote
from domain.side import Side
from domain.tenant.tenant import TenantSettings
from ports.clock import DatabaseClock
from ports.liquidity import LpRefused, LpUnavailable
from ports.price_source import Indication, IndicativeSource
from tests.support.builders import BTC_NGN, btc, ngn

NOW: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TERMS: Final = TenantSettings(platform_fee_bps=20, markup_bps={"BTC-NGN": 50})


class StoppedClock(DatabaseClock):
    async def now(self) -> datetime:
        return NOW


@dataclass(frozen=True)
class Elsewhere(IndicativeSource):
    """A source with one answer, whatever it is asked."""

    known_as: str
    answer: Indication | Exception | None

    @property
    def name(self) -> str:
        return self.known_as

    async def look(self, instrument: Instrument, side: Side, fixed: Amount) -> Indication:
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        assert isinstance(self.answer, Indication)
        return self.answer


def at(quote: str, base: str = "0.01") -> Indication:
    return Indication(base=btc(base), quote=ngn(quote))


async def seen(
    *answers: Indication | Exception | None, side: Side = Side.BUY
) -> IndicativeQuote | None:
    sources = [Elsewhere(f"source-{number}", one) for number, one in enumerate(answers, start=1)]
    look_around = LookAround(sources, StoppedClock(), timedelta(milliseconds=20))
    return await look_around(PriceRequest(BTC_NGN, side, btc("0.01")), TERMS)


async def test_a_price_elsewhere_is_told_with_fee_and_markup_as_any_other() -> None:
    quote = await seen(at("1500000.00"))

    assert quote is not None
    assert (quote.lp, quote.priced_at) == ("source-1", NOW)
    assert quote.waterfall.lp == ngn("1500000.00")
    assert quote.waterfall.fee == ngn("3000.00")
    assert quote.quote_amount == ngn("1510500.00")


async def test_the_best_of_several_is_told() -> None:
    prices = at("1500000.00"), at("1400000.00"), at("1600000.00")

    bought, sold = await seen(*prices), await seen(*prices, side=Side.SELL)

    assert (bought and bought.lp, sold and sold.lp) == ("source-2", "source-3")


async def test_who_fails_refuses_or_is_late_is_left_out() -> None:
    quote = await seen(LpUnavailable("away"), None, at("1500000.00"), LpRefused("no"))

    assert quote is not None
    assert quote.lp == "source-3"


async def test_an_answer_about_another_amount_is_none() -> None:
    assert await seen(at("1500000.00", base="0.02")) is None


async def test_without_anybody_to_ask_nothing_is_seen() -> None:
    assert await seen() is None
