"""Holds whose time is over are released by the worker, once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest

from adapters.postgres.engine import make_engine
from adapters.postgres.ledger import PostgresExpiringHolds
from app.usecase.ledger.expire_hold import ExpireHold
from app.worker.hold_expiry import AT_ONCE, HoldExpiry
from domain.amount import Amount
from domain.ids import EntryId, TenantId, TransferId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer, TransferKind
from ports.errors import DatabaseBusy
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


@pytest.fixture
async def holds(platform: Platform) -> AsyncIterator[PostgresExpiringHolds]:
    engine = make_engine(platform.settings.work_database_url, pool_size=1)
    yield PostgresExpiringHolds(engine)
    await engine.dispose()


async def test_a_hold_is_released_once_its_time_is_over_and_not_before(
    platform: Platform, holds: PostgresExpiringHolds
) -> None:
    tenant_id, client = await platform.a_tenant()
    await client.deposit("", "10.00", "NGN")
    over = await a_hold(platform, tenant_id, lasts=timedelta(seconds=-1))
    assert await held(platform, tenant_id, over) == 100
    await a_hold(platform, tenant_id, lasts=timedelta(hours=1))
    expiry = HoldExpiry(holds, platform.container.expire_hold())

    await expiry()
    await expiry()

    assert await held(platform, tenant_id, over) == 100
    left = await platform.owner.fetchval(
        "SELECT count(*) FROM core.expiring_holds WHERE tenant_id = $1",
        TenantId.parse(tenant_id).uuid,
    )
    assert left == 1


async def over(
    platform: Platform, *, since: timedelta, holds: int = 1
) -> tuple[str, Callable[[], Awaitable[int]]]:
    """Make a tenant with holds whose time is over since then; also return how to see its held."""
    tenant_id, client = await platform.a_tenant()
    await client.deposit("", "1000.00", "NGN")
    keys = {await a_hold(platform, tenant_id, lasts=-since) for _ in range(holds)}
    return tenant_id, partial(held, platform, tenant_id, keys.pop())


async def test_holds_of_a_busy_account_keep_no_others_waiting(
    platform: Platform, holds: PostgresExpiringHolds
) -> None:
    """More of them than are looked at together, and all of them due before."""
    busy_id, busy = await over(platform, since=timedelta(minutes=2), holds=AT_ONCE + 1)
    _, other = await over(platform, since=timedelta(minutes=1))
    expiry = HoldExpiry(holds, platform.container.expire_hold())

    async with platform.owner.acquire() as somebody, somebody.transaction():
        await somebody.execute(
            "SELECT FROM core.accounts WHERE tenant_id = $1 FOR UPDATE",
            TenantId.parse(busy_id).uuid,
        )
        with pytest.raises(DatabaseBusy):
            await expiry()
        assert await other() == 0

    assert await busy() == 100 * (AT_ONCE + 1)
    assert not await expiry()
    assert await busy() == 0


@dataclass(frozen=True)
class Stumbling(ExpireHold):
    """Cannot deal with a tenant."""

    tenant_id: str = ""

    async def __call__(self, tenant_id: TenantId, transfer_id: TransferId) -> bool:
        if str(tenant_id) == self.tenant_id:
            raise KeyError(transfer_id)
        return await super().__call__(tenant_id, transfer_id)


async def test_a_bug_at_one_hold_is_told_and_keeps_no_others_waiting(
    platform: Platform, holds: PostgresExpiringHolds
) -> None:
    odd_id, odd = await over(platform, since=timedelta(minutes=2), holds=AT_ONCE + 1)
    _, other = await over(platform, since=timedelta(minutes=1))
    sound = platform.container.expire_hold()
    stumbling = Stumbling(sound.units_of_work, sound.ids, sound.announce, odd_id)

    with pytest.raises(KeyError):
        await HoldExpiry(holds, stumbling)()

    assert await other() == 0
    assert await odd() == 100 * (AT_ONCE + 1)
    await HoldExpiry(holds, sound)()
    assert await odd() == 0
