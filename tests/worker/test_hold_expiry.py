"""Holds whose time is over are released by the worker, once."""

from datetime import timedelta

from adapters.postgres.engine import make_engine
from adapters.postgres.ledger import PostgresExpiringHolds
from app.worker.hold_expiry import HoldExpiry
from domain.amount import Amount
from domain.ids import EntryId, TenantId, TransferId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer, TransferKind
from tests.support.platform import Platform


async def a_hold(platform: Platform, tenant_id: str, *, lasts: timedelta) -> AccountKey:
    """Hold 1.00 NGN of the treasury and return the treasury's name."""
    tenant = TenantId.parse(tenant_id)
    new = platform.ids.new
    async with platform.container.units_of_work().begin(tenant) as uow:
        ngn = (await platform.container.market().catalogue()).assets["NGN"]
        treasury, outside = (
            AccountKey(AccountKind.TREASURY, ngn),
            AccountKey(AccountKind.EXTERNAL, ngn, "bank"),
        )
        accounts = await uow.ledger.open_accounts([treasury, outside])
        now = await uow.now()
        await uow.ledger.commit(
            Entry(
                id=new(EntryId),
                transfers=(
                    Transfer(
                        id=new(TransferId),
                        debit_account_id=accounts[treasury],
                        credit_account_id=accounts[outside],
                        amount=Amount(ngn, 100),
                        kind=TransferKind.PENDING,
                        expires_at=now + lasts,
                        purpose="withdrawal",
                    ),
                ),
                source=EntrySource.OPERATOR,
                reference="test",
                effective_at=now,
            )
        )
    return treasury


async def held(platform: Platform, tenant_id: str, key: AccountKey) -> int:
    async with platform.container.units_of_work().begin(TenantId.parse(tenant_id)) as uow:
        accounts = await uow.ledger.open_accounts([key])
        return (await uow.ledger.get_account(accounts[key])).held


async def test_a_hold_is_released_once_its_time_is_over_and_not_before(
    platform: Platform,
) -> None:
    tenant_id, client = await platform.a_tenant()
    await client.deposit("", "10.00", "NGN")
    over = await a_hold(platform, tenant_id, lasts=timedelta(seconds=-1))
    assert await held(platform, tenant_id, over) == 100
    await a_hold(platform, tenant_id, lasts=timedelta(hours=1))
    engine = make_engine(platform.settings.work_database_url, pool_size=1)
    expiry = HoldExpiry(PostgresExpiringHolds(engine), platform.container.expire_hold())

    await expiry()
    await expiry()

    assert await held(platform, tenant_id, over) == 100
    left = await platform.owner.fetchval(
        "SELECT count(*) FROM core.expiring_holds WHERE tenant_id = $1",
        TenantId.parse(tenant_id).uuid,
    )
    assert left == 1
    await engine.dispose()
