"""The repositories of one open transaction."""

from datetime import datetime

from adapters.postgres.consumer import PostgresInbox
from adapters.postgres.dead_letter import PostgresDeadLetters
from adapters.postgres.late_check import PostgresLateChecks
from adapters.postgres.ledger import AccountIdCache, PostgresLedger
from adapters.postgres.outbox import PostgresOutbox
from adapters.postgres.quote import PostgresQuotes
from adapters.postgres.reconciliation import PostgresBreaks
from adapters.postgres.request import PostgresRequests
from adapters.postgres.sandbox import PostgresDeposits
from adapters.postgres.scope import Scope
from adapters.postgres.tenant import PostgresApiKeys, PostgresCustomers, PostgresTenants
from adapters.postgres.trade import PostgresTrades
from domain.ids import TenantId
from ports.unit_of_work import UnitOfWork


class PostgresUnitOfWork(UnitOfWork):
    """Everything of the tenant in scope."""

    def __init__(self, scope: Scope, account_ids: AccountIdCache) -> None:
        self._scope = scope
        self._tenants = PostgresTenants(scope)
        self._customers = PostgresCustomers(scope)
        self._api_keys = PostgresApiKeys(scope)
        self._quotes = PostgresQuotes(scope)
        self._trades = PostgresTrades(scope)
        self._ledger = PostgresLedger(scope, account_ids)
        self._requests = PostgresRequests(scope)
        self._outbox = PostgresOutbox(scope)
        self._deposits = PostgresDeposits(scope)
        self._inbox = PostgresInbox(scope)
        self._dead_letters = PostgresDeadLetters(scope)
        self._late_checks = PostgresLateChecks(scope)
        self._breaks = PostgresBreaks(scope)

    @property
    def tenant_id(self) -> TenantId:
        return self._scope.tenant_id

    @property
    def tenants(self) -> PostgresTenants:
        return self._tenants

    @property
    def customers(self) -> PostgresCustomers:
        return self._customers

    @property
    def api_keys(self) -> PostgresApiKeys:
        return self._api_keys

    @property
    def quotes(self) -> PostgresQuotes:
        return self._quotes

    @property
    def trades(self) -> PostgresTrades:
        return self._trades

    @property
    def ledger(self) -> PostgresLedger:
        return self._ledger

    @property
    def requests(self) -> PostgresRequests:
        return self._requests

    @property
    def outbox(self) -> PostgresOutbox:
        return self._outbox

    @property
    def deposits(self) -> PostgresDeposits:
        return self._deposits

    @property
    def inbox(self) -> PostgresInbox:
        return self._inbox

    @property
    def dead_letters(self) -> PostgresDeadLetters:
        return self._dead_letters

    @property
    def late_checks(self) -> PostgresLateChecks:
        return self._late_checks

    @property
    def breaks(self) -> PostgresBreaks:
        return self._breaks

    async def now(self) -> datetime:
        return await self._scope.now()
