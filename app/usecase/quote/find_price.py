"""Finding a price: the LPs of the tenant asked in parallel, one chosen by the tenant's rule."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from domain.amount import Amount, AmountTooLarge, TooManyDigits
from domain.asset import Instrument, InstrumentNotFound
from domain.errors import DomainError
from domain.ids import LpQuoteRequestId
from domain.liquidity.circuit import LpOutcome
from domain.liquidity.lp import Lp
from domain.quote.errors import NoLiquidity, SameAsset
from domain.quote.pricing import AmountTooSmall, Rates, Terms, lp_amount, price
from domain.quote.quote import LpAnswer, LpVerdict
from domain.quote.routing import Offer, choose
from domain.routing import RoutingRule
from domain.side import Side
from domain.tenant.tenant import TenantSettings
from ports.clock import Clock, DatabaseClock
from ports.ids import IdSource
from ports.liquidity import LpQuote, LpQuoteRequest, LpRefused, LpUnavailable
from ports.market import Market
from ports.price_source import PriceSource


async def known_instrument(market: Market, base: str, quote: str) -> Instrument:
    """Return what is traded, or raise `SameAsset` or `InstrumentNotFound`."""
    if base == quote:
        raise SameAsset("base and quote asset are the same", asset=base)
    code = f"{base}-{quote}"
    instrument = (await market.catalogue()).instruments.get(code)
    if instrument is None:
        raise InstrumentNotFound("the two are not traded for each other", instrument=code)
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
    """One LP's answer while one to use is still sought.

    Attributes:
        lp: how the LP stood when it was to be asked.
        code: the reason of the refusal, where there was one.
    """

    lp: Lp
    answer: LpAnswer
    lp_quote: LpQuote | None = None
    terms: Terms | None = None
    code: str = ""

    def offer_at(self, now: datetime) -> Offer | None:
        """Return what is offered if it can be used then."""
        if self.terms is None or self.lp_quote is None or self.lp_quote.expires_at <= now:
            return None
        return Offer(self.terms, self.lp.record)


@dataclass(frozen=True, slots=True)
class BestPrice:
    """The price to give, by the tenant's rule.

    Attributes:
        answers: what became of every LP, the used one first.
    """

    lp_quote: LpQuote
    terms: Terms
    answers: Sequence[LpAnswer]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the LPs answered, in the tenant's order.

    Attributes:
        answered_at: the database's clock when no more answers were waited for.
        budget: how long the LPs had.
    """

    request: PriceRequest
    rule: RoutingRule
    answered_at: datetime
    candidates: Sequence[Candidate]
    budget: timedelta

    def best(self) -> BestPrice:
        """Choose, or raise `AmountTooSmall`, `AmountTooLarge`, `TooManyDigits` or `NoLiquidity`."""
        usable = [
            (candidate, offer)
            for candidate in self.candidates
            if (offer := candidate.offer_at(self.answered_at)) is not None
        ]
        if not usable:
            raise self._nothing_usable()
        choice = choose(
            self.rule,
            self.request.side,
            [offer for _, offer in usable],
            budget_ms=self.budget // _MS,
        )
        used = usable[choice.position][0]
        answers = {one.answer.id: one.answer for one in self.candidates}
        for (candidate, _), score in zip(usable, choice.scores, strict=True):
            verdict = LpVerdict.USED if candidate is used else _LOST[self.rule]
            id = candidate.answer.id
            answers[id] = replace(answers[id], verdict=verdict, score=score)
        first = answers.pop(used.answer.id)
        assert used.lp_quote is not None and used.terms is not None
        return BestPrice(used.lp_quote, used.terms, (first, *answers.values()))

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
                f"{one.answer.lp}: {one.answer.reason or one.answer.verdict}"
                for one in self.candidates
            ),
        )


_MS: Final = timedelta(milliseconds=1)

_LOST: Final[Mapping[RoutingRule, LpVerdict]] = {
    RoutingRule.BEST_PRICE: LpVerdict.OUTBID,
    RoutingRule.PRIMARY_BACKUP: LpVerdict.OUTRANKED,
    RoutingRule.SCORE: LpVerdict.OUTRANKED,
}
"""What became of a usable price that was not used."""

_SIZE: Final[Mapping[str, type[DomainError]]] = {
    error.reason: error for error in (AmountTooSmall, AmountTooLarge, TooManyDigits)
}


@dataclass(frozen=True, slots=True)
class _Question:
    """What one LP is asked, while it is asked."""

    id: LpQuoteRequestId
    lp: Lp
    asked_at: float
    answered: "asyncio.Task[Candidate]"


