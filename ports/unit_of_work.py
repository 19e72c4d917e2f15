"""A unit of work: one transaction in the scope of one tenant."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from domain.ids import TenantId
from ports.audit_log import AuditLog
from ports.chain import ChainStore
from ports.close import DailyCloses
from ports.consumer import Inbox
from ports.dead_letter import DeadLetterRepository
from ports.event_log import EventLog
from ports.late_check import LateChecks
from ports.ledger import LedgerStore
from ports.liability import LiabilityStore
from ports.lp import LpRepository
from ports.lp_settlement import LpSettlementRepository
from ports.outbox import Outbox
from ports.quote import QuoteRepository
from ports.receipt import Receipts
from ports.reconciliation import BreakRepository, ReconciliationStore
from ports.request import RequestLog
from ports.request_signing import RequestSigningKeyRepository
from ports.sandbox import DepositRepository
from ports.tenant import ApiKeyRepository, CustomerRepository, TenantRepository
from ports.trade import TradeRepository
from ports.trading_state import TradingStates
from ports.webhook import WebhookDeliveries, WebhookEndpoints


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
    def request_signing_keys(self) -> RequestSigningKeyRepository: ...
    @property
    def quotes(self) -> QuoteRepository: ...
    @property
    def trades(self) -> TradeRepository: ...
    @property
    def receipts(self) -> Receipts: ...
    @property
    def ledger(self) -> LedgerStore: ...
    @property
    def closes(self) -> DailyCloses: ...
    @property
    def requests(self) -> RequestLog: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def event_log(self) -> EventLog: ...
    @property
    def audit_log(self) -> AuditLog: ...
    @property
    def deposits(self) -> DepositRepository: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def dead_letters(self) -> DeadLetterRepository: ...
    @property
    def late_checks(self) -> LateChecks: ...
    @property
    def breaks(self) -> BreakRepository: ...
    @property
    def chain(self) -> ChainStore: ...
    @property
    def reconciliation(self) -> ReconciliationStore: ...
    @property
    def liabilities(self) -> LiabilityStore: ...
    @property
    def lps(self) -> LpRepository: ...
    @property
    def trading_states(self) -> TradingStates: ...
    @property
    def lp_settlements(self) -> LpSettlementRepository: ...
    @property
    def webhook_endpoints(self) -> WebhookEndpoints: ...
    @property
    def webhook_deliveries(self) -> WebhookDeliveries: ...

    async def now(self) -> datetime:
        """Return the database's clock; read it after the lock whose time it judges."""
        ...


Result = TypeVar("Result")
Work = Callable[[UnitOfWork], Awaitable[Result]]


class UnitOfWorkFactory(Protocol):
    """The only door to a tenant's rows."""

    def begin(self, tenant_id: TenantId) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open a unit of work that commits when its block ends and rolls back if it raises."""
        ...

    async def run(self, tenant_id: TenantId, work: Work[Result]) -> Result:
        """Do `work` in a unit of work, perhaps in one transaction with its neighbors' work.

        One's failure never touches a neighbor. What is asked of `work` in return:

        - it has no effect but through its unit of work, because it may be done more than once;
        - it waits for nothing but its unit of work, because its neighbors wait with it;
        - it locks requests first, then quotes or trades, then the party, and the books last.
        """
        async with self.begin(tenant_id) as uow:
            return await work(uow)
