"""Withdrawing an open quote."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import QuoteId
from domain.quote.quote import Quote
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class CancelQuote:
    """Nothing is held by an open quote, so nothing is released."""

    once: Once
    announce: Announce

    async def __call__(self, call: Call, quote_id: QuoteId) -> tuple[Quote, datetime]:
        """Return the canceled quote and when it was read.

        Raises what `Quote.cancel` raises, or `QuoteNotFound`.
        """

        async def effect(uow: UnitOfWork) -> Change[tuple[Quote, datetime]]:
            quote = await uow.quotes.get(quote_id, lock=True)
            now = await uow.now()
            canceled = quote.cancel(now=now)
            await uow.quotes.save(canceled)
            await self.announce(
                uow, "quote.canceled", canceled, correlation_id=call.correlation_id, now=now
            )
            return Change((canceled, now), after=canceled, before=quote)

        async def replay(uow: UnitOfWork, id: UUID) -> tuple[Quote, datetime]:
            return await uow.quotes.get(QuoteId(id)), await uow.now()

        return await self.once(call, quote_id, effect, replay)
