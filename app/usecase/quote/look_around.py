"""Looking around for a price where no LP gives one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.usecase.quote.find_price import PriceRequest
from domain.amount import AmountTooLarge
from domain.quote.indicative import IndicativeQuote
from domain.quote.pricing import AmountTooSmall, Rates, Terms, is_better, lp_amount, price
from domain.tenant.tenant import TenantSettings
from ports.clock import DatabaseClock
from ports.liquidity import LpRefused, LpUnavailable
from ports.price_source import IndicativeSource


@dataclass(frozen=True, slots=True)
class LookAround:
    """Asks all price sources at once, and prices the best answer on the tenant's terms.

    Attributes:
        budget: how long they may take; a slow one is left out, not waited for.
    """

    sources: Sequence[IndicativeSource]
    database_clock: DatabaseClock
    budget: timedelta

    async def __call__(
        self, request: PriceRequest, settings: TenantSettings
    ) -> IndicativeQuote | None:
        """Return what could be seen, None if that is nothing."""
        seen = [
            (source.name, terms)
            for source, terms in zip(
                self.sources,
                await asyncio.gather(
                    *(self._look(source, request, settings) for source in self.sources)
                ),
                strict=True,
            )
            if terms is not None
        ]
        if not seen:
            return None
        name, best = seen[0]
        for other_name, other in seen[1:]:
            if is_better(request.side, other, best):
                name, best = other_name, other
        return IndicativeQuote(
            side=request.side,
            instrument=request.instrument,
            base_amount=best.base,
            quote_amount=best.quote,
            waterfall=best.waterfall,
            lp=name,
            priced_at=await self.database_clock.now(),
        )

    async def _look(
        self, source: IndicativeSource, request: PriceRequest, settings: TenantSettings
    ) -> Terms | None:
        rates = Rates(
            fee_bps=settings.platform_fee_bps,
            markup_bps=settings.markup_bps.get(request.instrument.code, 0),
        )
        side, is_base = request.side, request.is_base
        try:
            asked = lp_amount(side, request.fixed, is_base=is_base, rates=rates)
            async with asyncio.timeout(self.budget.total_seconds()):
                seen = await source.look(request.instrument, side, asked)
            if (seen.base if is_base else seen.quote) != asked:
                return None
            return price(
                side,
                request.fixed,
                is_base=is_base,
                rates=rates,
                lp_base=seen.base,
                lp_quote=seen.quote,
            )
        except (LpRefused, LpUnavailable, AmountTooSmall, AmountTooLarge, TimeoutError):
            return None
