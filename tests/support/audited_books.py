"""A database of its own whose books hold all that the platform can do, for an audit to look at."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import grpc
import pytest

from adapters.postgres.consumer import PostgresEventFeed
from adapters.postgres.engine import make_engine
from app.usecase.house.mirror_trades import CONSUMER as HOUSE_BOOK
from app.usecase.trade.make_receipts import CONSUMER as RECEIPTS
from app.worker.dead_letter_replay import DeadLetterReplay
from app.worker.event_follower import EventFollower
from domain.amount import Amount
from domain.ids import ApiKeyId, EntryId, TenantId, TradeId, TransferId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer, TransferKind
from reli.auth.v1 import access_pb2
from reli.event.v1 import event_service_pb2 as event_pb
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.sandbox.v1 import sandbox_service_pb2 as sandbox_pb
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.trade.v1 import trade_pb2
from reli.trade.v1 import trade_service_pb2 as trade_pb
from tests.support.audit_log import number_audit_records
from tests.support.busy_tenant import BusyTenant, a_busy_tenant
from tests.support.chain import chain_books
from tests.support.closes import close_today
from tests.support.dead_letters import a_dead_letter
from tests.support.event_log import stamp_events
from tests.support.lp_settlements import an_lp_desk
from tests.support.platform import (
    SELL,
    Client,
    Platform,
    a_platform,
    amount,
    new_request_id,
    refusal_of,
)

_BEHIND: Final = """
SELECT coalesce(sum(h.last - coalesce(p.sequence, 0)), 0) FROM core.event_heads AS h
LEFT JOIN core.consumer_positions AS p ON p.consumer = $1 AND p.source_tenant_id = h.tenant_id
"""

SETTLED = trade_pb2.TRADE_STATE_SETTLED
REJECTED = trade_pb2.TRADE_STATE_REJECTED
UNKNOWN = trade_pb2.TRADE_STATE_OUTCOME_UNKNOWN

HIDDEN_MS = 1_500
"""Long enough to be concluded absent in the meantime."""


@dataclass(frozen=True)
class AuditedBooks:
    """Attributes:
    settled: a bought trade at the quoted price, of a customer.
    rejected: a trade that both LPs refused.
    failed_over: a trade that the second LP filled.
    unknown: a trade whose outcome nobody knows.
    late_fill: the break of what the first LP showed after the second one had filled the trade.
    hold: an operator's hold that expires in a day.
    """

    platform: Platform
    url: str
    tenant: BusyTenant
    other_tenant_id: UUID
    settled: UUID
    rejected: UUID
    failed_over: UUID
    unknown: UUID
    late_fill: UUID
    hold: UUID

    @property
    def venue_books(self) -> dict[str, str]:
        return {venue.name: venue.admin_url for venue in (self.platform.alpha, self.platform.beta)}


@asynccontextmanager
async def audited_books(url: str, home: Path) -> AsyncIterator[AuditedBooks]:
    async with a_platform(url, home) as platform:
        tenant = await a_busy_tenant(platform)
        other_id, other = await platform.a_tenant(fee_bps=10, markup_bps=30)
        await _settle_all_ways(platform, other)
        await close_today(platform, other_id)
        await _resolve(platform, other_id, other)
        await _fill_late(platform, other)
        await _holds(platform, other_id)
        await _reverse_one(platform, other_id, other)
        await _refusals(other)
        await _halt_and_resume(platform, other_id)
        await _settle_with_an_lp(platform)
        await follow_events(platform)
        await _replay_one(platform, tenant)
        await follow_events(platform)
        await chain_books(platform)
        await _rotate_a_key(other)
        await number_audit_records(platform)
        # Nobody works here; a trade that nobody knows about waits for its next check for a day.
        for queue in ("trade_queue", "late_checks WHERE due_at IS NOT NULL"):
            table, _, condition = queue.partition(" ")
            await platform.owner.execute(
                f"UPDATE core.{table} SET due_at = core.now() + interval '1 day' {condition}"
            )
        yield AuditedBooks(
            platform=platform,
            url=url,
            tenant=tenant,
            other_tenant_id=TenantId.parse(other_id).uuid,
            settled=await _trade(platform, "t.state = 'settled' AND t.lp_units = a.filled_units"),
            rejected=await _trade(platform, "t.state = 'rejected'"),
            failed_over=await _trade(platform, "a.number = 2 AND a.state = 'filled'"),
            unknown=await _trade(platform, "t.state = 'outcome_unknown'"),
            late_fill=await platform.owner.fetchval(
                "SELECT id FROM core.breaks WHERE kind = 'LATE_FILL'"
            ),
            hold=await platform.owner.fetchval("SELECT transfer_id FROM core.expiring_holds"),
        )


async def _settle_all_ways(platform: Platform, client: Client) -> None:
    customer_id = await platform.a_funded_customer(client)
    await client.deposit(customer_id, "1.00000000", "BTC")
    await client.deposit("", "50000000.00", "NGN")
    for state, base_amount, side, party in (
        (SETTLED, "0.01", None, customer_id),
        (SETTLED, "0.01", SELL, customer_id),
        (SETTLED, "0.01", None, ""),
        (SETTLED, "0.00007721", None, customer_id),
        (SETTLED, "0.00007771", None, customer_id),
        (SETTLED, "0.00007771", SELL, customer_id),
        (SETTLED, "0.00007791", None, customer_id),
        (SETTLED, "0.00007751", None, customer_id),
        (REJECTED, "0.00007722", SELL, customer_id),
    ):
        quote = await (
            client.quote(party, base_amount, side=side)
            if side is not None
            else client.quote(party, base_amount)
        )
        trade = await client.accept(quote.id)
        if trade.state == UNKNOWN:
            await platform.run_due_trades()
            trade = await client.trade(trade.id)
        assert trade.state == state, (base_amount, trade)


async def _halt_and_resume(platform: Platform, tenant_id: str) -> None:
    for state in ("HALTED", "ACTIVE"):
        await platform.operator.tenant_admin.SetTenantTradingState(
            tenant_pb.SetTenantTradingStateRequest(
                tenant_id=tenant_id,
                trading_state=f"TRADING_STATE_{state}",
                reason="a drill",
                request_id=new_request_id(),
            )
        )


async def _resolve(platform: Platform, tenant_id: str, client: Client) -> None:
    """Let two operators find that an unknown attempt was not filled; the other LP fills it."""
    customer_id = await platform.a_funded_customer(client)
    trade = await client.accept((await client.quote(customer_id, "0.00007761")).id)
    assert trade.state == UNKNOWN
    second = await platform.a_client(
        str(platform.environment.house_id), [access_pb2.SCOPE_OPERATOR]
    )
    proposed = await platform.operator.trade_admin.ProposeResolution(
        trade_pb.ProposeResolutionRequest(
            tenant_id=tenant_id,
            trade_id=trade.id,
            verdict=trade_pb2.RESOLUTION_VERDICT_NOT_FILLED,
            evidence="the statement of the day",
            request_id=new_request_id(),
        )
    )
    approved = await second.trade_admin.ApproveResolution(
        trade_pb.ApproveResolutionRequest(
            tenant_id=tenant_id,
            trade_id=trade.id,
            resolution_id=proposed.resolution.id,
            request_id=new_request_id(),
        )
    )
    assert approved.trade.state == SETTLED


async def _fill_late(platform: Platform, client: Client) -> None:
    """Let the first LP hide a fill until it was concluded absent, and show it then."""
    customer_id = await platform.a_funded_customer(client)
    await platform.alpha.behave("late_fill", 1, late_ms=HIDDEN_MS)
    trade = await client.accept((await client.quote(customer_id, "0.01")).id)
    assert trade.state == UNKNOWN
    for statement in (
        "UPDATE core.attempts SET next_check_at = core.now(), "
        "lp_expires_at = core.now() - interval '60 s' WHERE trade_id = $1",
        "UPDATE core.trade_queue SET due_at = core.now(), leased_until = core.now() "
        "WHERE trade_id = $1",
    ):
        await platform.owner.execute(statement, TradeId.parse(trade.id).uuid)
    await platform.run_due_trades()
    trade = await client.trade(trade.id)
    assert trade.state == SETTLED
    async with asyncio.timeout(10):
        while not await platform.alpha.shows(  # noqa: ASYNC110 - only its clock tells
            trade.attempts[0].id
        ):
            await asyncio.sleep(0.02)
    await platform.look_late()


async def _holds(platform: Platform, tenant_id: str) -> None:
    """Post a hold in part, void one, and let one expire."""
    catalogue = await platform.container.market().catalogue()
    ngn = catalogue.assets["NGN"]
    operator = await platform.owner.fetchval(
        "SELECT id FROM core.api_keys WHERE tenant_id = $1 ORDER BY id LIMIT 1",
        platform.environment.house_id.uuid,
    )
    new = platform.ids.new
    tenant = TenantId.parse(tenant_id)
    for units, kind in ((60, TransferKind.POST), (100, TransferKind.VOID), (100, None)):
        async with platform.container.units_of_work().begin(tenant) as uow:
            treasury = AccountKey(AccountKind.TREASURY, ngn)
            bank = AccountKey(AccountKind.EXTERNAL, ngn, "bank")
            accounts = await uow.ledger.open_accounts([treasury, bank])
            now = await uow.now()
            pending = Transfer(
                id=new(TransferId),
                debit_account_id=accounts[treasury],
                credit_account_id=accounts[bank],
                amount=Amount(ngn, 100),
                kind=TransferKind.PENDING,
                expires_at=now + timedelta(hours=1 if kind else -1),
                purpose="withdrawal",
            )
            resolution = Transfer(
                id=new(TransferId),
                debit_account_id=accounts[treasury],
                credit_account_id=accounts[bank],
                amount=Amount(ngn, units),
                kind=kind or TransferKind.EXPIRE,
                pending_id=pending.id,
                purpose="withdrawal",
            )
            for transfer in (pending, resolution) if kind else (pending,):
                await uow.ledger.commit(
                    Entry(
                        id=new(EntryId),
                        transfers=(transfer,),
                        source=EntrySource.OPERATOR,
                        reference=str(ApiKeyId(operator)),
                        effective_at=now,
                    )
                )
        if kind is None:
            assert await platform.container.expire_hold()(tenant, pending.id)


async def _reverse_one(platform: Platform, tenant_id: str, client: Client) -> None:
    deposited = await client.sandbox.CreateDeposit(
        sandbox_pb.CreateDepositRequest(amount=amount("7.00", "NGN"), request_id=new_request_id())
    )
    await platform.operator.ledger_admin.ReverseEntry(
        ledger_pb.ReverseEntryRequest(
            tenant_id=tenant_id,
            entry_id=deposited.deposit.entry_id,
            request_id=new_request_id(),
        )
    )


async def _settle_with_an_lp(platform: Platform) -> None:
    """Pay twice in both directions, and leave one settlement approved and one canceled."""
    desk = await an_lp_desk(platform, "gamma")
    for number in range(2):
        await desk.owe("5.00")
        await desk.owe("-0.1", "BTC")
        await desk.settled(f"PAY-{number}")
    await desk.owe("7.00")
    await desk.cancel(await desk.propose())
    await desk.approve(await desk.propose())


async def _rotate_a_key(client: Client) -> None:
    """Leave a key and its successor."""
    listed = await client.api_keys.ListApiKeys(tenant_pb.ListApiKeysRequest(page_size=1))
    rotation = tenant_pb.RotateApiKeyRequest(
        api_key_id=listed.api_keys[0].id, request_id=new_request_id()
    )
    rotation.overlap.FromTimedelta(timedelta(days=1))
    await client.api_keys.RotateApiKey(rotation)


async def _refusals(client: Client) -> None:
    """Leave a request that was refused for good, and a canceled quote."""
    poor = await client.create_customer()
    quote = await client.quote(poor.id, "0.01")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.accept(quote.id)
    assert refusal_of(caught.value).reason == "INSUFFICIENT_FUNDS"
    await client.quotes.CancelQuote(
        quote_pb.CancelQuoteRequest(quote_id=quote.id, request_id=new_request_id())
    )


async def _replay_one(platform: Platform, tenant: BusyTenant) -> None:
    """Have one dead letter replayed; its event had no effect to have, so the letter alone tells."""
    letter_id = await a_dead_letter(platform.owner, tenant.id)
    await platform.operator.event_admin.ReplayDeadLetter(
        event_pb.ReplayDeadLetterRequest(
            tenant_id=tenant.id, dead_letter_id=letter_id, request_id=new_request_id()
        )
    )
    await DeadLetterReplay(platform.work_container.house_replays())()


async def follow_events(platform: Platform) -> None:
    """Stamp all events and let every consumer see them."""
    await stamp_events(platform)
    engine = make_engine(platform.settings.work_database_url, pool_size=4)
    try:
        container = platform.work_container
        feed, bury_event = PostgresEventFeed(engine), container.bury_event()
        for consumer, deal_with in (
            (HOUSE_BOOK, container.mirror_trades()),
            (RECEIPTS, container.make_receipts()),
        ):
            follow = EventFollower(consumer, feed, deal_with, bury_event)
            # One that it cannot deal with makes it rest, and the others are not all seen by then.
            behind, before = await _behind(platform, consumer), -1
            while await follow() or behind != before:
                behind, before = await _behind(platform, consumer), behind
    finally:
        await engine.dispose()


async def _behind(platform: Platform, consumer: str) -> int:
    """Return how many stamped events a consumer has not dealt with."""
    return int(await platform.owner.fetchval(_BEHIND, consumer))


async def _trade(platform: Platform, condition: str) -> UUID:
    """Return the first bought trade of a customer of which the condition is true."""
    found: Any = await platform.owner.fetchval(
        "SELECT t.id FROM core.trades AS t JOIN core.attempts AS a "
        "ON a.tenant_id = t.tenant_id AND a.trade_id = t.id "
        f"WHERE t.customer_id IS NOT NULL AND t.side = 'buy' AND {condition} ORDER BY t.id LIMIT 1"
    )
    assert isinstance(found, UUID)
    return found
