"""Reading the books."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.usecase.ledger.listed_lines import begin_listed
from domain.ids import AccountId, CustomerId, EntryId, TenantId
from domain.ledger.account import Account, HeldFor
from domain.ledger.transfer import Posting
from ports.ledger import PastBalance, PostingOrder, RecordedEntry
from ports.page import Page, PageRequest, page_from
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadLedger:
    """The book of one tenant."""

    units_of_work: UnitOfWorkFactory

    async def account(
        self, tenant_id: TenantId, account_id: AccountId
    ) -> tuple[Account, Sequence[HeldFor]]:
        """Return an account, and by purpose what is held on it at the same instant."""
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.ledger.get_holds(account_id)

    async def accounts(self, tenant_id: TenantId, page: PageRequest) -> Page[Account]:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.ledger.list_accounts(page)

    async def balances(
        self, tenant_id: TenantId, customer_id: CustomerId, page: PageRequest
    ) -> Page[Account]:
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.customers.get(customer_id)
            return page_from(await uow.ledger.customer_accounts(customer_id), page)

    async def postings(
        self,
        tenant_id: TenantId,
        account_id: AccountId,
        page: PageRequest,
        order: PostingOrder,
    ) -> Page[Posting]:
        async with begin_listed(self.units_of_work, tenant_id) as uow:
            await uow.ledger.get_account(account_id)
            return await uow.ledger.list_postings(account_id, page, order)

    async def balance_at(
        self,
        tenant_id: TenantId,
        account_id: AccountId,
        *,
        effective_at: datetime | None,
        recorded_by: datetime | None,
    ) -> PastBalance:
        async with begin_listed(self.units_of_work, tenant_id) as uow:
            return await uow.ledger.balance_at(
                account_id, effective_at=effective_at, recorded_by=recorded_by
            )

    async def entry(self, tenant_id: TenantId, entry_id: EntryId) -> RecordedEntry:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.ledger.get_entry(entry_id)
