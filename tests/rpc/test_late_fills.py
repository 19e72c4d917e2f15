"""What a venue executed after all is the house's, and told; nobody's trade changes for it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import grpc
import pytest

from app.audit.run import audit
from domain.amount import Amount
from domain.ids import BreakId, TenantId, TradeId
from reli.auth.v1 import access_pb2
from reli.event.v1 import event_pb2
from reli.reconciliation.v1 import break_pb2
from reli.reconciliation.v1 import reconciliation_service_pb2 as pb
from reli.trade.v1 import trade_pb2
from reli.trade.v1 import trade_service_pb2 as trade_pb
from reli.type.v1 import side_pb2
from tests.support.audit import assert_books_balance, rows_of, uuid_of
from tests.support.audited_books import follow_events
from tests.support.builders import BTC, NGN
from tests.support.platform import BUY, SELL, Client, Platform, Venue, new_request_id

SETTLED: Final = trade_pb2.TRADE_STATE_SETTLED
REJECTED: Final = trade_pb2.TRADE_STATE_REJECTED
OUTCOME_UNKNOWN: Final = trade_pb2.TRADE_STATE_OUTCOME_UNKNOWN

HIDDEN_MS: Final = 1_500
"""Long enough to be concluded absent in the meantime."""

BOTH_SIDES: Final = pytest.mark.parametrize("side", [BUY, SELL], ids=["buy", "sell"])


@dataclass(frozen=True)
class Desk:
    """A customer of a tenant of its own, with money of both kinds."""

    platform: Platform
    tenant_id: str
    client: Client
    customer_id: str

    async def lost(self, side: side_pb2.Side = BUY) -> trade_pb2.Trade:
        """Return a trade that alpha has filled and neither says nor shows it."""
        await self.platform.alpha.behave("late_fill", 1, late_ms=HIDDEN_MS)
        quote = await self.client.quote(self.customer_id, "0.01", side=side)
        trade = await self.client.accept(quote.id)
        assert trade.state == OUTCOME_UNKNOWN
        return trade

    async def concluded_absent(self, trade: trade_pb2.Trade) -> trade_pb2.Trade:
        """Return it after alpha's word that there is no such order has become conclusive."""
        trade_id = TradeId.parse(trade.id).uuid
        await self.platform.owner.execute(
            "UPDATE core.trade_queue SET due_at = core.now(), leased_until = core.now() "
            "WHERE trade_id = $1",
            trade_id,
        )
        await self.platform.owner.execute(
            "UPDATE core.attempts SET next_check_at = core.now(), "
            "lp_expires_at = core.now() - interval '60 s' WHERE trade_id = $1",
            trade_id,
        )
        await self.platform.run_due_trades()
        ended = await self.client.trade(trade.id)
        assert ended.attempts[0].state == trade_pb2.ATTEMPT_STATE_ABSENT
        return ended

    async def shown(self, trade: trade_pb2.Trade) -> None:
        """Wait until alpha shows what it executed."""
        async with asyncio.timeout(10):
            while not await self.platform.alpha.shows(  # noqa: ASYNC110 - only its clock tells
                trade.attempts[0].id
            ):
                await asyncio.sleep(0.02)

    async def breaks(self) -> list[break_pb2.Break]:
        listed = await self.platform.operator.reconciliation_admin.ListBreaks(
            pb.ListBreaksRequest(tenant_id=self.tenant_id)
        )
        return list(listed.breaks)

    async def executed(self, trade: trade_pb2.Trade) -> tuple[Amount, Amount, str]:
        (one,) = await self.platform.alpha.executions(trade.attempts[0].id)
        return (
            Amount.parse(one["base_amount"], BTC),
            Amount.parse(one["quote_amount"], NGN),
            one["order_id"],
        )

    async def steps(self, trade: trade_pb2.Trade) -> list[Any]:
        found: list[Any] = await self.platform.owner.fetch(
            "SELECT * FROM core.trade_transitions WHERE trade_id = $1 AND action = 'fill_late'",
            TradeId.parse(trade.id).uuid,
        )
        return found

    async def house(self) -> dict[tuple[str, str, str], int]:
        """Return the balances of the house's inventory and of its accounts at LPs."""
        rows = await self.platform.owner.fetch(
            "SELECT kind, owner, asset, credits_posted - debits_posted AS balance "
            "FROM core.accounts WHERE tenant_id = $1 AND kind IN ('inventory', 'lp')",
            self.platform.environment.house_id.uuid,
        )
        return {(row["kind"], row["owner"], row["asset"]): int(row["balance"]) for row in rows}


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    tenant_id, client = await platform.a_tenant(fee_bps=20, markup_bps=50)
    customer_id = (await client.create_customer()).id
    await client.deposit(customer_id, "100000000.00", "NGN")
    await client.deposit(customer_id, "1.00000000", "BTC")
    await follow_events(platform)
    yield Desk(platform, tenant_id, client, customer_id)
    for venue in (platform.alpha, platform.beta):
        await venue.behave_well()


