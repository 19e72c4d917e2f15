"""What venues do to a trade, and what then stands in its books."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from time import monotonic
from typing import Any, Final

import grpc
import pytest

from adapters.lp.http import Answer
from adapters.lp.sandbox.client import SandboxClient
from domain.amount import Amount
from domain.ids import EntryId, QuoteId, TradeId
from domain.trade.settlement import Role
from domain.trade.trade import LAST_CHECK, Trade, TradeState
from ports.trade import TradeLease
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.quote.v1 import quote_pb2
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.trade.v1 import trade_pb2
from reli.type.v1 import amount_pb2, side_pb2
from tests.support.audit import assert_books_balance, uuid_of
from tests.support.builders import BTC, NGN
from tests.support.platform import (
    BUY,
    SELL,
    Client,
    Platform,
    Venue,
    amount,
    new_request_id,
    refusal_of,
)

FILLED, REJECTED, NOT_SENT, ABSENT, UNKNOWN = (
    trade_pb2.ATTEMPT_STATE_FILLED,
    trade_pb2.ATTEMPT_STATE_REJECTED,
    trade_pb2.ATTEMPT_STATE_NOT_SENT,
    trade_pb2.ATTEMPT_STATE_ABSENT,
    trade_pb2.ATTEMPT_STATE_UNKNOWN,
)
SETTLED: Final = trade_pb2.TRADE_STATE_SETTLED
TRADE_REJECTED: Final = trade_pb2.TRADE_STATE_REJECTED
OUTCOME_UNKNOWN: Final = trade_pb2.TRADE_STATE_OUTCOME_UNKNOWN

ASSETS: Final = {"BTC": BTC, "NGN": NGN}
FUNDS: Final = {"NGN": "100000000.00", "BTC": "1.00000000"}
REFERENCE_PRICE: Final = "150000000.00"

# What leads to these is somebody's word on what an LP did.
TOLD: Final = frozenset({"fill", "reject", "find_absent", "lose"})


@dataclass(frozen=True)
class Desk:
    """A customer of a tenant of its own, with money of both kinds."""

    platform: Platform
    tenant_id: str
    client: Client
    customer_id: str

    async def quote(self, side: side_pb2.Side = BUY) -> quote_pb2.Quote:
        return await self.client.quote(self.customer_id, "0.01", side=side)

    async def ended(self, trade_id: str) -> trade_pb2.Trade:
        """Return the trade once the process that runs it has brought it to rest."""
        await self.platform.container.runner().drain()
        return await self.client.trade(trade_id)

    async def available(self) -> dict[str, tuple[str, str]]:
        return {
            asset: await self.client.balance(self.customer_id, asset) for asset in ("NGN", "BTC")
        }

    async def breaks(self) -> list[Any]:
        found: list[Any] = await self.platform.owner.fetch(
            "SELECT kind, trade_id, asset, units FROM core.breaks WHERE tenant_id = $1",
            uuid_of(self.tenant_id),
        )
        return found

    async def assert_sound(self, *trades: trade_pb2.Trade) -> None:
        """Assert what must hold of the books and of every trade, whatever the venues did."""
        await assert_books_balance(self.platform.owner, self.tenant_id)
        for trade in trades:
            await _assert_history(self.platform, self.tenant_id, trade)
        changes = await _changes_by_trade(self)
        for trade in trades:
            assert changes.pop(trade.id, {}) == _expected_changes(trade)


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    tenant_id, client = await platform.a_tenant(fee_bps=20, markup_bps=50)
    customer_id = (await client.create_customer()).id
    for asset, value in FUNDS.items():
        await client.deposit(customer_id, value, asset)
    yield Desk(platform, tenant_id, client, customer_id)
    for venue in (platform.alpha, platform.beta):
        await venue.behave_well()
        await _move_price(venue, REFERENCE_PRICE)


BOTH_SIDES: Final = pytest.mark.parametrize("side", [BUY, SELL], ids=["buy", "sell"])


@BOTH_SIDES
async def test_a_rejected_order_is_filled_by_the_backup(desk: Desk, side: side_pb2.Side) -> None:
    quote = await desk.quote(side)
    await desk.platform.alpha.behave("reject", 1)

    trade = await desk.client.accept(quote.id)

    assert trade.state == SETTLED
    assert _attempts(trade) == [("alpha", REJECTED), ("beta", FILLED)]
    assert (trade.base_amount, trade.quote_amount) == (quote.base_amount, quote.quote_amount)
    assert await _executions(desk.platform, trade) == [[], ["0.01000000"]]
    await desk.assert_sound(trade)


@BOTH_SIDES
async def test_rejected_everywhere_the_trade_ends_and_the_whole_hold_is_released(
    desk: Desk, side: side_pb2.Side
) -> None:
    quote = await desk.quote(side)
    await desk.platform.alpha.behave("reject", 1)
    await desk.platform.beta.behave("reject", 1)

    trade = await desk.client.accept(quote.id)

    assert trade.state == TRADE_REJECTED
    assert trade.rejection_reason
    assert _attempts(trade) == [("alpha", REJECTED), ("beta", REJECTED)]
    assert await _executions(desk.platform, trade) == [[], []]
    assert await desk.available() == {
        "NGN": (FUNDS["NGN"], "0.00"),
        "BTC": (FUNDS["BTC"], "0.00000000"),
    }
    await desk.assert_sound(trade)


async def test_an_lp_whose_quote_had_expired_is_asked_once_more(desk: Desk) -> None:
    quote = await desk.quote()
    await desk.platform.alpha.behave("expire", 1)

    trade = await desk.client.accept(quote.id)

    assert trade.state == SETTLED
    assert _attempts(trade) == [("alpha", REJECTED), ("alpha", FILLED)]
    assert trade.attempts[0].reason == "LP_QUOTE_EXPIRED"
    assert len({attempt.id for attempt in trade.attempts}) == 2
    await desk.assert_sound(trade)


async def test_an_order_that_comes_after_the_end_of_its_lp_quote_is_not_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stood still between the commit and the call cannot know what others concluded."""
    quote = await desk.quote()
    runner = desk.platform.container.runner()
    start = runner.start

    def start_late(lease: TradeLease, accepted: Trade) -> Awaitable[Trade | None]:
        late = replace(accepted.attempt, lp_expires_at=accepted.accepted_at)
        return start(lease, replace(accepted, attempts=(late,)))

    monkeypatch.setattr(runner, "start", start_late)

    trade = await desk.client.accept(quote.id)

    assert trade.state == SETTLED
    assert _attempts(trade) == [("alpha", NOT_SENT), ("alpha", FILLED)]
    assert trade.attempts[0].reason == "LP_QUOTE_EXPIRED"
    await desk.assert_sound(trade)