class QuoteDesk(Protocol):
    """Where it is decided which LPs are asked, and told what came of it."""

    async def lps(self) -> Mapping[str, Lp]:
        """Return how every connected LP stands."""
        ...

    def quote_refusal(self, lp: Lp, side: Side) -> str:
        """Return why an LP is not to be asked now, or nothing."""
        ...

    def asking(self, name: str) -> AbstractContextManager[None]:
        """Count a request for a quote as under way."""
        ...

    def hear(self, name: str, outcome: LpOutcome, *, took_ms: int = 0) -> None:
        """Note what became of it."""
        ...


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
    desk: QuoteDesk
    budget: timedelta

    async def __call__(self, request: PriceRequest, settings: TenantSettings) -> Candidates:
        """Ask the LPs of the tenant that may be asked, and return what became of it."""
        rates = Rates(
            fee_bps=settings.platform_fee_bps,
            markup_bps=settings.markup_bps.get(request.instrument.code, 0),
        )
        asked = lp_amount(request.side, request.fixed, is_base=request.is_base, rates=rates)
        rule = settings.routing.get(request.instrument.code, RoutingRule.BEST_PRICE)
        lps = await self.desk.lps()
        questions = [
            self._question(provider, lps[name], request, asked, rates)
            for name in settings.lp_order
            if (provider := self.providers.get(name)) is not None
        ]
        try:
            await asyncio.sleep(0)  # the LPs first: they take longest
            await self.database_clock.now()  # read, where it must be, while they think
            candidates = await self._candidates(rule, questions)
        finally:
            for question in questions:
                question.answered.cancel()
        now = await self.database_clock.now()
        return Candidates(request, rule, now, candidates, self.budget)

    async def _candidates(
        self, rule: RoutingRule, questions: Sequence[_Question]
    ) -> Sequence[Candidate]:
        """Wait for the answers that the rule needs, and take those that are there by then."""
        candidates: list[Candidate] = []
        for question in questions:
            candidate = await question.answered
            candidates.append(candidate)
            is_enough = rule is RoutingRule.PRIMARY_BACKUP
            if is_enough and candidate.offer_at(await self.database_clock.now()) is not None:
                break
        return [*candidates, *map(self._as_it_is, questions[len(candidates) :])]

    def _as_it_is(self, question: _Question) -> Candidate:
        if question.answered.done():
            return question.answered.result()
        answer = LpAnswer(
            id=question.id,
            lp=question.lp.name,
            verdict=LpVerdict.OUTRANKED,
            latency_ms=self._passed_ms(question.asked_at),
            reason="not waited for, since an earlier one gave a price",
        )
        return Candidate(question.lp, answer)

    def _question(
        self,
        provider: PriceSource,
        lp: Lp,
        request: PriceRequest,
        asked: Amount,
        rates: Rates,
    ) -> _Question:
        lp_request = LpQuoteRequest(
            id=self.ids.new(LpQuoteRequestId),
            instrument=request.instrument,
            side=request.side,
            fixed=asked,
        )
        asking = self._ask(provider, lp, request, lp_request, rates)
        return _Question(lp_request.id, lp, self.clock.monotonic(), asyncio.create_task(asking))

    async def _ask(
        self,
        provider: PriceSource,
        lp: Lp,
        request: PriceRequest,
        lp_request: LpQuoteRequest,
        rates: Rates,
    ) -> Candidate:
        if refusal := self.desk.quote_refusal(lp, request.side):
            answer = LpAnswer(
                id=lp_request.id,
                lp=lp.name,
                verdict=LpVerdict.NOT_ASKED,
                latency_ms=0,
                reason=refusal,
            )
            return Candidate(lp, answer)
        asked_at = self.clock.monotonic()
        lp_quote: LpQuote | None = None
        terms: Terms | None = None
        code = ""
        outcome = LpOutcome.QUOTED
        try:
            with self.desk.asking(lp.name):
                async with asyncio.timeout(self.budget.total_seconds()):
                    lp_quote = await provider.request_quote(lp_request)
            terms = _terms(request, lp_request.fixed, lp_quote, rates)
            verdict, reason = LpVerdict.OUTBID, ""
        except TimeoutError:
            outcome = LpOutcome.LATE
            verdict, reason = LpVerdict.TOO_LATE, "no answer within the budget"
        except LpRefused as error:
            outcome = LpOutcome.REFUSED
            verdict, reason = LpVerdict.REFUSED, error.message
            code = error.metadata.get("code", "")
        except LpUnavailable as error:
            outcome = LpOutcome.FAILED
            verdict, reason = LpVerdict.FAILED, error.message
        except (AmountTooSmall, AmountTooLarge) as error:
            verdict, reason = LpVerdict.UNUSABLE, error.message
            code = error.reason
        if lp_quote is not None and terms is None and not reason:
            verdict, reason = LpVerdict.UNUSABLE, "the answer changes the fixed side"
        took_ms = self._passed_ms(asked_at)
        # What was noticed long after it was due tells of this process, which stood still.
        if outcome is not LpOutcome.LATE or took_ms < 2 * (self.budget // _MS):
            self.desk.hear(lp.name, outcome, took_ms=took_ms)
        answer = LpAnswer(
            id=lp_request.id,
            lp=lp.name,
            verdict=verdict,
            latency_ms=took_ms,
            reference=lp_quote.reference if lp_quote else "",
            base=lp_quote.base if lp_quote else None,
            quote=lp_quote.quote if lp_quote else None,
            expires_at=lp_quote.expires_at if lp_quote else None,
            reason=reason[:200],
        )
        return Candidate(lp, answer, lp_quote, terms, code)

    def _passed_ms(self, since: float) -> int:
        return round((self.clock.monotonic() - since) * 1000)


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
