"""Closing a day of a book, and reading closes."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from app.usecase.ledger.listed_lines import begin_listed
from domain.ids import AccountId, TenantId
from domain.ledger.close import DailyClose, TrialBalance, close_day, latest_closable
from ports.chain import Signer
from ports.page import Page, PageRequest
from ports.unit_of_work import UnitOfWorkFactory

ACCOUNTS: Final = 200
"""Looked at in one transaction."""


@dataclass(frozen=True, slots=True)
class CloseBooks:
    """A day that is over never changes, so it is added up in many short transactions.

    Without a signer closes are made, and none is signed.
    """

    units_of_work: UnitOfWorkFactory
    signer: Signer | None

    async def next_day(self, tenant_id: TenantId) -> bool:
        """Close the first day that is over and has no close, and say whether there was one.

        Raises `BooksUnbalanced` or `LinesArchived`, having closed nothing.
        """
        async with self.units_of_work.begin(tenant_id) as uow:
            day = await uow.closes.next_day()
            if day > latest_closable(await uow.now()):
                return False
        await self.close(tenant_id, day)
        return True

    async def close(self, tenant_id: TenantId, day: date) -> None:
        """Close a day that is over.

        Raises `BooksUnbalanced` or `LinesArchived`, having closed nothing.
        """
        async with self.units_of_work.begin(tenant_id) as uow:
            # Who was writing when the day ended is waited for; this holds up nobody for longer.
            await uow.tenants.wait_until_alone()
        balance = TrialBalance.empty()
        after: AccountId | None = None
        while True:
            async with begin_listed(self.units_of_work, tenant_id) as uow:
                accounts, after = await uow.closes.accounts_of(day, after=after, limit=ACCOUNTS)
            balance = balance.plus(accounts)
            if after is None:
                break
        signer = self.signer
        key_id = signer.key_id if signer else ""
        async with self.units_of_work.begin(tenant_id) as uow:
            now = await uow.now()
            close = close_day(tenant_id, day, balance, closed_at=now, key_id=key_id)
            if signer:
                close = replace(close, signature=signer.sign(close.content))
            await uow.closes.add(close, signer)


@dataclass(frozen=True, slots=True)
class ReadCloses:
    """The closes of one tenant's book."""

    units_of_work: UnitOfWorkFactory

    async def get(self, tenant_id: TenantId, day: date) -> DailyClose:
        """Return the close of a day, or raise `TenantNotFound` or `DailyCloseNotFound`."""
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.tenants.get()
            return await uow.closes.get(day)

    async def list(self, tenant_id: TenantId, page: PageRequest) -> Page[DailyClose]:
        """Return a page of closes, the latest first, or raise `TenantNotFound`."""
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.tenants.get()
            return await uow.closes.list(page)