async def test_an_lp_whose_quotes_always_expire_gives_way_to_the_backup(desk: Desk) -> None:
    quote = await desk.quote()
    await desk.platform.alpha.behave("expire")

    trade = await desk.client.accept(quote.id)

    assert trade.state == SETTLED
    assert _attempts(trade) == [("alpha", REJECTED), ("alpha", REJECTED), ("beta", FILLED)]
    await desk.assert_sound(trade)


@BOTH_SIDES
async def test_a_fill_whose_answer_was_cut_off_is_found_and_settled_once(
    desk: Desk, side: side_pb2.Side
) -> None:
    quote = await desk.quote(side)
    await desk.platform.alpha.behave("cut_after_fill", 1)

    trade = await desk.client.accept(quote.id)

    assert trade.state == SETTLED
    assert _attempts(trade) == [("alpha", FILLED)]
    assert await _executions(desk.platform, trade) == [["0.01000000"]]
    steps = [row["to_state"] for row in await _transitions(desk.platform, trade)]
    assert steps.index("outcome_unknown") < steps.index("settled")
    await desk.assert_sound(trade)


async def test_while_an_outcome_is_unknown_the_hold_stays_and_nobody_else_is_asked(
    desk: Desk,
) -> None:
    quote = await desk.quote()
    await desk.platform.alpha.behave("cut_before_fill", 1)

    trade = await desk.client.accept(quote.id)

    assert trade.state == OUTCOME_UNKNOWN
    assert trade.HasField("unknown_since_time")
    await _make_due(desk.platform, trade)
    await desk.platform.run_due_trades()
    trade = await desk.client.trade(trade.id)
    assert trade.state == OUTCOME_UNKNOWN
    assert _attempts(trade) == [("alpha", UNKNOWN)]
    left = Amount(NGN, 10_000_000_000 - _amount(quote.quote_amount).units)
    (posted, held), (btc, _) = (await desk.available()).values()
    assert (posted, held, btc) == (FUNDS["NGN"], quote.quote_amount.value, FUNDS["BTC"])
    refusal = await _refusal(desk.client.accept((await _all_of(desk, left)).id))
    assert refusal == "INSUFFICIENT_FUNDS"
    await desk.assert_sound(trade)

    # The venue's word that there is no order counts once its quote is long over.
    await _make_due(desk.platform, trade, lp_quote_expired_s_ago=60)
    await desk.platform.run_due_trades()

    trade = await desk.client.trade(trade.id)
    assert trade.state == SETTLED
    assert _attempts(trade) == [("alpha", ABSENT), ("beta", FILLED)]
    assert await _executions(desk.platform, trade) == [[], ["0.01000000"]]
    await desk.assert_sound(trade)


