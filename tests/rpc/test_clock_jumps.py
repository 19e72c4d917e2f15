"""A clock that jumped ahead for a moment: what the platform makes ids for goes on all the same."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

import grpc
import pytest

from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from app.stack.postgres import PostgresServer
from domain.ids import EntryId, TransferId
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as pb
from reli.liquidity.v1 import lp_settlement_pb2
from reli.reconciliation.v1 import break_pb2
from tests.support.bank import Bank, a_bank
from tests.support.lp_settlements import an_lp_desk
from tests.support.platform import (
    Platform,
    a_platform,
    amount,
    new_request_id,
    refusal_in,
    refusal_of,
)
from tests.support.stack import a_database

JUMP: Final = timedelta(minutes=10)


class JumpyClock(SystemClock):
    """The machine's clock, which somebody may set ahead."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.fixture(scope="module")
async def clock() -> JumpyClock:
    return JumpyClock()


@pytest.fixture(scope="module")
async def running(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory, clock: JumpyClock
) -> AsyncIterator[Platform]:
    url = await a_database(postgres_server.url, "clock_jumps")
    async with a_platform(url, tmp_path_factory.mktemp("clock_jumps"), clock=clock) as running:
        yield running


@pytest.fixture
async def bank(running: Platform) -> Bank:
    return await a_bank(running)


def jump(running: Platform, clock: JumpyClock) -> None:
    """Set the clock ahead, have an id made, and set it right: later ids do not go back."""
    clock.ahead = JUMP
    latest = running.ids.new(EntryId)
    clock.ahead = timedelta()
    assert running.ids.new(EntryId).bytes > latest.bytes


def callers_entry(bank: Bank, *, ahead: timedelta = timedelta()) -> pb.NewEntry:
    clock = JumpyClock()
    clock.ahead = ahead
    ids = RandomIds(clock)
    return pb.NewEntry(
        entry_id=str(ids.new(EntryId)),
        transfers=[
            ledger_pb2.Transfer(
                id=str(ids.new(TransferId)),
                debit_account_id=bank.external,
                credit_account_id=bank.treasury,
                amount=amount("100.00", "NGN"),
            )
        ],
    )


async def create(bank: Bank, entry: pb.NewEntry) -> str:
    made = await bank.operator.ledger_admin.CreateEntry(
        pb.CreateEntryRequest(
            tenant_id=bank.tenant_id,
            entry_id=entry.entry_id,
            transfers=entry.transfers,
            request_id=new_request_id(),
        )
    )
    return str(made.entry.id)


async def test_an_entry_is_taken_back(running: Platform, bank: Bank, clock: JumpyClock) -> None:
    entry_id = await create(bank, callers_entry(bank))
    jump(running, clock)

    made = await bank.operator.ledger_admin.ReverseEntry(
        pb.ReverseEntryRequest(
            tenant_id=bank.tenant_id, entry_id=entry_id, request_id=new_request_id()
        )
    )

    assert made.entry.reverses_entry_id == entry_id


async def test_a_settlement_is_paid(running: Platform, clock: JumpyClock) -> None:
    desk = await an_lp_desk(running)
    entry = callers_entry(await a_bank(running))
    entry.transfers[0].debit_account_id = await desk.account("LP", desk.lp, "NGN")
    entry.transfers[0].credit_account_id = await desk.account("EXTERNAL", "elsewhere", "NGN")
    await desk.operator.ledger_admin.CreateEntries(
        pb.CreateEntriesRequest(tenant_id=desk.house_id, entries=[entry])
    )
    approved = await desk.approve(await desk.propose())
    jump(running, clock)

    settled = await desk.settle(approved)

    assert settled.state == lp_settlement_pb2.LP_SETTLEMENT_STATE_SETTLED


async def test_a_break_is_adjusted(running: Platform, bank: Bank, clock: JumpyClock) -> None:
    await bank.tell(("FT-1", "-100.00"), opening="0.00", closing="-100.00")
    (found,) = await bank.open_breaks()
    proposed = await bank.resolve(found, counter_account_id=bank.treasury)
    jump(running, clock)

    approved = await bank.approve(proposed)

    assert approved.state == break_pb2.BREAK_STATE_RESOLVED


async def test_a_callers_ids_are_still_held_to_the_clock_of_the_books(
    running: Platform, bank: Bank, clock: JumpyClock
) -> None:
    jump(running, clock)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(bank, callers_entry(bank, ahead=timedelta(minutes=2)))
    batch = await bank.operator.ledger_admin.CreateEntries(
        pb.CreateEntriesRequest(
            tenant_id=bank.tenant_id,
            entries=[callers_entry(bank, ahead=timedelta(minutes=2)), callers_entry(bank)],
        )
    )

    assert refusal_of(caught.value).reason == "ID_OUT_OF_WINDOW"
    refused, committed = batch.results
    assert refusal_in(refused.refusal).reason == "ID_OUT_OF_WINDOW"
    assert committed.outcome == pb.ENTRY_OUTCOME_COMMITTED
