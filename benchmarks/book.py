"""Tenants' books, and entries of one transfer each between their accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.clock import PostgresClock
from adapters.postgres.journal import PostgresJournal
from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.market import PostgresMarket
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from app.usecase.announce import Announce
from benchmarks.ground import Broken
from domain.amount import Amount
from domain.asset import Asset
from domain.ids import (
    AccountId,
    ApiKeyId,
    CallId,
    CustomerId,
    EntryId,
    TenantId,
    TransferId,
)
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer
from domain.tenant.tenant import Tenant, TenantSettings
from ports.journal import Journal

ASSET: Final = "NGN"
FUNDS: Final = 100_000_000_000_000
LARGEST: Final = 1_000_000
SEED: Final = 1
SETUP_BATCH: Final = 1_000

_ADD_CUSTOMERS: Final = """
INSERT INTO core.customers (tenant_id, id, external_id, state, created_at)
SELECT $1, id, id::text, 'active', core.now() FROM unnest($2::uuid[]) AS c (id)
"""


@dataclass(slots=True, kw_only=True)
class Book:
    """A tenant's book and what is posted to it.

    Attributes:
        accounts: the customers', each with more than it will ever pay.
        acknowledged: transfers of which we were told that they are committed.
    """

    journal: Journal
    ids: RandomIds
    random: Random
    tenant_id: TenantId
    asset: Asset
    accounts: list[AccountId]
    operator: str
    acknowledged: int = 0

    def some(self, count: int, *, is_hot: bool = False) -> list[Entry]:
        """Make entries between accounts taken at random.

        With `is_hot` every other one, on average, debits the first account.
        """
        return [
            self.entry(*self._debit_and_credit(is_hot), self.random.randint(1, LARGEST))
            for _ in range(count)
        ]

    def entry(self, debit: AccountId, credit: AccountId, units: int) -> Entry:
        id = self.ids.new(EntryId)
        transfer = Transfer(
            id=self.ids.new(TransferId),
            debit_account_id=debit,
            credit_account_id=credit,
            amount=Amount(self.asset, units),
        )
        return Entry(
            id=id,
            transfers=(transfer,),
            source=EntrySource.OPERATOR,
            reference=self.operator,
            has_callers_ids=True,
        )

    async def post(self, entries: Sequence[Entry]) -> None:
        """Commit them; who comes meanwhile shares the next transaction."""
        call = str(self.ids.new(CallId))
        if await self.journal.post(self.tenant_id, entries, correlation_id=call) is None:
            raise Broken("an entry was refused, or known before")
        self.acknowledged += len(entries)

    def _debit_and_credit(self, is_hot: bool) -> tuple[AccountId, AccountId]:
        debit, credit = self.random.sample(self.accounts, 2)
        if is_hot and self.random.random() < 0.5:
            hot = self.accounts[0]
            return hot, debit if credit == hot else credit
        return debit, credit


class BookMaker:
    """Opens books at the ledger port of one process, for that operator's key."""

    def __init__(self, engine: AsyncEngine, operator: ApiKeyId) -> None:
        self._operator = operator
        clock = SystemClock()
        self._ids = RandomIds(clock)
        self._market = PostgresMarket(engine, clock)
        self._units_of_work = PostgresUnitOfWorkFactory(engine, self._market, AccountIdCache())
        self._journal = PostgresJournal(
            PostgresClock(engine, clock), self._units_of_work, Announce(self._ids).committed
        )
        self._made = 0

    async def open(self, tenants: int, *, accounts: int) -> list[Book]:
        """Make tenants, each with so many accounts that are funded."""
        return [await self._open(accounts) for _ in range(tenants)]

    async def _open(self, accounts: int) -> Book:
        self._made += 1
        book = Book(
            journal=self._journal,
            ids=self._ids,
            random=Random(SEED + self._made),
            tenant_id=self._ids.new(TenantId),
            asset=(await self._market.catalogue()).assets[ASSET],
            accounts=[],
            operator=str(self._operator),
        )
        tenant = Tenant(
            id=book.tenant_id,
            slug=f"bench-{self._made}",
            display_name="Bench",
            branding={},
            settings=TenantSettings(),
        )
        rail = AccountKey(AccountKind.EXTERNAL, book.asset, "bank")
        async with self._units_of_work.begin(book.tenant_id) as uow:
            await uow.tenants.add(tenant)
            external = (await uow.ledger.open_accounts([rail]))[rail]
        while missing := accounts - len(book.accounts):
            customers = [self._ids.new(CustomerId) for _ in range(min(missing, SETUP_BATCH))]
            async with self._units_of_work.open_scope(book.tenant_id) as scope:
                await scope.driver.execute(_ADD_CUSTOMERS, scope.tenant, customers)
            keys = [AccountKey(AccountKind.CUSTOMER, book.asset, str(id)) for id in customers]
            async with self._units_of_work.begin(book.tenant_id) as uow:
                opened = list((await uow.ledger.open_accounts(keys)).values())
            await book.post([book.entry(external, account, FUNDS) for account in opened])
            book.accounts += opened
        return book