@pytest.mark.parametrize("garbled", ["create_order", "get_order"])
async def test_an_order_that_an_unreadable_answer_named_is_not_taken_for_absent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, garbled: str
) -> None:
    """Otherwise the backup would execute it too."""
    quote = await desk.quote()
    if garbled == "create_order":
        _lose_orders(monkeypatch)
    else:
        await desk.platform.alpha.behave("cut_after_fill", 1)
    _garble(monkeypatch, garbled)

    trade = await desk.client.accept(quote.id)

    assert trade.state == OUTCOME_UNKNOWN
    assert trade.attempts[0].reason == "LP_ORDER_WORKING"

    # Late enough for the venue's word to count, if it had not said that it has the order.
    _lose_orders(monkeypatch)
    await _make_due(desk.platform, trade, lp_quote_expired_s_ago=60)
    await desk.platform.run_due_trades()

    trade = await desk.client.trade(trade.id)
    assert trade.state == OUTCOME_UNKNOWN
    assert _attempts(trade) == [("alpha", UNKNOWN)]
    await desk.assert_sound(trade)

    monkeypatch.undo()
    await _make_due(desk.platform, trade)
    await desk.platform.run_due_trades()

    trade = await desk.client.trade(trade.id)
    assert trade.state == SETTLED
    assert _attempts(trade) == [("alpha", FILLED)]
    assert await _executions(desk.platform, trade) == [["0.01000000"]]
    await desk.assert_sound(trade)


@BOTH_SIDES
async def test_a_fill_at_another_price_is_the_operators_gain_or_loss(
    desk: Desk, side: side_pb2.Side
) -> None:
    quote = await desk.quote(side)
    await desk.platform.alpha.behave("other_price", 1)

    trade = await desk.client.accept(quote.id)

    assert trade.state == SETTLED
    assert (trade.base_amount, trade.quote_amount) == (quote.base_amount, quote.quote_amount)
    assert trade.attempts[0].filled_amount != trade.waterfall.lp
    changes = (await _changes_by_trade(desk))[trade.id]
    assert changes[Role.SLIPPAGE, "NGN"] < 0
    assert await desk.breaks() == []
    await desk.assert_sound(trade)


@BOTH_SIDES
async def test_a_fill_far_from_the_quoted_price_settles_and_raises_a_break(
    desk: Desk, side: side_pb2.Side
) -> None:
    quote = await desk.quote(side)
    await desk.platform.alpha.behave("other_price_far", 1)

    trade = await desk.client.accept(quote.id)

    assert trade.state == SETTLED
    assert (trade.base_amount, trade.quote_amount) == (quote.base_amount, quote.quote_amount)
    worse = _amount(trade.attempts[0].filled_amount) - _amount(trade.waterfall.lp)
    ((kind, trade_id, asset, units),) = await desk.breaks()
    assert (kind, asset, units) == ("FILL_BEYOND_TOLERANCE", "NGN", worse.units)
    assert str(TradeId(trade_id)) == trade.id
    await desk.assert_sound(trade)


