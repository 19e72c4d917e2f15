"""Reading quotes."""

from dataclasses import dataclass
from datetime import datetime

from app.usecase.quote.create_quote import QuotedAnswers
from domain.ids import CustomerId, QuoteId, TenantId
from domain.quote.quote import Quote
from ports.page import Page, PageRequest
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadQuotes:
    """Quotes of one tenant, with the instant at which they were read: an open one may be over."""

    units_of_work: UnitOfWorkFactory

    async def get(self, tenant_id: TenantId, quote_id: QuoteId) -> QuotedAnswers:
        async with self.units_of_work.begin(tenant_id) as uow:
            quote = await uow.quotes.get(quote_id)
            answers = await uow.quotes.answers(quote_id)
            return QuotedAnswers(quote, answers, await uow.now())

    async def list(
        self, tenant_id: TenantId, page: PageRequest, *, customer_id: CustomerId | None
    ) -> tuple[Page[Quote], datetime]:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.quotes.list(page, customer_id=customer_id), await uow.now()
