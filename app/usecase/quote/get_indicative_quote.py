"""Telling what a quote would cost, without promising it."""

from dataclasses import dataclass

from app.usecase.quote.find_price import FindPrice, PriceRequest, known_instrument
from app.usecase.quote.look_around import LookAround
from app.usecase.quote.shared_answers import SharedLpQuote
from domain.amount import Amount
from domain.ids import TenantId
from domain.quote.errors import NoLiquidity
from domain.quote.indicative import IndicativeQuote
from domain.side import Side
from ports.market import Market
from ports.tenant import SettingsStore


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceQuestion:
    """What somebody wants to know a price for; `fixed` is in the base or in the quote asset."""

    side: Side
    base_asset: str
    quote_asset: str
    fixed: Amount


@dataclass(frozen=True, slots=True)
class GetIndicativeQuote:
    """The way of a firm quote up to its price, and no further: nothing is stored.

    Attributes:
        find_price: asks providers that share their answers.
        look_around: asks who sells nothing, where no provider gives a price.
    """

    market: Market
    settings: SettingsStore
    find_price: FindPrice
    look_around: LookAround

    async def __call__(self, tenant_id: TenantId, question: PriceQuestion) -> IndicativeQuote:
        """Return the best price of this moment on the tenant's terms.

        Raises `SameAsset`, `InstrumentNotFound`, `InstrumentHalted`, `TenantHalted`,
        `AmountTooSmall`, `AmountTooLarge`, `TooManyDigits`, `NoLiquidity`.
        """
        instrument = await known_instrument(self.market, question.base_asset, question.quote_asset)
        instrument.require_open(question.side)
        tenant = await self.settings.get(tenant_id)
        tenant.require_open(question.side)
        request = PriceRequest(instrument, question.side, question.fixed)
        candidates = await self.find_price(request, tenant.settings)
        try:
            best = candidates.best()
        except NoLiquidity:
            seen = await self.look_around(request, tenant.settings)
            if seen is None:
                raise
            return seen
        assert isinstance(best.lp_quote, SharedLpQuote)
        return IndicativeQuote(
            side=question.side,
            instrument=instrument,
            base_amount=best.terms.base,
            quote_amount=best.terms.quote,
            waterfall=best.terms.waterfall,
            lp=best.answers[0].lp,
            priced_at=best.lp_quote.taken_at,
        )
