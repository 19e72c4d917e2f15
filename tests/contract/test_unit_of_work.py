"""What every unit of work does, whatever database is behind it.

A database joins by one more parameter of the fixture `rig`.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from time import monotonic

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from adapters.postgres.engine import make_engine
from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.market import PostgresMarket
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from adapters.system.clock import SystemClock
from domain.errors import VersionConflict
from domain.ids import CustomerId, QuoteId, TenantId
from domain.tenant.customer import Customer, CustomerAction
from domain.tenant.errors import CustomerExists, CustomerNotFound, TenantExists, TenantNotFound
from domain.tenant.tenant import Tenant, TenantSettings
from ports.errors import DatabaseBusy, DatabaseUnavailable
from ports.page import PageRequest
from ports.request import RequestIdReused, RequestKey
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from tests.support.platform import Platform

NAME = "test unit of work"
CONNECTIONS = 4


@dataclass(frozen=True)
class Rig:
    """Units of work of a tenant, and a look at what they leave behind."""

    units_of_work: UnitOfWorkFactory
    tenant_id: TenantId
    platform: Platform
    engine: AsyncEngine

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self.units_of_work.begin(self.tenant_id)

    def a_customer(self, external_id: str = "") -> Customer:
        id = self.platform.ids.new(CustomerId)
        return Customer(id=id, tenant_id=self.tenant_id, external_id=external_id or str(id))

    async def add(self, customer: Customer) -> Customer:
        async with self.begin() as uow:
            await uow.customers.add(customer)
        return customer

    async def knows(self, customer: Customer) -> bool:
        async with self.begin() as uow:
            try:
                return await uow.customers.get(customer.id) == customer
            except CustomerNotFound:
                return False

    async def assert_clean(self) -> None:
        """Assert that no connection is out, and that none has a transaction open."""
        pool = self.engine.sync_engine.pool
        assert isinstance(pool, QueuePool)
        assert pool.checkedout() == 0
        open_transactions = await self.platform.owner.fetch(
            """SELECT state, query FROM pg_stat_activity
            WHERE application_name = $1 AND xact_start IS NOT NULL""",
            NAME,
        )
        assert open_transactions == []


@pytest.fixture(params=["postgres"])
async def rig(platform: Platform, app_database_url: str) -> AsyncIterator[Rig]:
    tenant_id, _ = await platform.a_tenant()
    engine = make_engine(app_database_url, pool_size=CONNECTIONS, name=NAME)
    market = PostgresMarket(engine, SystemClock())
    units_of_work = PostgresUnitOfWorkFactory(engine, market, AccountIdCache())
    yield Rig(units_of_work, TenantId.parse(tenant_id), platform, engine)
    await engine.dispose()


async def test_what_was_written_is_there_when_the_block_has_ended(rig: Rig) -> None:
    customer = rig.a_customer()

    async with rig.begin() as uow:
        assert uow.tenant_id == rig.tenant_id
        await uow.customers.add(customer)
        assert await uow.customers.get(customer.id) == customer, "it sees what it wrote"
        assert not await rig.knows(customer), "nobody else does yet"

    assert await rig.knows(customer)
    await rig.assert_clean()


@pytest.mark.parametrize(
    "error", [CustomerExists("no"), ZeroDivisionError(), KeyboardInterrupt()], ids=repr
)
async def test_what_was_written_is_gone_when_the_block_raises(
    rig: Rig, error: BaseException
) -> None:
    customer = rig.a_customer()

    async def work() -> None:
        async with rig.begin() as uow:
            await uow.customers.add(customer)
            raise error

    with pytest.raises(type(error)) as caught:
        await work()

    assert caught.value is error
    assert not await rig.knows(customer)
    await rig.assert_clean()


async def test_a_unit_of_work_that_is_canceled_leaves_nothing_behind(rig: Rig) -> None:
    customer = rig.a_customer()
    is_added = asyncio.Event()

    async def work() -> None:
        async with rig.begin() as uow:
            await uow.customers.add(customer)
            is_added.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await is_added.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not await rig.knows(customer)
    await rig.assert_clean()


async def test_canceled_at_any_moment_all_of_it_is_there_or_nothing(rig: Rig) -> None:
    chance = random.Random(5)
    pairs = [(rig.a_customer(), rig.a_customer()) for _ in range(60)]

    async def work(first: Customer, second: Customer) -> None:
        async with rig.begin() as uow:
            await uow.customers.add(first)
            await uow.customers.list(PageRequest(size=1))
            await uow.customers.add(second)

    started_at = monotonic()
    for _ in range(5):
        await rig.engine.dispose()  # who comes after a canceled one often connects anew
        await work(rig.a_customer(), rig.a_customer())
    whole_s = (monotonic() - started_at) / 5
    ends: list[BaseException | None] = []
    for pair in pairs:
        task = asyncio.create_task(work(*pair))
        await asyncio.sleep(chance.uniform(0, 1.5 * whole_s))
        task.cancel()
        ends += await asyncio.gather(task, return_exceptions=True)

    assert asyncio.CancelledError in {type(end) for end in ends}
    assert {type(end) for end in ends} <= {asyncio.CancelledError, type(None)}
    await rig.assert_clean()
    for (first, second), end in zip(pairs, ends, strict=True):
        is_there = await rig.knows(first)
        assert await rig.knows(second) == is_there
        if end is None:
            assert is_there
    await rig.assert_clean()


@pytest.mark.parametrize("gives_up", ["canceled", "too late"])
async def test_who_gives_up_before_the_block_begins_leaves_no_transaction_open(
    rig: Rig, gives_up: str
) -> None:
    async def work() -> None:
        async with rig.begin():
            raise AssertionError("the tenant is somebody's alone")

    async with rig.begin() as uow:
        await uow.tenants.wait_until_alone()
        task = asyncio.create_task(work())
        if gives_up == "canceled":
            await asyncio.wait({task}, timeout=0.1)
            task.cancel()
        (end,) = await asyncio.gather(task, return_exceptions=True)

    expected = asyncio.CancelledError if gives_up == "canceled" else DatabaseBusy
    assert isinstance(end, expected)
    await rig.assert_clean()


async def test_after_a_broken_statement_the_connection_is_clean(rig: Rig) -> None:
    taken = await rig.add(rig.a_customer())
    other = rig.a_customer()

    async def work() -> None:
        async with rig.begin() as uow:
            await uow.customers.add(other)
            await uow.customers.add(rig.a_customer(taken.external_id))

    with pytest.raises(CustomerExists):
        await work()

    assert not await rig.knows(other)
    await rig.assert_clean()


async def test_a_connection_that_dies_is_said_to_be_unavailable_and_replaced(rig: Rig) -> None:
    customer = rig.a_customer()

    async def work() -> None:
        async with rig.begin() as uow:
            await uow.customers.add(customer)
            await rig.platform.owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = $1",
                NAME,
            )
            await uow.customers.get(customer.id)

    with pytest.raises(DatabaseUnavailable):
        await work()

    assert not await rig.knows(customer)
    await rig.assert_clean()


async def test_who_waits_too_long_for_a_lock_is_told_that_the_database_is_busy(rig: Rig) -> None:
    async with rig.begin() as holder:
        await holder.tenants.get(lock=True)

        with pytest.raises(DatabaseBusy):
            async with rig.begin() as uow:
                await uow.tenants.get(lock=True)
    await rig.assert_clean()


async def test_who_waits_too_long_for_a_connection_is_told_that_the_database_is_busy(
    rig: Rig,
) -> None:
    let_go = asyncio.Event()
    holding = [asyncio.Event() for _ in range(CONNECTIONS)]

    async def hold(is_held: asyncio.Event) -> None:
        async with rig.begin():
            is_held.set()
            await let_go.wait()

    holders = [asyncio.create_task(hold(is_held)) for is_held in holding]
    await asyncio.gather(*(is_held.wait() for is_held in holding))
    with pytest.raises(DatabaseBusy):
        async with rig.begin():
            pass
    let_go.set()
    await asyncio.gather(*holders)

    await rig.assert_clean()


async def test_a_locked_row_is_read_as_its_last_holder_left_it(rig: Rig) -> None:
    customer = await rig.add(rig.a_customer())
    suspended = customer.advance(CustomerAction.SUSPEND)
    is_locked = asyncio.Event()

    async def read() -> Customer:
        async with rig.begin() as uow:
            assert await uow.customers.get(customer.id) == customer
            is_locked.set()
            return await uow.customers.get(customer.id, lock=True)

    async with rig.begin() as uow:
        await uow.customers.get(customer.id, lock=True)
        reading = asyncio.create_task(read())
        await is_locked.wait()
        await uow.customers.save(suspended)

    assert await reading == suspended


async def test_the_clock_goes_on_inside_a_unit_of_work(rig: Rig) -> None:
    async with rig.begin() as uow:
        readings = [await uow.now() for _ in range(3)]

    assert readings == sorted(set(readings))
    assert all(reading.tzinfo is not None for reading in readings)


async def test_of_two_who_change_the_same_version_the_second_is_refused(rig: Rig) -> None:
    customer = await rig.add(rig.a_customer())
    changed = customer.advance(CustomerAction.SUSPEND)
    async with rig.begin() as uow:
        await uow.customers.save(changed)

    with pytest.raises(VersionConflict):
        async with rig.begin() as uow:
            await uow.customers.save(replace(changed, external_id="lost"))

    assert await rig.knows(changed)


async def test_a_slug_is_taken_once_over_all_tenants(rig: Rig) -> None:
    tenants = [
        Tenant(
            id=rig.platform.ids.new(TenantId),
            slug=f"slug-{rig.tenant_id}".replace("_", "-"),
            display_name="One",
            branding={},
            settings=TenantSettings(),
        )
        for _ in range(2)
    ]

    async with rig.units_of_work.begin(tenants[0].id) as uow:
        await uow.tenants.add(tenants[0])
        assert await uow.tenants.get() == tenants[0]
    with pytest.raises(TenantExists):
        async with rig.units_of_work.begin(tenants[1].id) as uow:
            await uow.tenants.add(tenants[1])
    with pytest.raises(TenantNotFound):
        async with rig.units_of_work.begin(tenants[1].id) as uow:
            await uow.tenants.get()


async def test_a_request_is_known_if_and_only_if_its_unit_of_work_committed(rig: Rig) -> None:
    key, resource = _key(rig), rig.platform.ids.new(QuoteId).uuid

    async def work() -> None:
        async with rig.begin() as uow:
            assert await uow.requests.claim(key, resource) is None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    async with rig.begin() as uow:
        assert await uow.requests.find(key) is None
        assert await uow.requests.claim(key, resource) is None
    async with rig.begin() as uow:
        known = await uow.requests.claim(key, rig.platform.ids.new(QuoteId).uuid)
        assert known is not None and known.resource_id == resource
        assert await uow.requests.find(key) == known

    other = replace(key, fingerprint=bytes(32))
    with pytest.raises(RequestIdReused):
        async with rig.begin() as uow:
            await uow.requests.find(other)
    with pytest.raises(RequestIdReused):
        async with rig.begin() as uow:
            await uow.requests.claim(other, resource)


async def test_a_request_waits_for_the_first_of_its_id_and_hears_what_became_of_it(
    rig: Rig,
) -> None:
    key, resource = _key(rig), rig.platform.ids.new(QuoteId).uuid

    async def repeat() -> object:
        async with rig.begin() as uow:
            return await uow.requests.claim(key, rig.platform.ids.new(QuoteId).uuid)

    async with rig.begin() as uow:
        await uow.requests.claim(key, resource)
        repeating = [asyncio.create_task(repeat()) for _ in range(CONNECTIONS - 1)]
        done, _ = await asyncio.wait(repeating, timeout=0.1)
        assert not done

    async with rig.begin() as uow:
        known = await uow.requests.find(key)
    assert await asyncio.gather(*repeating) == [known] * len(repeating)


def _key(rig: Rig) -> RequestKey:
    return RequestKey(
        rpc="a/method", request_id=str(rig.platform.ids.new(QuoteId)), fingerprint=bytes(range(32))
    )
