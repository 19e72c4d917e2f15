"""A unit of work is one transaction of one connection, opened in the scope of one tenant."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.postgres.consumer import PostgresInbox
from adapters.postgres.engine import drop
from adapters.postgres.errors import translated
from adapters.postgres.ledger import AccountIdCache, PostgresLedger
from adapters.postgres.outbox import PostgresOutbox
from adapters.postgres.quote import PostgresQuotes
from adapters.postgres.request import PostgresRequests
from adapters.postgres.sandbox import PostgresDeposits
from adapters.postgres.scope import Scope, tenant_lock
from adapters.postgres.tenant import PostgresApiKeys, PostgresCustomers, PostgresTenants
from adapters.postgres.trade import PostgresTrades
from domain.ids import TenantId
from ports.market import Market
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


class PostgresUnitOfWork(UnitOfWork):
    """The repositories of one open transaction."""

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

    async def now(self) -> datetime:
        return await self._scope.now()


@dataclass(frozen=True, slots=True)
class PostgresUnitOfWorkFactory(UnitOfWorkFactory):
    """Opens units of work on the connections of one engine, and so of one database role."""

    engine: AsyncEngine
    market: Market
    account_ids: AccountIdCache

    @asynccontextmanager
    async def begin(self, tenant_id: TenantId) -> AsyncIterator[UnitOfWork]:
        catalogue = await self.market.catalogue()
        with translated():
            connection = await self.engine.connect()
            try:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                scope = Scope(tenant_id, connection, driver, catalogue)
                async with _transaction(scope):
                    yield PostgresUnitOfWork(scope, self.account_ids)
            finally:
                await connection.close()


@asynccontextmanager
async def _transaction(scope: Scope) -> AsyncIterator[None]:
    # Built from a parsed UUID and nothing else: SET takes no parameters. The shared lock is one of
    # memory, not of a row: it costs a tenant's writers nothing until somebody closes the tenant.
    tenant = scope.tenant_id.uuid
    try:
        await scope.driver.execute(
            f"BEGIN; SET LOCAL app.tenant_id = '{tenant}'; "
            f"SELECT pg_advisory_xact_lock_shared({tenant_lock(scope.tenant_id)})"
        )
        yield
        await scope.driver.execute("COMMIT")
    except BaseException:
        await _roll_back(scope.connection, scope.driver)
        raise


async def _roll_back(connection: AsyncConnection, driver: Any) -> None:
    """Leave no open transaction behind: roll back, or drop the connection.

    The driver is not asked whether there is one: of a statement that was cut off it does not know
    what it did. The caller hears why it came to this, not what then went wrong here.
    """
    try:
        async with asyncio.timeout(2):
            await driver.execute("ROLLBACK")
    except BaseException as error:
        await drop(connection, driver)
        if not isinstance(error, Exception):
            raise
