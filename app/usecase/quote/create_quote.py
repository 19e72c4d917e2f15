"""Asking for a quote: every LP of the tenant in parallel, the best answer priced."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.call import Call
from app.usecase.once import Once
from domain.amount import Amount, AmountTooLarge
from domain.asset import Instrument, InstrumentHalted, InstrumentNotFound
from domain.errors import DomainError
from domain.ids import LpQuoteRequestId, QuoteId
from domain.party import Party
from domain.quote.errors import NoLiquidity, SameAsset
from domain.quote.pricing import AmountTooSmall, Rates, Terms, is_better, lp_amount, price
from domain.quote.quote import LpAnswer, LpVerdict, Quote
from domain.side import Side
from domain.tenant.tenant import TenantSettings
from ports.clock import Clock, DatabaseClock
from ports.ids import IdSource
from ports.liquidity import (
    LiquidityProvider,
    LpQuote,
    LpQuoteRequest,
    LpRefused,
    LpUnavailable,
)
from ports.market import Market
from ports.tenant import SettingsStore
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteOrder:
    """What a customer wants a price for; `fixed` is in the base or in the quote asset."""

    party: Party
    side: Side
    base_asset: str
    quote_asset: str
    fixed: Amount
    ttl_ms: int | None


@dataclass(frozen=True, slots=True)
class QuotedAnswers:
    """A quote with what every LP answered, the used one first.

    Attributes:
        read_at: the database's clock when it was read; by then an open quote may be over.
    """

    quote: Quote
    answers: Sequence[LpAnswer]
    read_at: datetime


_SIZE: Final[Mapping[str, type[DomainError]]] = {
    error.reason: error for error in (AmountTooSmall, AmountTooLarge)
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """One LP's answer while the best is still sought.

    Attributes:
        code: the reason of the refusal, where there was one.
    """

    record: LpAnswer
    lp_quote: LpQuote | None = None
    terms: Terms | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the LPs answered.

    Attributes:
        answered_at: the database's clock when the last answer was there.
    """

    answered_at: datetime
    answers: Sequence[_Answer]