@BOTH_SIDES
async def test_a_second_fill_is_a_break_and_the_trade_stays_settled_as_it_was(
    desk: Desk, side: side_pb2.Side
) -> None:
    trade = await desk.concluded_absent(await desk.lost(side))
    assert trade.state == SETTLED
    assert trade.attempts[-1].lp == "beta"
    await desk.shown(trade)
    books = await _books(desk)

    await desk.platform.look_late()

    assert await desk.client.trade(trade.id) == trade
    assert await _books(desk) == books
    base, quote, order_id = await desk.executed(trade)
    (found,) = await desk.breaks()
    assert (found.kind, found.trade_id) == ("LATE_FILL", trade.id)
    assert found.amount == found.late_fill.quote_amount
    assert found.late_fill.attempt_id == trade.attempts[0].id
    assert (found.late_fill.lp, found.late_fill.venue_order_id) == ("alpha", order_id)
    assert found.late_fill.side == side
    assert Amount.parse(found.late_fill.base_amount.value, BTC) == base
    assert Amount.parse(found.late_fill.quote_amount.value, NGN) == quote
    (step,) = await desk.steps(trade)
    assert (step["from_state"], step["to_state"], step["attempt"]) == ("absent", "absent", 1)
    assert (step["actor"], order_id in step["evidence"]) == ("work", True)
    assert step["correlation_id"]
    await assert_books_balance(desk.platform.owner, desk.tenant_id)


async def test_a_late_fill_of_a_rejected_trade_is_a_break_and_the_hold_stays_released(
    desk: Desk,
) -> None:
    await desk.platform.beta.behave("reject", 1)
    trade = await desk.concluded_absent(await desk.lost())
    assert trade.state == REJECTED
    await desk.shown(trade)

    await desk.platform.look_late()

    assert await desk.client.trade(trade.id) == trade
    assert len(await desk.breaks()) == 1
    assert await desk.client.balance(desk.customer_id, "NGN") == ("100000000.00", "0.00")


@BOTH_SIDES
async def test_the_house_takes_a_late_fill_over_as_inventory_once(
    desk: Desk, side: side_pb2.Side
) -> None:
    trade = await desk.concluded_absent(await desk.lost(side))
    await desk.shown(trade)
    await follow_events(desk.platform)
    before = await desk.house()

    await desk.platform.look_late()
    await follow_events(desk.platform)
    await desk.platform.look_late()
    await follow_events(desk.platform)

    after = await desk.house()
    changes = {key: after[key] - before.get(key, 0) for key in after}
    base, quote, _ = await desk.executed(trade)
    sign = 1 if side == BUY else -1
    assert {key: change for key, change in changes.items() if change} == {
        ("inventory", "", "BTC"): sign * base.units,
        ("inventory", "", "NGN"): -sign * quote.units,
        ("lp", "alpha", "BTC"): -sign * base.units,
        ("lp", "alpha", "NGN"): sign * quote.units,
    }
    await assert_books_balance(desk.platform.owner, str(desk.platform.environment.house_id))


