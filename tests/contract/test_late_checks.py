"""What every queue of late checks does, and every store of breaks, whatever database is behind it.

A database joins by one more parameter of the fixture `rig`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import asyncpg
import pytest

from adapters.postgres.engine import make_engine
from adapters.postgres.late_check import PostgresLateCheckQueue
from domain.errors import VersionConflict
from domain.ids import AttemptId, BreakId, TenantId, TradeId
from domain.reconciliation.break_ import Break, BreakKind, LateFill
from domain.reconciliation.errors import BreakNotFound
from domain.trade.attempt import AttemptState
from domain.trade.errors import StaleLease
from domain.trade.late_check import LATE_LOOKS, LateCheck, plan_late_check
from domain.trade.outcome import Filled
from domain.trade.trade import Trade
from ports.late_check import LateCheckLease, LateCheckQueue
from ports.page import PageRequest
from ports.unit_of_work import UnitOfWork
from tests.support.platform import Client, Platform

LEASE: Final = timedelta(seconds=30)
NO_LEASE: Final = timedelta(0)


@dataclass(frozen=True)
class Rig:
    """A tenant with trades whose first attempt was concluded absent, by hand."""

    platform: Platform
    queue: LateCheckQueue
    tenant_id: TenantId
    client: Client
    customer_id: str

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self.platform.work_container.units_of_work().begin(self.tenant_id)

    async def an_absent_trade(self) -> Trade:
        """Return a trade that both LPs refused, one of which shall have lied."""
        quote = await self.client.quote(self.customer_id, "0.00007722")
        made = await self.client.accept(quote.id)
        trade_id = TradeId.parse(made.id)
        await self.platform.owner.execute(
            "UPDATE core.attempts SET state = 'absent' WHERE trade_id = $1 AND number = 1",
            trade_id.uuid,
        )
        return await self.trade(trade_id)

    async def trade(self, trade_id: TradeId) -> Trade:
        async with self.begin() as uow:
            return await uow.trades.get(trade_id)

    async def plan(self, trade: Trade, *, in_s: int = 0) -> LateCheck:
        """Store a check that is due in so many seconds."""
        async with self.begin() as uow:
            now = await uow.now()
            check = plan_late_check(trade.id, 1, LATE_LOOKS, concluded_at=now)
            check = replace(check, due_at=now + timedelta(seconds=in_s))
            await uow.late_checks.add(check)
        return check

    async def claim(
        self, *, lease_for: timedelta = LEASE, limit: int = 100
    ) -> list[LateCheckLease]:
        leases = await self.queue.claim(limit=limit, lease_for=lease_for)
        return [lease for lease in leases if lease.tenant_id == self.tenant_id]

    def a_break(self, trade: Trade, **changes: object) -> Break:
        found = Break(
            id=self.platform.ids.new(BreakId),
            tenant_id=self.tenant_id,
            kind=BreakKind.LATE_FILL,
            trade_id=trade.id,
            amount=trade.waterfall.lp,
            detail="alpha executed after all",
            raised_at=trade.accepted_at,
            late_fill=LateFill(
                attempt=1,
                attempt_id=trade.attempts[0].id,
                lp=trade.attempts[0].lp,
                side=trade.side,
                venue_order_id="alpha-7",
                base=trade.base_amount,
                quote=trade.waterfall.lp,
            ),
        )
        return replace(found, **changes)  # type: ignore[arg-type]


@pytest.fixture(params=["postgres"])
async def rig(platform: Platform) -> AsyncIterator[Rig]:
    tenant_id, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)
    engine = make_engine(platform.settings.work_database_url, pool_size=4)
    yield Rig(
        platform, PostgresLateCheckQueue(engine), TenantId.parse(tenant_id), client, customer_id
    )
    await engine.dispose()


async def test_what_is_due_is_leased_to_one_and_what_is_not_due_to_nobody(rig: Rig) -> None:
    due, not_due = await rig.an_absent_trade(), await rig.an_absent_trade()
    await rig.plan(due)
    await rig.plan(not_due, in_s=60)

    leases = [
        lease
        for claimed in await asyncio.gather(*(rig.claim() for _ in range(4)))
        for lease in claimed
    ]

    (lease,) = leases
    assert (lease.tenant_id, lease.trade_id, lease.attempt) == (rig.tenant_id, due.id, 1)
    assert await rig.claim() == []


async def test_a_check_is_read_and_saved_under_its_lease(rig: Rig) -> None:
    trade = await rig.an_absent_trade()
    check = await rig.plan(trade)
    (lease,) = await rig.claim()

    async with rig.begin() as uow:
        assert await uow.late_checks.get(lease) == check
        unanswered = check.go_unanswered(now=await uow.now())
        await uow.late_checks.save(unanswered, lease)

    assert await rig.claim() == [], "it is not due yet"
    async with rig.begin() as uow:
        assert await uow.late_checks.get(lease) == unanswered


async def test_who_lost_the_lease_neither_reads_nor_writes(rig: Rig) -> None:
    trade = await rig.an_absent_trade()
    check = await rig.plan(trade)
    (lost,) = await rig.claim(lease_for=NO_LEASE)
    (held,) = await rig.claim()
    assert held.token > lost.token

    with pytest.raises(StaleLease):
        async with rig.begin() as uow:
            await uow.late_checks.get(lost)
    with pytest.raises(StaleLease):
        async with rig.begin() as uow:
            await uow.late_checks.save(check.find_fill(), lost)

    async with rig.begin() as uow:
        assert await uow.late_checks.get(held) == check


async def test_what_is_done_is_never_due_again(rig: Rig) -> None:
    trade = await rig.an_absent_trade()
    check = await rig.plan(trade)
    (lease,) = await rig.claim(lease_for=NO_LEASE)

    async with rig.begin() as uow:
        await uow.late_checks.save(check.find_fill(), lease)

    assert await rig.claim() == []


async def test_a_late_fill_is_noted_in_the_history_with_a_version_of_its_own(rig: Rig) -> None:
    trade = await rig.an_absent_trade()
    fill = Filled(
        base=trade.base_amount,
        quote=trade.waterfall.lp,
        venue_order_id="alpha-7",
        evidence="status: filled",
    )
    noted = trade.fill_late(1, fill, actor="work")

    async with rig.begin() as uow:
        await uow.late_checks.note_fill(noted)

    assert await rig.trade(trade.id) == replace(trade, version=trade.version + 1)
    step = await rig.platform.owner.fetchrow(
        "SELECT * FROM core.trade_transitions WHERE trade_id = $1 AND action = 'fill_late'",
        trade.id.uuid,
    )
    assert (step["version"], step["ordinal"], step["attempt"]) == (trade.version + 1, 1, 1)
    assert (step["actor"], step["evidence"]) == ("work", "status: filled")
    assert step["correlation_id"] == trade.correlation_id
    with pytest.raises(VersionConflict):
        async with rig.begin() as uow:
            await uow.late_checks.note_fill(noted)


async def test_noting_a_late_fill_leaves_the_other_attempts_as_they_are(rig: Rig) -> None:
    trade = await rig.an_absent_trade()
    fill = Filled(
        base=trade.base_amount,
        quote=trade.waterfall.lp,
        venue_order_id="alpha-7",
        evidence="status: filled",
    )
    first, second = trade.attempts
    out_of_date = replace(trade, attempts=(first, replace(second, state=AttemptState.UNKNOWN)))

    async with rig.begin() as uow:
        await uow.late_checks.note_fill(out_of_date.fill_late(1, fill, actor="work"))

    assert (await rig.trade(trade.id)).attempts == trade.attempts


async def test_who_waits_for_a_trade_sees_what_became_of_its_attempts_meanwhile(rig: Rig) -> None:
    trade = await rig.an_absent_trade()

    async def read() -> Trade:
        async with rig.begin() as uow:
            return await uow.trades.get(trade.id, lock=True)

    connection = await asyncpg.connect(rig.platform.settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute(
                "UPDATE core.trades SET version = version + 1 WHERE id = $1", trade.id.uuid
            )
            await connection.execute(
                "UPDATE core.attempts SET reason = 'meanwhile' WHERE trade_id = $1", trade.id.uuid
            )
            reading = asyncio.create_task(read())
            while not await connection.fetchval(  # noqa: ASYNC110 - nobody tells that one waits
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
            ):
                await asyncio.sleep(0.01)
        found = await reading
    finally:
        await connection.close()

    assert found.version == trade.version + 1
    assert {attempt.reason for attempt in found.attempts} == {"meanwhile"}


async def test_a_break_is_read_as_it_was_stored(rig: Rig) -> None:
    trade = await rig.an_absent_trade()
    late = rig.a_break(trade)
    other = rig.a_break(
        trade,
        id=rig.platform.ids.new(BreakId),
        kind=BreakKind.FILL_BEYOND_TOLERANCE,
        amount=-trade.waterfall.lp,
        late_fill=None,
    )

    async with rig.begin() as uow:
        await uow.breaks.add(late)
        await uow.breaks.add(other)

    async with rig.begin() as uow:
        assert await uow.breaks.get(late.id) == late
        assert (await uow.breaks.list(PageRequest(size=10))).items == (other, late)
        page = await uow.breaks.list(PageRequest(size=1))
        assert page.items == (other,)
        rest = await uow.breaks.list(PageRequest(size=1, before=page.next_before))
        assert (rest.items, rest.next_before) == ((late,), None)


async def test_a_break_of_nobody_is_not_found(rig: Rig) -> None:
    with pytest.raises(BreakNotFound):
        async with rig.begin() as uow:
            await uow.breaks.get(rig.platform.ids.new(BreakId))


async def test_an_attempt_is_filled_late_once(rig: Rig) -> None:
    trade = await rig.an_absent_trade()
    async with rig.begin() as uow:
        await uow.breaks.add(rig.a_break(trade))

    with pytest.raises(asyncpg.UniqueViolationError):
        async with rig.begin() as uow:
            await uow.breaks.add(rig.a_break(trade))


async def test_a_break_names_an_attempt_that_there_is(rig: Rig) -> None:
    trade = await rig.an_absent_trade()
    fill = rig.a_break(trade).late_fill
    assert fill is not None
    nowhere = replace(fill, attempt=7, attempt_id=rig.platform.ids.new(AttemptId))

    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with rig.begin() as uow:
            await uow.breaks.add(rig.a_break(trade, late_fill=nowhere))