async def test_a_backup_whose_price_is_beyond_tolerance_is_not_taken(desk: Desk) -> None:
    quote = await desk.quote()
    await desk.platform.alpha.behave("reject", 1)
    await _move_price(desk.platform.beta, "150200000.00")

    trade = await desk.client.accept(quote.id)

    assert trade.state == TRADE_REJECTED
    assert trade.rejection_reason == "PRICE_MOVED"
    assert _attempts(trade) == [("alpha", REJECTED), ("beta", NOT_SENT)]
    assert await _executions(desk.platform, trade) == [[], []]
    assert (await desk.available())["NGN"] == (FUNDS["NGN"], "0.00")
    await desk.assert_sound(trade)


async def test_a_slow_venue_is_left_out_of_a_quote_and_not_waited_for(desk: Desk) -> None:
    await desk.platform.alpha.behave("slow", 1)

    made = await desk.client.quotes.CreateQuote(
        quote_pb.CreateQuoteRequest(
            customer_id=desk.customer_id,
            side=BUY,
            base_asset="BTC",
            quote_asset="NGN",
            base_amount=amount("0.01", "BTC"),
        )
    )

    assert made.quote.lp == "beta"
    read = await desk.client.quotes.GetQuote(quote_pb.GetQuoteRequest(quote_id=made.quote.id))
    for answers in (made.lp_answers, read.lp_answers):
        assert [(answer.lp, answer.verdict) for answer in answers] == [
            ("beta", quote_pb2.LP_VERDICT_USED),
            ("alpha", quote_pb2.LP_VERDICT_TOO_LATE),
        ]
        assert answers[1].latency_ms >= desk.platform.settings.lp_quote_budget_ms
        assert answers[1].reason
        assert not answers[1].HasField("quote_amount")


async def test_accepting_answers_in_two_seconds_and_the_slow_trade_settles_later(
    desk: Desk,
) -> None:
    quote = await desk.quote()
    await desk.platform.alpha.behave("slow", 1)
    request_id = new_request_id()
    asked_at = monotonic()

    trade = await desk.client.accept(quote.id, request_id)

    assert 1.5 < monotonic() - asked_at < 2.5
    assert trade.state == trade_pb2.TRADE_STATE_PENDING
    assert (await desk.available())["NGN"] == (FUNDS["NGN"], quote.quote_amount.value)
    await assert_books_balance(desk.platform.owner, desk.tenant_id)
    settled = await desk.ended(trade.id)
    assert settled.state == SETTLED
    assert await desk.client.accept(quote.id, request_id) == settled
    await desk.assert_sound(settled)


async def test_no_canceled_call_loses_a_trade(desk: Desk) -> None:
    chance = random.Random(77)
    quotes = [await desk.quote(chance.choice((BUY, SELL))) for _ in range(20)]

    for quote in quotes:
        call = desk.client.quotes.AcceptQuote(
            quote_pb.AcceptQuoteRequest(quote_id=quote.id, request_id=new_request_id())
        )
        await asyncio.sleep(chance.uniform(0, 0.06))
        call.cancel()
    await desk.platform.container.interceptor().drain()
    await desk.platform.container.runner().drain()

    trades = await _trades(desk)
    accepted = [
        str(QuoteId(row["id"]))
        for row in await desk.platform.owner.fetch(
            "SELECT id FROM core.quotes WHERE tenant_id = $1 AND state = 'accepted'",
            uuid_of(desk.tenant_id),
        )
    ]
    assert accepted, "some calls are canceled after they took effect"
    assert {trade.quote_id for trade in trades} == set(accepted)
    assert {trade.state for trade in trades} == {SETTLED}
    for trade in trades:
        assert await _executions(desk.platform, trade) == [["0.01000000"]]
    await desk.assert_sound(*trades)


async def test_the_treasury_trades_like_a_customer(desk: Desk) -> None:
    await desk.client.deposit("", "5000000.00", "NGN")
    quote = await desk.client.quote("", "0.01")

    trade = await desk.client.accept(quote.id)

    assert trade.state == SETTLED
    assert trade.customer_id == ""
    await desk.assert_sound(trade)


