"""Telling what a quote would cost for as long as somebody listens."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.usecase.quote.get_indicative_quote import GetIndicativeQuote, PriceQuestion
from domain.errors import DomainError, may_pass
from domain.ids import TenantId
from domain.quote.indicative import IndicativeQuote
from ports.clock import Clock, DatabaseClock


@dataclass(frozen=True, slots=True)
class NoPrice:
    """There is none for the moment; the one told last does not stand any more."""

    why: DomainError


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What was told last stands as it is, as of `looked_at` by the database's clock."""

    looked_at: datetime


PriceNews = IndicativeQuote | NoPrice | Unchanged


@dataclass(frozen=True, slots=True)
class StreamQuotes:
    """Looks again and again, and tells what has changed.

    Looking at the same size is shared by all streams, as by all who ask once. Who reads slowly is
    told less often, and always what is so now: nothing is put by for him.

    Attributes:
        look_every: how long after a look the next one comes.
        beat_every: after how long without a change that is said too.
    """

    get_indicative_quote: GetIndicativeQuote
    clock: Clock
    database_clock: DatabaseClock
    look_every: timedelta
    beat_every: timedelta

    async def __call__(
        self, tenant_id: TenantId, question: PriceQuestion
    ) -> AsyncIterator[PriceNews]:
        """Yield the price of now, and then what becomes of it.

        Raises what `GetIndicativeQuote` raises; once there was a price, only what will not pass.
        """
        told: IndicativeQuote | NoPrice = await self.get_indicative_quote(tenant_id, question)
        yield told
        told_at = self.clock.monotonic()
        while True:
            await self.clock.sleep(self.look_every.total_seconds())
            found = await self._look(tenant_id, question)
            if not _is_same(told, found):
                told = found
                yield told
            elif self.clock.monotonic() - told_at >= self.beat_every.total_seconds():
                yield Unchanged(await self.database_clock.now())
            else:
                continue
            told_at = self.clock.monotonic()

    async def _look(
        self, tenant_id: TenantId, question: PriceQuestion
    ) -> IndicativeQuote | NoPrice:
        try:
            return await self.get_indicative_quote(tenant_id, question)
        except DomainError as error:
            if not may_pass(error):
                raise
            return NoPrice(error)


def _is_same(told: IndicativeQuote | NoPrice, found: IndicativeQuote | NoPrice) -> bool:
    if isinstance(told, IndicativeQuote) and isinstance(found, IndicativeQuote):
        return found.says_the_same(told)
    if isinstance(told, NoPrice) and isinstance(found, NoPrice):
        return found.why.reason == told.why.reason
    return False
