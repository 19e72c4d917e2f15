"""What a statement names is read by key, whatever statistics say of the tenant."""

from typing import Final

import pytest

from domain.ledger.account import AccountKey, AccountKind
from ports.unit_of_work import UnitOfWork
from tests.support.builders import NGN
from tests.support.ledger_rig import Rig, a_rig
from tests.support.platform import Platform

MANY: Final = 3_000
FEW: Final = 100
READ: Final = """
SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0)::bigint FROM pg_stat_xact_user_tables
WHERE relid IN ('core.accounts'::regclass, 'core.customers'::regclass)
"""
ADD_ACCOUNTS: Final = """
INSERT INTO core.accounts (tenant_id, id, kind, owner, asset, overdraft_limit, created_at)
SELECT coalesce($1, gen_random_uuid()), uuidv7(), 'customer', gen_random_uuid()::text, 'NGN', 0,
    core.now()
FROM generate_series(1, $2::int)
"""
ADD_CUSTOMERS: Final = """
INSERT INTO core.customers (tenant_id, id, external_id, state, created_at)
SELECT coalesce($1, gen_random_uuid()), uuidv7(), gen_random_uuid()::text, 'active', core.now()
FROM generate_series(1, $2::int)
"""
SOME_CUSTOMERS: Final = (
    "SELECT array_agg(id) FROM (SELECT id FROM core.customers WHERE tenant_id = $1 LIMIT 3) AS c"
)


@pytest.fixture(scope="module", params=["nobody counted", "most tenants have one of"])
async def rig(own_platform: Platform, request: pytest.FixtureRequest) -> Rig:
    """A tenant with many accounts and customers, among as many tenants that have one each."""
    rig = await a_rig(own_platform)
    async with own_platform.owner.acquire() as owner, owner.transaction():
        for table in ("accounts", "customers"):
            await owner.execute(f"ALTER TABLE core.{table} SET (autovacuum_enabled = false)")
        # Tenants that are not there.
        await owner.execute("SET LOCAL session_replication_role = replica")
        for tenant_id in (rig.tenant_id.uuid, None):
            await owner.execute(ADD_ACCOUNTS, tenant_id, MANY)
            await owner.execute(ADD_CUSTOMERS, tenant_id, MANY)
    if request.param != "nobody counted":
        await own_platform.owner.execute("ANALYZE core.accounts, core.customers")
    return rig


async def test_accounts_of_an_entry_are_read_by_key(rig: Rig) -> None:
    async with rig.begin() as uow:
        await uow.ledger.commit_all([rig.entry(rig.transfer("lp", "ada")) for _ in range(3)])

        assert await rows_read(uow) < FEW


async def test_accounts_are_found_by_name_alone(rig: Rig) -> None:
    async with rig.begin() as uow:
        names = [AccountKey(AccountKind.CUSTOMER, NGN, f"customer {n}") for n in range(5)]
        await uow.ledger.open_accounts(names)

        assert await rows_read(uow) < FEW


async def test_customers_who_act_are_read_by_key(rig: Rig) -> None:
    some = await rig.platform.owner.fetchval(SOME_CUSTOMERS, rig.tenant_id.uuid)
    async with rig.begin() as uow:
        driver = uow.ledger._scope.driver  # type: ignore[attr-defined]
        assert await driver.fetchval("SELECT core.require_acting($1, $2)", rig.tenant_id.uuid, some)

        assert await rows_read(uow) < FEW


async def rows_read(uow: UnitOfWork) -> int:
    read: int = await uow.ledger._scope.driver.fetchval(READ)  # type: ignore[attr-defined]
    return read
