"""The repositories of one open transaction."""

from datetime import datetime
from functools import cached_property

from adapters.postgres.audit_log import PostgresAuditLog
from adapters.postgres.chain import PostgresChain
from adapters.postgres.close import PostgresDailyCloses
from adapters.postgres.consumer import PostgresInbox
from adapters.postgres.dead_letter import PostgresDeadLetters
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.late_check import PostgresLateChecks
from adapters.postgres.ledger import AccountIdCache, PostgresLedger
from adapters.postgres.liability import PostgresLiabilities
from adapters.postgres.liquidity import PostgresLps
from adapters.postgres.lp_settlement import PostgresLpSettlements
from adapters.postgres.outbox import PostgresOutbox
from adapters.postgres.quote import PostgresQuotes
from adapters.postgres.receipt import PostgresReceipts
from adapters.postgres.reconciliation import PostgresBreaks
from adapters.postgres.request import PostgresRequests
from adapters.postgres.request_signing import PostgresRequestSigningKeys
from adapters.postgres.sandbox import PostgresDeposits
from adapters.postgres.scope import Scope
from adapters.postgres.statement import PostgresReconciliation
from adapters.postgres.tenant import PostgresApiKeys, PostgresCustomers, PostgresTenants
from adapters.postgres.trade import PostgresTrades
from adapters.postgres.trading_state import PostgresTradingStates
from adapters.postgres.webhook import PostgresWebhookDeliveries, PostgresWebhookEndpoints
from domain.ids import TenantId
from ports.unit_of_work import UnitOfWork


class PostgresUnitOfWork(UnitOfWork):
    """Everything of the tenant in scope; what is not used is not made."""

    def __init__(self, scope: Scope, account_ids: AccountIdCache) -> None:
        self._scope = scope
        self._account_ids = account_ids

    @property
    def tenant_id(self) -> TenantId:
        return self._scope.tenant_id

    @cached_property
    def tenants(self) -> PostgresTenants:
        return PostgresTenants(self._scope)

    @cached_property
    def customers(self) -> PostgresCustomers:
        return PostgresCustomers(self._scope)

    @cached_property
    def api_keys(self) -> PostgresApiKeys:
        return PostgresApiKeys(self._scope)

    @cached_property
    def request_signing_keys(self) -> PostgresRequestSigningKeys:
        return PostgresRequestSigningKeys(self._scope)

    @cached_property
    def quotes(self) -> PostgresQuotes:
        return PostgresQuotes(self._scope)

    @cached_property
    def trades(self) -> PostgresTrades:
        return PostgresTrades(self._scope)

    @cached_property
    def receipts(self) -> PostgresReceipts:
        return PostgresReceipts(self._scope)

    @cached_property
    def ledger(self) -> PostgresLedger:
        return PostgresLedger(self._scope, self._account_ids)

    @cached_property
    def closes(self) -> PostgresDailyCloses:
        return PostgresDailyCloses(self._scope)

    @cached_property
    def requests(self) -> PostgresRequests:
        return PostgresRequests(self._scope)

    @cached_property
    def outbox(self) -> PostgresOutbox:
        return PostgresOutbox(self._scope)

    @cached_property
    def event_log(self) -> PostgresEventLog:
        return PostgresEventLog(self._scope)

    @cached_property
    def audit_log(self) -> PostgresAuditLog:
        return PostgresAuditLog(self._scope)

    @cached_property
    def deposits(self) -> PostgresDeposits:
        return PostgresDeposits(self._scope)

    @cached_property
    def inbox(self) -> PostgresInbox:
        return PostgresInbox(self._scope)

    @cached_property
    def dead_letters(self) -> PostgresDeadLetters:
        return PostgresDeadLetters(self._scope)

    @cached_property
    def late_checks(self) -> PostgresLateChecks:
        return PostgresLateChecks(self._scope)

    @cached_property
    def breaks(self) -> PostgresBreaks:
        return PostgresBreaks(self._scope)

    @cached_property
    def chain(self) -> PostgresChain:
        return PostgresChain(self._scope)

    @cached_property
    def reconciliation(self) -> PostgresReconciliation:
        return PostgresReconciliation(self._scope)

    @cached_property
    def liabilities(self) -> PostgresLiabilities:
        return PostgresLiabilities(self._scope)

    @cached_property
    def lps(self) -> PostgresLps:
        return PostgresLps(self._scope)

    @cached_property
    def trading_states(self) -> PostgresTradingStates:
        return PostgresTradingStates(self._scope)

    @cached_property
    def lp_settlements(self) -> PostgresLpSettlements:
        return PostgresLpSettlements(self._scope)

    @cached_property
    def webhook_endpoints(self) -> PostgresWebhookEndpoints:
        return PostgresWebhookEndpoints(self._scope)

    @cached_property
    def webhook_deliveries(self) -> PostgresWebhookDeliveries:
        return PostgresWebhookDeliveries(self._scope)

    async def now(self) -> datetime:
        return await self._scope.now()