@dataclass(frozen=True, slots=True)
class CreateQuote:
    """Asks outside of any transaction, since asking has no effect, and stores the result at once.

    Attributes:
        budget: how long the LPs may take; a slow one is left out, not waited for.
    """

    units_of_work: UnitOfWorkFactory
    once: Once
    ids: IdSource
    clock: Clock
    announce: Announce
    market: Market
    settings: SettingsStore
    database_clock: DatabaseClock
    providers: Mapping[str, LiquidityProvider]
    budget: timedelta

    async def __call__(self, call: Call, order: QuoteOrder) -> QuotedAnswers:
        """Return a new firm quote.

        Raises `SameAsset`, `InstrumentNotFound`, `InstrumentHalted`, `CustomerNotFound`,
        `CustomerSuspended`, `TenantSuspended`, `AmountTooSmall`, `AmountTooLarge`, `NoLiquidity`.
        """
        instrument = await self._instrument(order)
        settings = await self.settings.get(call.tenant_id)
        is_known = await self._is_known(call)
        asked = None if is_known else await self._ask(order, instrument, settings)
        quote_id = self.ids.new(QuoteId)

        async def effect(uow: UnitOfWork) -> QuotedAnswers:
            assert asked is not None, "a request that was known stays known"
            await uow.tenants.require_active(order.party)
            now, answers = asked.answered_at, asked.answers
            quoted = self._quote(call, quote_id, order, instrument, settings, answers, now)
            await uow.quotes.add(quoted.quote, quoted.answers)
            await self.announce(
                uow, "quote.created", quoted.quote, correlation_id=call.correlation_id, now=now
            )
            return quoted

        async def replay(uow: UnitOfWork, id: UUID) -> QuotedAnswers:
            known_id = QuoteId(id)
            return QuotedAnswers(
                await uow.quotes.get(known_id),
                await uow.quotes.answers(known_id),
                await uow.now(),
            )

        return await self.once(call, quote_id, effect, replay, in_company=True)

    async def _is_known(self, call: Call) -> bool:
        """Say whether this is a replay, for which no LP needs to be asked."""
        if call.key is None:
            return False
        async with self.units_of_work.begin(call.tenant_id) as uow:
            return await uow.requests.find(call.key) is not None

    async def _ask(
        self, order: QuoteOrder, instrument: Instrument, settings: TenantSettings
    ) -> _Asked:
        rates = _rates(settings, instrument)
        amount = lp_amount(
            order.side, order.fixed, is_base=order.fixed.asset == instrument.base, rates=rates
        )
        asks = [
            asyncio.create_task(self._ask_one(provider, order, instrument, amount, rates))
            for name in settings.lp_order
            if (provider := self.providers.get(name)) is not None
        ]
        try:
            await asyncio.sleep(0)  # the LPs first: they take longest
            await self.database_clock.now()  # read, where it must be, while they think
            answers = [await ask for ask in asks]
        finally:
            for ask in asks:
                ask.cancel()
        return _Asked(await self.database_clock.now(), answers)

    async def _instrument(self, order: QuoteOrder) -> Instrument:
        if order.base_asset == order.quote_asset:
            raise SameAsset("base and quote asset are the same", asset=order.base_asset)
        code = f"{order.base_asset}-{order.quote_asset}"
        instrument = (await self.market.catalogue()).instruments.get(code)
        if instrument is None:
            raise InstrumentNotFound("the two are not traded for each other", instrument=code)
        if not instrument.is_open:
            raise InstrumentHalted("the instrument is halted", instrument=code)
        return instrument

    async def _ask_one(
        self,
        provider: LiquidityProvider,
        order: QuoteOrder,
        instrument: Instrument,
        asked: Amount,
        rates: Rates,
    ) -> _Answer:
        request = LpQuoteRequest(
            id=self.ids.new(LpQuoteRequestId), instrument=instrument, side=order.side, fixed=asked
        )
        asked_at = self.clock.monotonic()
        lp_quote: LpQuote | None = None
        terms: Terms | None = None
        code = ""
        try:
            async with asyncio.timeout(self.budget.total_seconds()):
                lp_quote = await provider.request_quote(request)
            terms = _terms(order, asked, lp_quote, instrument, rates)
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
            id=request.id,
            lp=provider.name,
            verdict=verdict,
            latency_ms=round((self.clock.monotonic() - asked_at) * 1000),
            reference=lp_quote.reference if lp_quote else "",
            base=lp_quote.base if lp_quote else None,
            quote=lp_quote.quote if lp_quote else None,
            expires_at=lp_quote.expires_at if lp_quote else None,
            reason=reason[:200],
        )
        return _Answer(record, lp_quote, terms, code)

    def _quote(
        self,
        call: Call,
        quote_id: QuoteId,
        order: QuoteOrder,
        instrument: Instrument,
        settings: TenantSettings,
        answers: Sequence[_Answer],
        now: datetime,
    ) -> QuotedAnswers:
        best: _Answer | None = None
        for answer in answers:
            if answer.terms is None or answer.lp_quote is None or answer.lp_quote.expires_at <= now:
                continue
            # A later LP in the tenant's order must be strictly better to win.
            if (
                best is None
                or best.terms is None
                or is_better(order.side, answer.terms, best.terms)
            ):
                best = answer
        if best is None or best.terms is None or best.lp_quote is None:
            codes = {answer.code for answer in answers}
            if len(codes) == 1 and codes <= _SIZE.keys():
                # Asking again would not help, as it does where nobody could answer.
                raise _SIZE[codes.pop()](
                    "no liquidity provider trades this size", instrument=instrument
                )
            raise NoLiquidity(
                "no liquidity provider gave a usable answer in time; ask again",
                instrument=instrument,
                answers="; ".join(
                    f"{answer.record.lp}: {answer.record.reason or answer.record.verdict}"
                    for answer in answers
                ),
            )
        ttl_ms = min(order.ttl_ms or settings.quote_ttl_ms, settings.quote_ttl_ms)
        used = replace(best.record, verdict=LpVerdict.USED)
        others = [answer.record for answer in answers if answer is not best]
        quote = Quote(
            id=quote_id,
            tenant_id=call.tenant_id,
            party=order.party,
            side=order.side,
            instrument=instrument,
            base_amount=best.terms.base,
            quote_amount=best.terms.quote,
            waterfall=best.terms.waterfall,
            lp=used.lp,
            lp_reference=best.lp_quote.reference,
            lp_expires_at=best.lp_quote.expires_at,
            lp_order=(used.lp, *(name for name in settings.lp_order if name != used.lp)),
            tolerance_bps=instrument.tolerance_bps,
            created_at=now,
            expires_at=min(now + timedelta(milliseconds=ttl_ms), best.lp_quote.expires_at),
        )
        return QuotedAnswers(quote, (used, *others), now)


def _rates(settings: TenantSettings, instrument: Instrument) -> Rates:
    return Rates(
        fee_bps=settings.platform_fee_bps,
        markup_bps=settings.markup_bps.get(instrument.code, 0),
    )


def _terms(
    order: QuoteOrder, asked: Amount, lp_quote: LpQuote, instrument: Instrument, rates: Rates
) -> Terms | None:
    """Price the answer, or return None if it changes the side that was fixed."""
    is_base = order.fixed.asset == instrument.base
    if (lp_quote.base if is_base else lp_quote.quote) != asked:
        return None
    return price(
        order.side,
        order.fixed,
        is_base=is_base,
        rates=rates,
        lp_base=lp_quote.base,
        lp_quote=lp_quote.quote,
    )
