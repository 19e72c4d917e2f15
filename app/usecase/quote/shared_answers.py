"""One answer of an LP for all who ask it for the same within a moment."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from domain.amount import Amount
from domain.asset import Instrument
from domain.side import Side
from ports.clock import Clock, DatabaseClock
from ports.liquidity import LpQuote, LpQuoteRequest, LpUnavailable
from ports.price_source import PriceSource

ANSWERS_MAX: Final = 1_024
"""How many answers of one LP are kept."""

FLIGHTS_MAX: Final = 128
"""How many questions to one LP may be under way: what promises nothing must leave it some room for
what does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLpQuote(LpQuote):
    """An LP's answer that others may have had too: to look at, not to execute.

    Attributes:
        taken_at: the database's clock when it was there.
    """

    taken_at: datetime


class _Question(NamedTuple):
    """What must be the same for an answer to be shared; nothing of it is a tenant's."""

    instrument: Instrument
    side: Side
    fixed: Amount


class _Flight:
    """One question on its way to the LP, and then its answer for a while.

    Attributes:
        over_at: until when the answer is shared, by our own clock; None while it is not there.
    """

    __slots__ = ("answer", "over_at")

    def __init__(self, answer: asyncio.Task[SharedLpQuote]) -> None:
        self.answer = answer
        self.over_at: float | None = None


class SharedAnswers(PriceSource):
    """Asks an LP once for all who want the same; a refusal and a failure are answers too.

    Who comes while the question is under way waits with it. The question is nobody's own: it goes
    on when whoever asked first has gone.
    """

    def __init__(
        self,
        source: PriceSource,
        clock: Clock,
        database_clock: DatabaseClock,
        *,
        good_for: timedelta,
        budget: timedelta,
    ) -> None:
        """Share answers for `good_for` once they are there; the LP has `budget` to answer."""
        self._source = source
        self._clock = clock
        self._database_clock = database_clock
        self._good_for = good_for
        self._budget = budget
        self._flights: OrderedDict[_Question, _Flight] = OrderedDict()
        self._under_way = 0

    @property
    def name(self) -> str:
        return self._source.name

    async def request_quote(self, request: LpQuoteRequest) -> SharedLpQuote:
        """Return an answer, or raise the refusal or the failure that it was.

        Raises `LpRefused`, `LpUnavailable`, or `TimeoutError` where the budget was over.
        """
        question = _Question(request.instrument, request.side, request.fixed)
        flight = self._flights.get(question)
        if flight is None or self._is_over(flight):
            flight = self._take_off(question, request)
        return await asyncio.shield(flight.answer)

    def _is_over(self, flight: _Flight) -> bool:
        return flight.over_at is not None and self._clock.monotonic() >= flight.over_at

    def _take_off(self, question: _Question, request: LpQuoteRequest) -> _Flight:
        if self._under_way >= FLIGHTS_MAX:
            raise LpUnavailable(
                f"{self.name} is being asked for too many indicative quotes",
                lp=self.name,
                cause="TOO_MANY_QUESTIONS",
            )
        flight = _Flight(asyncio.create_task(self._ask(request)))
        self._under_way += 1
        flight.answer.add_done_callback(lambda _: self._land(flight))
        self._flights[question] = flight
        self._flights.move_to_end(question)
        if len(self._flights) > ANSWERS_MAX:
            self._flights.popitem(last=False)
        return flight

    def _land(self, flight: _Flight) -> None:
        self._under_way -= 1
        good_for = self._good_for
        # Taken note of either way: nobody may be waiting any more.
        if not flight.answer.cancelled() and flight.answer.exception() is None:
            answer = flight.answer.result()
            good_for = min(good_for, answer.expires_at - answer.taken_at)
        flight.over_at = self._clock.monotonic() + good_for.total_seconds()

    async def _ask(self, request: LpQuoteRequest) -> SharedLpQuote:
        async with asyncio.timeout(self._budget.total_seconds()):
            answer = await self._source.request_quote(request)
        return SharedLpQuote(
            reference=answer.reference,
            base=answer.base,
            quote=answer.quote,
            expires_at=answer.expires_at,
            taken_at=await self._database_clock.now(),
        )