async def test_the_break_is_told_with_what_was_executed(desk: Desk) -> None:
    trade = await desk.concluded_absent(await desk.lost())
    await desk.shown(trade)

    await desk.platform.look_late()

    (found,) = await desk.breaks()
    payloads = await desk.platform.owner.fetch(
        "SELECT payload FROM core.outbox WHERE tenant_id = $1 AND type = 'break.raised'",
        uuid_of(desk.tenant_id),
    )
    (event,) = [event_pb2.Event.FromString(row["payload"]) for row in payloads]
    found.ClearField("age")
    assert (event.subject, event.reconciliation_break) == (found.id, found)
    correlation_id = await desk.platform.owner.fetchval(
        "SELECT correlation_id FROM core.trades WHERE id = $1", TradeId.parse(trade.id).uuid
    )
    assert event.correlation_id == correlation_id


async def test_an_lp_that_shows_nothing_is_asked_as_often_as_planned_and_no_more(
    desk: Desk,
) -> None:
    await desk.platform.alpha.behave("cut_before_fill", 1)
    quote = await desk.client.quote(desk.customer_id, "0.01")
    trade = await desk.concluded_absent(await desk.client.accept(quote.id))
    check = await _late_check(desk, trade)
    assert (check["due_at"] - check["concluded_at"]).total_seconds() == 60
    for looks, ago in zip(count(1), ("61 s", "601 s", "3601 s"), strict=False):
        # A look happens at its time: the conclusion is that long ago.
        await desk.platform.owner.execute(
            f"UPDATE core.late_checks SET concluded_at = core.now() - interval '{ago}' "
            "WHERE trade_id = $1",
            TradeId.parse(trade.id).uuid,
        )

        await desk.platform.look_late()

        check = await _late_check(desk, trade)
        assert check["looks"] == looks
        assert (check["due_at"] is None) == (looks == 3)
    assert await desk.breaks() == []


async def test_an_lp_that_does_not_answer_is_asked_again_until_it_does(desk: Desk) -> None:
    trade = await desk.concluded_absent(await desk.lost())
    await desk.shown(trade)
    # Its quote's own clock decides nothing here: it is just not connected.
    lps: Any = desk.platform.work_container.look_late().providers
    alpha = lps.pop("alpha")
    try:
        for unanswered in (1, 2):
            await desk.platform.look_late()
            check = await _late_check(desk, trade)
            assert (check["looks"], check["unanswered"]) == (0, unanswered)
            assert check["due_at"] is not None
        assert await desk.breaks() == []
    finally:
        lps["alpha"] = alpha

    await desk.platform.look_late()

    assert len(await desk.breaks()) == 1
    assert (await _late_check(desk, trade))["due_at"] is None


async def test_what_two_operators_found_absent_is_looked_at_as_well(desk: Desk) -> None:
    trade = await desk.lost()
    house = str(desk.platform.environment.house_id)
    second = await desk.platform.a_client(house, [access_pb2.SCOPE_OPERATOR])
    proposed = await desk.platform.operator.trade_admin.ProposeResolution(
        trade_pb.ProposeResolutionRequest(
            tenant_id=desk.tenant_id,
            trade_id=trade.id,
            verdict=trade_pb2.RESOLUTION_VERDICT_NOT_FILLED,
            evidence="a statement that was not complete",
            request_id=new_request_id(),
        )
    )
    approved = await second.trade_admin.ApproveResolution(
        trade_pb.ApproveResolutionRequest(
            tenant_id=desk.tenant_id,
            trade_id=trade.id,
            resolution_id=proposed.resolution.id,
            request_id=new_request_id(),
        )
    )
    assert approved.trade.state == SETTLED
    await desk.shown(trade)

    await desk.platform.look_late()

    (found,) = await desk.breaks()
    assert found.late_fill.attempt_id == trade.attempts[0].id


