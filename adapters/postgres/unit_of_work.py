"""A unit of work is one transaction of one connection, opened in the scope of one tenant."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import Lent, borrowed_driver, lend
from adapters.postgres.errors import translated
from adapters.postgres.group_commit import Alone, GroupCommit
from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.repositories import PostgresUnitOfWork
from adapters.postgres.scope import Scope, tenant_lock
from domain.ids import TenantId
from ports.market import Market
from ports.unit_of_work import Result, UnitOfWork, UnitOfWorkFactory, Work


class PostgresUnitOfWorkFactory(UnitOfWorkFactory):
    """Opens units of work on the connections of one engine, and so of one database role."""

    def __init__(self, engine: AsyncEngine, market: Market, account_ids: AccountIdCache) -> None:
        self._engine = engine
        self._market = market
        self._account_ids = account_ids
        self._groups = GroupCommit(market, self.open_scope, self.lend, account_ids)

    @asynccontextmanager
    async def begin(self, tenant_id: TenantId) -> AsyncIterator[UnitOfWork]:
        async with self.open_scope(tenant_id) as scope:
            uow = PostgresUnitOfWork(scope, self._account_ids)
            yield uow
        uow.ledger.remember_opened()

    async def run(self, tenant_id: TenantId, work: Work[Result]) -> Result:
        try:
            return await self._groups.run(tenant_id, work)
        except Alone:
            async with self.begin(tenant_id) as uow:
                return await work(uow)

    def lend(self) -> AbstractAsyncContextManager[Any]:
        """Lend the driver of a connection, outside of any transaction."""
        return borrowed_driver(self._engine)

    @asynccontextmanager
    async def open_scope(self, tenant_id: TenantId) -> AsyncIterator[Scope]:
        """Open a transaction of the tenant that commits when the block ends."""
        catalogue = await self._market.catalogue()
        with translated():
            async with lend(self._engine) as lent:
                scope = Scope(tenant_id, lent, catalogue)
                async with _transaction(scope):
                    yield scope


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
        await _roll_back(scope.lent)
        raise


async def _roll_back(lent: Lent) -> None:
    """Leave no open transaction behind: roll back, or drop the connection.

    The driver is not asked whether there is one: of a statement that was cut off it does not know
    what it did. The caller hears why it came to this, not what then went wrong here.
    """
    try:
        async with asyncio.timeout(2):
            await lent.driver.execute("ROLLBACK")
    except BaseException as error:
        lent.drop()
        if not isinstance(error, Exception):
            raise
