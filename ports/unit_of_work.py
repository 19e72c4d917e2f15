"""A unit of work: one transaction in the scope of one tenant."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from domain.ids import TenantId
from ports.consumer import Inbox
from ports.ledger import LedgerStore
from ports.outbox import Outbox
from ports.quote import QuoteRepository
from ports.request import RequestLog
from ports.sandbox import DepositRepository
from ports.tenant import ApiKeyRepository, CustomerRepository, TenantRepository
from ports.trade import TradeRepository


class UnitOfWork(Protocol):
    """Everything of one tenant, in one transaction.

    Any method of its repositories may also raise `DatabaseBusy` or `DatabaseUnavailable`.
    """

    @property
    def tenant_id(self) -> TenantId: ...
    @property
    def tenants(self) -> TenantRepository: ...
    @property
    def customers(self) -> CustomerRepository: ...
    @property
    def api_keys(self) -> ApiKeyRepository: ...
    @property
    def quotes(self) -> QuoteRepository: ...
    @property
    def trades(self) -> TradeRepository: ...
    @property
    def ledger(self) -> LedgerStore: ...
    @property
    def requests(self) -> RequestLog: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def deposits(self) -> DepositRepository: ...
    @property
    def inbox(self) -> Inbox: ...

    async def now(self) -> datetime:
        """Return the database's clock; read it after the lock whose time it judges."""
        ...


class UnitOfWorkFactory(Protocol):
    """The only door to a tenant's rows."""

    def begin(self, tenant_id: TenantId) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open a unit of work that commits when its block ends and rolls back if it raises."""
        ...