async def test_workers_that_look_at_once_raise_one_break(desk: Desk) -> None:
    trade = await desk.concluded_absent(await desk.lost())
    await desk.shown(trade)

    await asyncio.gather(*(desk.platform.look_late() for _ in range(4)))

    assert len(await desk.breaks()) == 1
    assert len(await desk.steps(trade)) == 1


async def test_the_audit_holds_before_and_after_the_house_has_heard(desk: Desk) -> None:
    trade = await desk.concluded_absent(await desk.lost())
    await desk.shown(trade)
    checks = ("I5.fill", "I5.execution", "I11.break", "I16.looks", "I20.inventory", "I20.sum")

    async def broken() -> list[str]:
        report = await audit(desk.platform.settings.database_url, _venue_books(desk.platform))
        found = [
            violation
            for check in checks
            for violation in report[check].violations
            if trade.attempts[0].id in violation.id or "house" in violation.id
        ]
        return [f"{violation.table} {violation.found}" for violation in found]

    # What the venue executed is known to it alone, and nobody has looked yet.
    (unexplained,) = await broken()
    assert "no break" in unexplained

    await desk.platform.look_late()

    assert await broken() == []
    await follow_events(desk.platform)
    assert await broken() == []


async def test_breaks_are_listed_the_newest_first_page_by_page(desk: Desk) -> None:
    for _ in range(3):
        await desk.platform.alpha.behave("other_price_far", 1)
        quote = await desk.client.quote(desk.customer_id, "0.01")
        assert (await desk.client.accept(quote.id)).state == SETTLED
    found: list[break_pb2.Break] = []
    token = ""
    while True:
        page = await desk.platform.operator.reconciliation_admin.ListBreaks(
            pb.ListBreaksRequest(tenant_id=desk.tenant_id, page_size=1, page_token=token)
        )
        found += page.breaks
        token = page.next_page_token
        if not token:
            break

    assert [one.kind for one in found] == ["FILL_BEYOND_TOLERANCE"] * 3
    assert not any(one.HasField("late_fill") for one in found)
    ids = [BreakId.parse(one.id) for one in found]
    assert ids == sorted(ids, reverse=True)


async def test_a_tenant_sees_its_own_breaks_and_names_no_tenant(desk: Desk) -> None:
    await desk.platform.alpha.behave("other_price_far", 1)
    quote = await desk.client.quote(desk.customer_id, "0.01")
    assert (await desk.client.accept(quote.id)).state == SETTLED
    named = pb.ListBreaksRequest(tenant_id=desk.tenant_id)
    listed = await desk.platform.operator.reconciliation_admin.ListBreaks(named)

    own = await desk.client.reconciliation.ListBreaks(pb.ReconciliationServiceListBreaksRequest())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await desk.client.reconciliation_admin.ListBreaks(named)

    assert [one.id for one in own.breaks] == [one.id for one in listed.breaks] != []
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def _books(desk: Desk) -> dict[str, str]:
    """Return a hash of all rows of the tenant that money is in."""
    rows = await rows_of(desk.platform.owner, desk.tenant_id)
    return {table: rows[table] for table in ("accounts", "entries", "transfers", "resolutions")}


async def _late_check(desk: Desk, trade: trade_pb2.Trade) -> Any:
    return await desk.platform.owner.fetchrow(
        "SELECT * FROM core.late_checks WHERE tenant_id = $1 AND trade_id = $2",
        TenantId.parse(desk.tenant_id).uuid,
        TradeId.parse(trade.id).uuid,
    )


def _venue_books(platform: Platform) -> dict[str, str]:
    venues: tuple[Venue, ...] = (platform.alpha, platform.beta)
    return {venue.name: venue.admin_url for venue in venues}
