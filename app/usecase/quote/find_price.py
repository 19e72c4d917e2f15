"""Finding a price: every LP of the tenant asked in parallel, the best answer chosen."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from domain.amount import Amount, AmountTooLarge
from domain.asset import Instrument, InstrumentHalted, InstrumentNotFound
from domain.errors import DomainError
from domain.ids import LpQuoteRequestId
from domain.quote.errors import NoLiquidity, SameAsset
from domain.quote.pricing import AmountTooSmall, Rates, Terms, is_better, lp_amount, price
from domain.quote.quote import LpAnswer, LpVerdict
from domain.side import Side
from domain.tenant.tenant import TenantSettings
from ports.clock import Clock, DatabaseClock
from ports.ids import IdSource
from ports.liquidity import LpQuote, LpQuoteRequest, LpRefused, LpUnavailable
from ports.market import Market
from ports.price_source import PriceSource


async def open_instrument(market: Market, base: str, quote: str) -> Instrument:
    """Return what is traded, or raise `SameAsset`, `InstrumentNotFound` or `InstrumentHalted`."""
    if base == quote:
        raise SameAsset("base and quote asset are the same", asset=base)
    code = f"{base}-{quote}"
    instrument = (await market.catalogue()).instruments.get(code)
    if instrument is None:
        raise InstrumentNotFound("the two are not traded for each other", instrument=code)
    if not instrument.is_open:
        raise InstrumentHalted("the instrument is halted", instrument=code)
    return instrument


@dataclass(frozen=True, slots=True)
class PriceRequest:
    """What is to be priced; `fixed` is in the base or in the quote asset of the instrument."""

    instrument: Instrument
    side: Side
    fixed: Amount

    @property
    def is_base(self) -> bool:
        return self.fixed.asset == self.instrument.base


@dataclass(frozen=True, slots=True)
class Candidate:
    """One LP's answer while the best is still sought.

    Attributes:
        code: the reason of the refusal, where there was one.
    """

    record: LpAnswer
    lp_quote: LpQuote | None = None
    terms: Terms | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class BestPrice:
    """The price to give.

    Attributes:
        answers: what every LP answered, the used one first.
    """

    lp_quote: LpQuote
    terms: Terms
    answers: Sequence[LpAnswer]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the LPs answered, in the tenant's order.

    Attributes:
        answered_at: the database's clock when the last answer was there.
    """

    request: PriceRequest
    answered_at: datetime
    candidates: Sequence[Candidate]

    def best(self) -> BestPrice:
        """Choose, or raise `AmountTooSmall`, `AmountTooLarge` or `NoLiquidity`."""
        used: Candidate | None = None
        best: tuple[LpQuote, Terms] | None = None
        for one in self.candidates:
            if one.terms is None or one.lp_quote is None:
                continue
            if one.lp_quote.expires_at <= self.answered_at:
                continue
            # A later LP in the tenant's order must be strictly better to win.
            if best is None or is_better(self.request.side, one.terms, best[1]):
                used, best = one, (one.lp_quote, one.terms)
        if used is None or best is None:
            raise self._nothing_usable()
        others = [one.record for one in self.candidates if one is not used]
        return BestPrice(*best, (replace(used.record, verdict=LpVerdict.USED), *others))

    def _nothing_usable(self) -> DomainError:
        instrument = self.request.instrument
        codes = {one.code for one in self.candidates}
        if len(codes) == 1 and codes <= _SIZE.keys():
            # Asking again would not help, as it does where nobody could answer.
            return _SIZE[codes.pop()](
                "no liquidity provider trades this size", instrument=instrument
            )
        return NoLiquidity(
            "no liquidity provider gave a usable answer in time; ask again",
            instrument=instrument,
            answers="; ".join(
                f"{one.record.lp}: {one.record.reason or one.record.verdict}"
                for one in self.candidates
            ),
        )


_SIZE: Final[Mapping[str, type[DomainError]]] = {
    error.reason: error for error in (AmountTooSmall, AmountTooLarge)
}


@dataclass(frozen=True, slots=True)
class FindPrice:
    """Asking has no effect at an LP, so it happens outside of any transaction.

    Attributes:
        budget: how long the LPs may take; a slow one is left out, not waited for.
    """

    ids: IdSource
    clock: Clock
    database_clock: DatabaseClock
    providers: Mapping[str, PriceSource]
    budget: timedelta

    async def __call__(self, request: PriceRequest, settings: TenantSettings) -> Candidates:
        """Ask every LP of the tenant, and return what they answered."""
        rates = Rates(
            fee_bps=settings.platform_fee_bps,
            markup_bps=settings.markup_bps.get(request.instrument.code, 0),
        )
        asked = lp_amount(request.side, request.fixed, is_base=request.is_base, rates=rates)
        asks = [
            asyncio.create_task(self._ask(provider, request, asked, rates))
            for name in settings.lp_order
            if (provider := self.providers.get(name)) is not None
        ]
        try:
            await asyncio.sleep(0)  # the LPs first: they take longest
            await self.database_clock.now()  # read, where it must be, while they think
            candidates = [await ask for ask in asks]
        finally:
            for ask in asks:
                ask.cancel()
        return Candidates(request, await self.database_clock.now(), candidates)

    async def _ask(
        self, provider: PriceSource, request: PriceRequest, asked: Amount, rates: Rates
    ) -> Candidate:
        lp_request = LpQuoteRequest(
            id=self.ids.new(LpQuoteRequestId),
            instrument=request.instrument,
            side=request.side,
            fixed=asked,
        )
        asked_at = self.clock.monotonic()
        lp_quote: LpQuote | None = None
        terms: Terms | None = None
        code = ""
        try:
            async with asyncio.timeout(self.budget.total_seconds()):
                lp_quote = await provider.request_quote(lp_request)
            terms = _terms(request, asked, lp_quote, rates)
            verdict, reason = LpVerdict.OUTBID, ""
        except TimeoutError:
            verdict, reason = LpVerdict.TOO_LATE, "no answer within the budget"
        except LpRefused as error:
            verdict, reason = LpVerdict.REFUSED, error.message
            code = error.metadata.get("code", "")
        except LpUnavailable as error:
            verdict, reason = LpVerdict.FAILED, error.message
        except (AmountTooSmall, AmountTooLarge) as error:
            verdict, reason = LpVerdict.UNUSABLE, error.message
            code = error.reason
        if lp_quote is not None and terms is None and not reason:
            verdict, reason = LpVerdict.UNUSABLE, "the answer changes the fixed side"
        record = LpAnswer(
            id=lp_request.id,
            lp=provider.name,
            verdict=verdict,
            latency_ms=round((self.clock.monotonic() - asked_at) * 1000),
            reference=lp_quote.reference if lp_quote else "",
            base=lp_quote.base if lp_quote else None,
            quote=lp_quote.quote if lp_quote else None,
            expires_at=lp_quote.expires_at if lp_quote else None,
            reason=reason[:200],
        )
        return Candidate(record, lp_quote, terms, code)


def _terms(request: PriceRequest, asked: Amount, lp_quote: LpQuote, rates: Rates) -> Terms | None:
    """Price the answer, or return None if it changes the side that was fixed."""
    if (lp_quote.base if request.is_base else lp_quote.quote) != asked:
        return None
    return price(
        request.side,
        request.fixed,
        is_base=request.is_base,
        rates=rates,
        lp_base=lp_quote.base,
        lp_quote=lp_quote.quote,
    )