@pytest.mark.parametrize("trouble", ["busy", "taken over"])
async def test_a_fill_that_cannot_be_recorded_at_once_is_not_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """The venue's status falls behind what it answered, for as long as anybody asks."""
    quote = await desk.quote()
    locked: list[asyncio.Task[None]] = []

    async def make_trouble() -> None:
        if trouble == "busy":
            is_locked = asyncio.Event()
            locked.append(asyncio.create_task(_lock_trades(desk, is_locked, seconds=1.5)))
            await is_locked.wait()
        else:
            await desk.platform.owner.execute(
                "UPDATE core.trade_queue SET due_at = core.now(), leased_until = core.now() "
                "WHERE tenant_id = $1",
                uuid_of(desk.tenant_id),
            )
            await desk.platform.run_due_trades()

    _after_the_order(monkeypatch, make_trouble)
    _lose_orders(monkeypatch)

    trade = await desk.client.accept(quote.id)
    await asyncio.gather(*locked)
    await desk.platform.container.runner().drain()

    trade = await desk.client.trade(trade.id)
    assert trade.state == trade_pb2.TRADE_STATE_SETTLED
    assert [attempt.lp for attempt in trade.attempts] == ["alpha"]
    assert await _executions(desk.platform, trade) == [["0.01000000"]]


async def test_a_trade_that_a_clock_ahead_planned_is_looked_at_when_it_is_right(
    desk: Desk,
) -> None:
    await desk.platform.alpha.behave("cut_before_fill", 1)
    trade = await desk.client.accept((await desk.quote()).id)
    await desk.platform.container.runner().drain()
    ids = uuid_of(desk.tenant_id), TradeId.parse(trade.id).uuid
    await desk.platform.owner.execute(
        "UPDATE core.trade_queue SET due_at = core.now() + interval '1 h', "
        "leased_until = core.now() + interval '1 h' WHERE tenant_id = $1 AND trade_id = $2",
        *ids,
    )
    await desk.platform.owner.execute(
        "UPDATE core.attempts SET next_check_at = core.now() + interval '1 h' "
        "WHERE tenant_id = $1 AND trade_id = $2",
        *ids,
    )

    await desk.platform.run_due_trades()

    (attempt,) = (await desk.client.trade(trade.id)).attempts
    planned_in = await desk.platform.owner.fetchval(
        "SELECT next_check_at - core.now() FROM core.attempts "
        "WHERE tenant_id = $1 AND trade_id = $2 AND number = 1",
        *ids,
    )
    assert attempt.state != UNKNOWN or planned_in <= LAST_CHECK


def _after_the_order(monkeypatch: pytest.MonkeyPatch, once: Callable[[], Awaitable[None]]) -> None:
    """Let something happen between the venue's answer to the first order and our hearing it."""
    create_order, happened = SandboxClient.create_order, False

    async def create(self: SandboxClient, fields: dict[str, str]) -> Answer:
        nonlocal happened
        answer = await create_order(self, fields)
        if not happened:
            happened = True
            await once()
        return answer

    monkeypatch.setattr(SandboxClient, "create_order", create)


async def _lock_trades(desk: Desk, is_locked: asyncio.Event, *, seconds: float) -> None:
    async with desk.platform.owner.acquire() as connection, connection.transaction():
        await connection.execute(
            "SELECT FROM core.trades WHERE tenant_id = $1 FOR UPDATE", uuid_of(desk.tenant_id)
        )
        is_locked.set()
        await asyncio.sleep(seconds)


