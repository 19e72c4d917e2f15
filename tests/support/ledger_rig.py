"""The book of a tenant of its own, to commit to and to read."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.amount import Amount
from domain.errors import DomainError
from domain.ids import AccountId, EntryId, TenantId, TransferId
from domain.ledger.account import Account, AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.errors import LedgerRefusal
from domain.ledger.posting import Decision
from domain.ledger.transfer import Posting, Transfer, TransferKind
from domain.tenant.tenant import Tenant, TenantSettings
from ports.journal import Journal
from ports.ledger import PostingOrder
from ports.page import PageRequest
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from tests.support.builders import NGN, USD
from tests.support.platform import Platform

KEYS: Final = {
    "ada": AccountKey(AccountKind.CUSTOMER, NGN, "ada"),
    "bob": AccountKey(AccountKind.CUSTOMER, NGN, "bob"),
    "markup": AccountKey(AccountKind.TENANT_MARKUP, NGN),
    "treasury": AccountKey(AccountKind.TREASURY, NGN),
    "lp": AccountKey(AccountKind.LP, NGN, "alpha"),
    "ada in dollars": AccountKey(AccountKind.CUSTOMER, USD, "ada"),
    "lp in dollars": AccountKey(AccountKind.LP, USD, "alpha"),
}
CREDIT_LINE: Final = 300


@dataclass(frozen=True)
class Rig:
    """The book of a tenant of its own, with an account of every name."""

    units_of_work: UnitOfWorkFactory
    tenant_id: TenantId
    platform: Platform
    ids: dict[str, AccountId]

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self.units_of_work.begin(self.tenant_id)

    def transfer(self, debit: str, credit: str, units: int = 1, **changes: Any) -> Transfer:
        return Transfer(
            id=self.platform.ids.new(TransferId),
            debit_account_id=self.ids[debit],
            credit_account_id=self.ids[credit],
            amount=Amount(KEYS[debit].asset, units),
        )._replace(
            **changes,
        )

    def resolution(self, hold: Transfer, kind: TransferKind, **changes: Any) -> Transfer:
        new_id = self.platform.ids.new(TransferId)
        made = hold._replace(id=new_id, kind=kind, pending_id=hold.id, expires_at=None)
        return made._replace(**changes)

    def entry(self, *transfers: Transfer, **changes: Any) -> Entry:
        made = Entry(
            id=self.platform.ids.new(EntryId),
            transfers=transfers,
            source=EntrySource.TRADE,
            reference="a reference",
            description="some words",
        )
        return made._replace(**changes)

    async def commit(self, entry: Entry) -> Decision:
        async with self.begin() as uow:
            return await uow.ledger.commit(entry)

    async def commit_all(self, entries: Sequence[Entry]) -> Sequence[Decision | DomainError]:
        async with self.begin() as uow:
            return await uow.ledger.commit_all(entries)

    async def post(self, *entries: Entry, journal: Journal | None = None) -> datetime | None:
        """Post entries together."""
        journal = journal or self.platform.container.journal()
        return await journal.post(self.tenant_id, entries, correlation_id="a call")

    async def enter(self, *transfers: Transfer) -> Entry:
        decision = await self.commit(self.entry(*transfers))
        assert not decision.is_replay
        return decision.entry

    async def burn(self, entry: Entry, refusal: LedgerRefusal) -> None:
        async with self.begin() as uow:
            await uow.ledger.burn(entry, refusal)

    async def account(self, name: str) -> Account:
        async with self.begin() as uow:
            return await uow.ledger.get_account(self.ids[name])

    async def accounts(self) -> dict[AccountId, Account]:
        async with self.begin() as uow:
            page = await uow.ledger.list_accounts(PageRequest(size=200))
        return {account.id: account for account in page.items}

    async def lines(
        self, name: str, size: int = 200, *, order: PostingOrder = PostingOrder.NEWEST_FIRST
    ) -> list[Posting]:
        """Return an account's lines through pages of that size."""
        lines: list[Posting] = []
        before: Any = None
        while True:
            async with self.begin() as uow:
                request = PageRequest(size=size, before=before)
                page = await uow.ledger.list_postings(self.ids[name], request, order)
            assert len(page.items) <= size
            lines += page.items
            assert len(lines) < 1_000, "the pages never end"
            before = page.next_before
            if before is None:
                return lines


async def a_rig(platform: Platform) -> Rig:
    units_of_work = platform.container.units_of_work()
    id = platform.ids.new(TenantId)
    async with units_of_work.begin(id) as uow:
        await uow.tenants.add(
            Tenant(
                id=id,
                slug=str(id).replace("_", "-"),
                display_name="A book",
                branding={},
                settings=TenantSettings(),
            )
        )
        opened = await uow.ledger.open_accounts(list(KEYS.values()))
        treasury = await uow.ledger.get_account(opened[KEYS["treasury"]], lock=True)
        await uow.ledger.set_overdraft_limit(treasury._replace(overdraft_limit=CREDIT_LINE))
    return Rig(units_of_work, id, platform, {name: opened[key] for name, key in KEYS.items()})
