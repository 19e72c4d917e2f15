"""Asking for a quote: the best price that there is, promised for a while."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from app.usecase.quote.find_price import Candidates, FindPrice, PriceRequest, known_instrument
from domain.amount import Amount
from domain.ids import QuoteId
from domain.party import Party
from domain.quote.quote import LpAnswer, Quote
from domain.side import Side
from domain.tenant.tenant import TenantSettings
from ports.ids import IdSource
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


@dataclass(frozen=True, slots=True)
class CreateQuote:
    """The LPs are asked outside of any transaction; what they answered is stored at once."""

    units_of_work: UnitOfWorkFactory
    once: Once
    ids: IdSource
    announce: Announce
    market: Market
    settings: SettingsStore
    find_price: FindPrice

    async def __call__(self, call: Call, order: QuoteOrder) -> QuotedAnswers:
        """Return a new firm quote.

        Raises `SameAsset`, `InstrumentNotFound`, `InstrumentHalted`, `CustomerNotFound`,
        `CustomerSuspended`, `TenantSuspended`, `TenantHalted`, `AmountTooSmall`,
        `AmountTooLarge`, `TooManyDigits`, `NoLiquidity`.
        """
        instrument = await known_instrument(self.market, order.base_asset, order.quote_asset)
        tenant = await self.settings.get(call.tenant_id)
        settings = tenant.settings
        request = PriceRequest(instrument, order.side, order.fixed)
        # A replay is answered without any LP.
        is_known = await self._is_known(call)
        if not is_known:
            instrument.require_open(order.side)
            tenant.require_open(order.side)
        candidates = None if is_known else await self.find_price(request, settings)
        quote_id = self.ids.new(QuoteId)

        async def effect(uow: UnitOfWork) -> Change[QuotedAnswers]:
            assert candidates is not None, "a request that was known stays known"
            await uow.tenants.require_active(order.party)
            quoted = _quote(call, quote_id, order, settings, candidates)
            await uow.quotes.add(quoted.quote, quoted.answers)
            await self.announce(
                uow,
                "quote.created",
                quoted.quote,
                correlation_id=call.correlation_id,
                now=candidates.answered_at,
            )
            return Change(quoted, after=quoted.quote)

        async def replay(uow: UnitOfWork, id: UUID) -> QuotedAnswers:
            known_id = QuoteId(id)
            return QuotedAnswers(
                await uow.quotes.get(known_id),
                await uow.quotes.answers(known_id),
                await uow.now(),
            )

        return await self.once(call, quote_id, effect, replay, in_company=not is_known)

    async def _is_known(self, call: Call) -> bool:
        if call.key is None:
            return False
        async with self.units_of_work.begin(call.tenant_id) as uow:
            return await uow.requests.find(call.key) is not None


def _quote(
    call: Call,
    quote_id: QuoteId,
    order: QuoteOrder,
    settings: TenantSettings,
    candidates: Candidates,
) -> QuotedAnswers:
    instrument, now = candidates.request.instrument, candidates.answered_at
    best = candidates.best()
    lp = best.answers[0].lp
    ttl_ms = min(order.ttl_ms or settings.quote_ttl_ms, settings.quote_ttl_ms)
    quote = Quote(
        id=quote_id,
        tenant_id=call.tenant_id,
        party=order.party,
        side=order.side,
        instrument=instrument,
        base_amount=best.terms.base,
        quote_amount=best.terms.quote,
        waterfall=best.terms.waterfall,
        lp=lp,
        lp_reference=best.lp_quote.reference,
        lp_expires_at=best.lp_quote.expires_at,
        lp_order=(lp, *(name for name in settings.lp_order if name != lp)),
        tolerance_bps=instrument.tolerance_bps,
        created_at=now,
        expires_at=min(now + timedelta(milliseconds=ttl_ms), best.lp_quote.expires_at),
        routing=candidates.rule,
    )
    return QuotedAnswers(quote, best.answers, now)