def _garble(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Let the venues tell a state of an order that nobody knows."""
    asking = getattr(SandboxClient, call)

    async def asked(self: SandboxClient, asked_for: Any) -> Answer:
        answer: Answer = await asking(self, asked_for)
        return replace(answer, body=answer.body.replace(b'"filled"', b'"half_filled"'))

    monkeypatch.setattr(SandboxClient, call, asked)


def _lose_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the venues find no order that they are asked for."""
    asking = SandboxClient.get_order

    async def asked(self: SandboxClient, client_order_id: str) -> Answer:
        return await asking(self, "another")

    monkeypatch.setattr(SandboxClient, "get_order", asked)


async def _all_of(desk: Desk, funds: Amount) -> quote_pb2.Quote:
    """Quote for a unit more than what may still be spent."""
    made = await desk.client.quotes.CreateQuote(
        quote_pb.CreateQuoteRequest(
            customer_id=desk.customer_id,
            side=BUY,
            base_asset="BTC",
            quote_asset="NGN",
            quote_amount=amount(Amount(NGN, funds.units + 1).value, "NGN"),
        )
    )
    quote: quote_pb2.Quote = made.quote
    return quote


async def _refusal(call: Awaitable[object]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value).reason


def _attempts(trade: trade_pb2.Trade) -> list[tuple[str, int]]:
    return [(attempt.lp, attempt.state) for attempt in trade.attempts]


def _amount(message: amount_pb2.Amount) -> Amount:
    return Amount.parse(message.value, ASSETS[message.asset])


async def _executions(platform: Platform, trade: trade_pb2.Trade) -> list[list[str]]:
    """Return for each attempt what its venue really executed: the venue's word, not ours."""
    venues = {"alpha": platform.alpha, "beta": platform.beta}
    return [
        [one["base_amount"] for one in await venues[attempt.lp].executions(attempt.id)]
        for attempt in trade.attempts
    ]


async def _move_price(venue: Venue, price: str) -> None:
    body = {"instrument": "BTC-NGN", "price": price}
    async with venue.session.put(venue.admin_url + "/v1/rates", json=body) as response:
        assert response.status == 200


async def _make_due(
    platform: Platform, trade: trade_pb2.Trade, *, lp_quote_expired_s_ago: int | None = None
) -> None:
    """Move the instants that a trade waits for into the past, instead of waiting for them."""
    trade_id = TradeId.parse(trade.id).uuid
    await platform.owner.execute(
        "UPDATE core.trade_queue SET due_at = core.now(), leased_until = core.now() "
        "WHERE trade_id = $1",
        trade_id,
    )
    await platform.owner.execute(
        """UPDATE core.attempts SET next_check_at = core.now(),
            lp_expires_at = coalesce(core.now() - $2 * interval '1 s', lp_expires_at)
        WHERE trade_id = $1 AND state = 'unknown'""",
        trade_id,
        lp_quote_expired_s_ago,
    )


async def _trades(desk: Desk) -> list[trade_pb2.Trade]:
    rows = await desk.platform.owner.fetch(
        "SELECT id FROM core.trades WHERE tenant_id = $1", uuid_of(desk.tenant_id)
    )
    return [await desk.client.trade(str(TradeId(row["id"]))) for row in rows]


async def _transitions(platform: Platform, trade: trade_pb2.Trade) -> list[Any]:
    found: list[Any] = await platform.owner.fetch(
        "SELECT * FROM core.trade_transitions WHERE trade_id = $1 ORDER BY version, ordinal",
        TradeId.parse(trade.id).uuid,
    )
    return found


async def _assert_history(platform: Platform, tenant_id: str, trade: trade_pb2.Trade) -> None:
    """Assert that the transitions tell without a gap how the trade came where it is."""
    steps = await _transitions(platform, trade)
    row = await platform.owner.fetchrow(
        "SELECT state, version, correlation_id FROM core.trades WHERE tenant_id = $1 AND id = $2",
        uuid_of(tenant_id),
        TradeId.parse(trade.id).uuid,
    )
    assert (steps[0]["version"], steps[0]["ordinal"]) == (1, 1)
    for before, after in pairwise(steps):
        assert after["version"] > before["version"] or (
            after["version"] == before["version"] and after["ordinal"] == before["ordinal"] + 1
        )
        if after["version"] > before["version"]:
            assert after["ordinal"] == 1
    assert steps[-1]["version"] <= row["version"]
    assert {step["tenant_id"] for step in steps} == {uuid_of(tenant_id)}
    assert {step["correlation_id"] for step in steps} == {row["correlation_id"]}
    assert all(step["actor"] for step in steps)
    assert all(step["evidence"] for step in steps if step["action"] in TOLD)
    state, states = str(TradeState.PENDING), dict.fromkeys(range(1, 10), "")
    for step in steps:
        if step["attempt"] == 0:
            assert step["from_state"] == state
            state = step["to_state"]
        else:
            assert step["from_state"] == states[step["attempt"]]
            states[step["attempt"]] = step["to_state"]
    assert state == row["state"]
    reached = [states[number + 1] for number in range(len(trade.attempts))]
    assert reached == [
        trade_pb2.AttemptState.Name(attempt.state).removeprefix("ATTEMPT_STATE_").lower()
        for attempt in trade.attempts
    ]


Changes = dict[tuple[Role, str], int]

_ROLES: Final = {
    ledger_pb2.ACCOUNT_KIND_CUSTOMER: Role.PARTY,
    ledger_pb2.ACCOUNT_KIND_TREASURY: Role.PARTY,
    ledger_pb2.ACCOUNT_KIND_TRADE_CLEARING: Role.CLEARING,
    ledger_pb2.ACCOUNT_KIND_LP: Role.LP,
    ledger_pb2.ACCOUNT_KIND_PLATFORM_FEE: Role.PLATFORM_FEE,
    ledger_pb2.ACCOUNT_KIND_TENANT_MARKUP: Role.TENANT_MARKUP,
    ledger_pb2.ACCOUNT_KIND_SLIPPAGE: Role.SLIPPAGE,
}


async def _changes_by_trade(desk: Desk) -> dict[str, Changes]:
    """Read every line of every account; return what each trade posted, by role and asset."""
    rows = await desk.platform.owner.fetch(
        "SELECT id, hold_entry_id, settlement_entry_id, release_entry_id FROM core.trades "
        "WHERE tenant_id = $1",
        uuid_of(desk.tenant_id),
    )
    trades = {entry_id: TradeId(row["id"]) for row in rows for entry_id in list(row.values())[1:]}
    ledger = desk.client.ledger
    accounts = (await ledger.ListAccounts(ledger_pb.ListAccountsRequest(page_size=200))).accounts
    changes: dict[str, Changes] = {}
    for account in accounts:
        balance, version = 0, 0
        for line in reversed(await _lines(desk.client, account.id)):
            balance, version = balance + _amount(line.change).units, version + 1
            assert (_amount(line.balance_after).units, line.version) == (balance, version)
            trade_id = trades.get(EntryId.parse(line.entry_id).uuid)
            if trade_id is None:
                continue
            of_trade = changes.setdefault(str(trade_id), {})
            key = (_ROLES[account.kind], account.asset)
            of_trade[key] = of_trade.get(key, 0) + _amount(line.change).units
        assert _amount(account.balance.posted).units == balance
    return {
        trade: {key: units for key, units in of_trade.items() if units}
        for trade, of_trade in changes.items()
    }


async def _lines(client: Client, account_id: str) -> list[ledger_pb2.Posting]:
    """Return an account's lines through pages of three, the newest first."""
    lines: list[ledger_pb2.Posting] = []
    request = ledger_pb.ListPostingsRequest(account_id=account_id, page_size=3)
    while True:
        page = await client.ledger.ListPostings(request)
        lines += page.postings
        assert len(lines) < 1_000, "the pages never end"
        request.page_token = page.next_page_token
        if not request.page_token:
            return lines


def _expected_changes(trade: trade_pb2.Trade) -> Changes:
    """Return what the trade must have posted: the waterfall as quoted, and slippage."""
    if trade.state != SETTLED:
        return {}
    sign = 1 if trade.side == BUY else -1
    parts = trade.waterfall
    lp, fee, markup, total = map(_amount, (parts.lp, parts.fee, parts.markup, parts.total))
    base, quote = _amount(trade.base_amount), _amount(trade.quote_amount)
    fill = _amount(trade.attempts[-1].filled_amount)
    assert total == quote
    assert fee.units > 0 and markup.units > 0
    assert total.units == lp.units + sign * (fee.units + markup.units)
    expected = {
        (Role.PARTY, "BTC"): sign * base.units,
        (Role.PARTY, "NGN"): -sign * quote.units,
        (Role.LP, "BTC"): -sign * base.units,
        (Role.LP, "NGN"): sign * fill.units,
        (Role.PLATFORM_FEE, "NGN"): fee.units,
        (Role.TENANT_MARKUP, "NGN"): markup.units,
        (Role.SLIPPAGE, "NGN"): sign * (lp.units - fill.units),
    }
    return {key: units for key, units in expected.items() if units}
