"""What the house and its LPs owe each other is seen, agreed on by two keys, and paid once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from domain.ids import EntryId, LpSettlementId
from reli.liquidity.v1 import lp_settlement_pb2
from reli.liquidity.v1 import lp_settlement_service_pb2 as pb
from reli.reconciliation.v1 import reconciliation_service_pb2 as reconciliation_pb
from reli.reconciliation.v1 import statement_pb2
from tests.support.audit import assert_books_balance
from tests.support.audited_books import follow_events
from tests.support.lp_settlements import RAIL, LpDesk, Settlement, an_lp_desk
from tests.support.platform import Platform, refusal_of
from tests.support.stage import until
from tests.support.statements import csv_statement

PROPOSED = lp_settlement_pb2.LP_SETTLEMENT_STATE_PROPOSED
APPROVED = lp_settlement_pb2.LP_SETTLEMENT_STATE_APPROVED
SETTLED = lp_settlement_pb2.LP_SETTLEMENT_STATE_SETTLED
CANCELED = lp_settlement_pb2.LP_SETTLEMENT_STATE_CANCELED


@pytest.fixture
async def desk(platform: Platform) -> LpDesk:
    return await an_lp_desk(platform)


async def reason_of(call: Awaitable[Any]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value).reason


def legs_of(settlement: Settlement) -> dict[str, str]:
    return {leg.amount.asset: leg.amount.value for leg in settlement.legs}


async def test_a_position_is_what_the_lp_owes_us_and_what_is_even_is_left_out(
    desk: LpDesk,
) -> None:
    assert await desk.positions() == {}

    await desk.owe("100.00")
    await desk.owe("-30.00")
    await desk.owe("-0.5", "BTC")
    await desk.owe("7.00", "KES")
    await desk.owe("-7.00", "KES")

    assert await desk.positions() == {"NGN": "70.00", "BTC": "-0.50000000"}


async def test_a_trade_leaves_the_lp_owing_what_was_bought_and_us_its_price(
    platform: Platform,
) -> None:
    alpha = await an_lp_desk(platform, "alpha")
    _, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)
    await follow_events(platform)
    before = Counter({asset: _units(value) for asset, value in (await alpha.positions()).items()})

    await client.accept((await client.quote(customer_id, "0.01")).id)
    await follow_events(platform)

    after = Counter({asset: _units(value) for asset, value in (await alpha.positions()).items()})
    after.subtract(before)
    assert {asset: units for asset, units in after.items() if units} == {
        "BTC": 1_000_000,
        "NGN": -150_300_000,
    }


def _units(value: str) -> int:
    return int(value.replace(".", ""))


async def test_a_settlement_is_proposed_approved_by_a_second_key_and_paid_by_an_entry_per_asset(
    desk: LpDesk,
) -> None:
    await desk.owe("100.00")
    await desk.owe("-0.5", "BTC")

    proposed = await desk.propose(note="end of the week")
    assert proposed.state == PROPOSED
    assert (proposed.lp, proposed.rail, proposed.note) == (desk.lp, RAIL, "end of the week")
    assert legs_of(proposed) == {"NGN": "100.00", "BTC": "-0.50000000"}
    approved = await desk.approve(proposed)
    assert approved.state == APPROVED
    assert approved.approved_by not in ("", approved.proposed_by)
    assert await desk.positions() == legs_of(proposed), "nothing is booked yet"
    settled = await desk.settle(approved, "PAY-7")

    assert (settled.state, settled.reference) == (SETTLED, "PAY-7")
    assert await desk.positions() == {}
    assert await desk.get(settled) == settled
    for leg in settled.legs:
        entry = await desk.entry(leg)
        [transfer] = entry.transfers
        lp = await desk.account("LP", desk.lp, leg.amount.asset)
        rail = await desk.account("EXTERNAL", RAIL, leg.amount.asset)
        sides = (rail, lp) if leg.amount.asset == "NGN" else (lp, rail)
        assert (transfer.debit_account_id, transfer.credit_account_id) == sides
        assert transfer.amount.value == leg.amount.value.removeprefix("-")
        assert (entry.description, transfer.purpose) == ("PAY-7", "lp_settlement")
        assert settled.end_time.ToNanoseconds() >= entry.record_time.ToNanoseconds()
    await assert_books_balance(desk.platform.owner, desk.house_id)


async def test_it_nets_what_was_recorded_by_an_instant(desk: LpDesk) -> None:
    early = await desk.owe("100.00")
    await desk.owe("50.00")

    proposed = await desk.propose(as_of_time=early.record_time)

    assert legs_of(proposed) == {"NGN": "100.00"}
    assert proposed.as_of_time == early.record_time
    await desk.settle(await desk.approve(proposed))
    assert await desk.positions() == {"NGN": "50.00"}


async def test_its_entries_get_their_ids_when_it_is_paid_which_may_be_days_later(
    desk: LpDesk,
) -> None:
    await desk.owe("100.00")
    approved = await desk.approve(await desk.propose())
    assert [leg.entry_id for leg in approved.legs] == [""]

    settled = await desk.settle(approved)

    [leg] = settled.legs
    assert EntryId.parse(leg.entry_id).created_ms >= settled.approve_time.ToMilliseconds()


async def test_who_proposed_it_cannot_approve_it(desk: LpDesk) -> None:
    await desk.owe("1.00")
    proposed = await desk.propose()

    assert (
        await reason_of(desk.approve(proposed, by=desk.operator))
        == "LP_SETTLEMENT_SECOND_KEY_REQUIRED"
    )
    assert await desk.get(proposed) == proposed


async def test_what_is_not_approved_is_not_paid(desk: LpDesk) -> None:
    await desk.owe("1.00")
    proposed = await desk.propose()

    assert await reason_of(desk.settle(proposed)) == "ILLEGAL_TRANSITION"
    assert await desk.positions() == {"NGN": "1.00"}


async def test_it_is_paid_once_however_often_and_however_many_say_so(desk: LpDesk) -> None:
    await desk.owe("1.00")
    approved = await desk.approve(await desk.propose())

    answers = await asyncio.gather(
        *(desk.settle(approved) for _ in range(6)),
        *(desk.settle(approved, request_id=approved.id) for _ in range(2)),
        return_exceptions=True,
    )

    refusals = [refusal_of(one) for one in answers if isinstance(one, grpc.aio.AioRpcError)]
    settled = [one for one in answers if not isinstance(one, BaseException)]
    assert len(refusals) + len(settled) == 8
    assert {one.reason for one in refusals} <= {"ILLEGAL_TRANSITION", "REQUEST_IN_PROGRESS"}
    assert all(one == settled[0] for one in settled)
    assert await desk.positions() == {}
    assert await reason_of(desk.settle(approved)) == "ILLEGAL_TRANSITION"
    assert await reason_of(desk.cancel(approved)) == "ILLEGAL_TRANSITION"


async def test_an_lp_has_one_open_settlement_until_it_is_canceled(desk: LpDesk) -> None:
    await desk.owe("1.00")
    first = await desk.propose()
    assert await reason_of(desk.propose()) == "LP_SETTLEMENT_OPEN"

    canceled = await desk.cancel(await desk.approve(first))

    assert canceled.state == CANCELED
    assert await reason_of(desk.settle(canceled)) == "ILLEGAL_TRANSITION"
    assert (await desk.propose()).state == PROPOSED


async def test_positions_that_were_paid_are_not_counted_again(desk: LpDesk) -> None:
    owed = await desk.owe("1.00")
    settled = await desk.settled()

    assert await reason_of(desk.propose(as_of_time=owed.record_time)) == "LP_SETTLEMENT_OVERLAPS"
    assert await reason_of(desk.propose(as_of_time=settled.end_time)) == "LP_SETTLEMENT_EMPTY"
    await desk.owe("-2.00")
    assert legs_of(await desk.propose()) == {"NGN": "-2.00"}


async def test_whoever_proposes_while_another_one_is_paid_counts_nothing_twice(
    desk: LpDesk,
) -> None:
    owed = await desk.owe("1.00")
    approved = await desk.approve(await desk.propose())
    id = LpSettlementId.parse(approved.id).uuid
    legs = "UPDATE core.lp_settlement_legs SET entry_id = {} WHERE settlement_id = $1"
    async with desk.platform.owner.acquire() as payment:
        paid = payment.transaction()
        await paid.start()
        await payment.execute(
            "UPDATE core.lp_settlements SET state = 'settled', reference = 'PAY-1', "
            "evidence = 'line 7', ended_by = proposed_by, ended_at = core.now() WHERE id = $1",
            id,
        )
        await payment.execute(legs.format("uuidv7()"), id)
        proposing = asyncio.create_task(desk.propose(as_of_time=owed.record_time))

        async def waits() -> bool:
            return bool(
                await desk.platform.owner.fetchval(
                    "SELECT true FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))",
                    payment.get_server_pid(),
                )
            )

        await until(waits, "the proposal waits for the payment")
        await paid.commit()

        assert await reason_of(proposing) == "LP_SETTLEMENT_OVERLAPS"
        await payment.execute(
            "UPDATE core.lp_settlements SET state = 'approved', reference = '', evidence = '', "
            "ended_by = NULL, ended_at = NULL WHERE id = $1",
            id,
        )
        await payment.execute(legs.format("NULL"), id)
    await desk.settle(approved)
    assert await desk.positions() == {}


async def test_where_nothing_is_owed_there_is_nothing_to_settle(desk: LpDesk) -> None:
    assert await reason_of(desk.propose()) == "LP_SETTLEMENT_EMPTY"


async def test_an_instant_of_the_future_is_refused(desk: LpDesk) -> None:
    await desk.owe("1.00")
    tomorrow = Timestamp()
    tomorrow.FromDatetime(datetime.now(UTC) + timedelta(days=1))

    assert await reason_of(desk.propose(as_of_time=tomorrow)) == "INVALID_ARGUMENT"


async def test_the_same_proposal_again_is_the_same_settlement(desk: LpDesk) -> None:
    await desk.owe("1.00")

    first, again = [await desk.propose(request_id=f"again-{desk.lp}"[:64]) for _ in range(2)]

    assert first == again


async def test_settlements_are_listed_by_lp_the_newest_first(desk: LpDesk) -> None:
    other = await an_lp_desk(desk.platform)
    made = []
    for one in (desk, other, desk):
        await one.owe("1.00")
        made.append(await one.settled())

    async def page(lp: str, token: str = "") -> pb.ListLpSettlementsResponse:
        listed: pb.ListLpSettlementsResponse = (
            await desk.operator.lp_settlement_admin.ListLpSettlements(
                pb.ListLpSettlementsRequest(lp=lp, page_size=1, page_token=token)
            )
        )
        return listed

    first = await page(desk.lp)
    second = await page(desk.lp, first.next_page_token)
    assert [*first.settlements, *second.settlements] == [made[2], made[0]]
    assert second.next_page_token == ""
    assert list((await page("")).settlements) == [made[2]]


async def test_the_lps_statement_of_the_payment_matches_its_entry_by_the_reference(
    desk: LpDesk,
) -> None:
    started = datetime.now(UTC)
    await desk.owe("100.00")
    await desk.settled("PAY-42")
    now = datetime.now(UTC)

    imported = await desk.operator.reconciliation_admin.ImportStatement(
        reconciliation_pb.ImportStatementRequest(
            tenant_id=desk.house_id,
            source=statement_pb2.Source(kind=statement_pb2.SOURCE_KIND_LP, name=desk.lp),
            format=statement_pb2.STATEMENT_FORMAT_CSV,
            content=csv_statement(
                started - timedelta(minutes=1),
                now + timedelta(minutes=1),
                [("TX-9", "PAY-42", now, "NGN", "-100.00")],
            ),
        )
    )

    assert imported.statement.matched_lines == 2, "the line and the entry's"
    assert imported.statement.breaks_raised == 0


async def test_only_an_operator_sees_or_settles_anything(platform: Platform, desk: LpDesk) -> None:
    await desk.owe("1.00")
    settlement = await desk.propose()
    _, client = await platform.a_tenant()
    stranger = LpDesk(replace(platform, operator=client), client, desk.lp)

    for call in (
        stranger.positions(),
        stranger.propose(),
        stranger.approve(settlement),
        stranger.settle(settlement),
        stranger.cancel(settlement),
        stranger.get(settlement),
    ):
        assert await reason_of(call) == "OPERATOR_ONLY"
