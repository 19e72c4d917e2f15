"""Circuit breakers: an LP that fails is left alone by all, and found again when it answers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from app.stack.postgres import PostgresServer
from app.usecase.liquidity.lp_desk import ASKED_AT_ONCE
from domain.liquidity.circuit import CircuitState, LpOutcome
from domain.routing import LpRecord
from domain.side import Side
from reli.event.v1 import event_pb2
from reli.liquidity.v1 import liquidity_service_pb2 as liquidity_pb
from reli.liquidity.v1 import lp_pb2
from reli.quote.v1 import quote_pb2
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.trade.v1 import trade_pb2
from tests.support.platform import BUY, SELL, Client, Platform, a_platform, amount, refusal_of
from tests.support.stack import a_database

SEEN_S: Final = 0.6
"""What is written is read by every process by then."""

CLOSED: Final = lp_pb2.CIRCUIT_STATE_CLOSED
OPEN: Final = lp_pb2.CIRCUIT_STATE_OPEN
HALF_OPEN: Final = lp_pb2.CIRCUIT_STATE_HALF_OPEN
BUDGET_MS: Final = 300


@dataclass(frozen=True)
class Desk:
    """A platform of its own, and a customer who buys there."""

    platform: Platform
    client: Client
    tenant_id: str
    customer_id: str

    async def quote(self, base_amount: str = "0.01") -> Any:
        return await self.client.quotes.CreateQuote(
            quote_pb.CreateQuoteRequest(
                customer_id=self.customer_id,
                side=BUY,
                base_asset="BTC",
                quote_asset="NGN",
                base_amount=amount(base_amount, "BTC"),
            )
        )

    async def hear(self, lp: str, *outcomes: LpOutcome) -> None:
        """Let the process hear of calls, and all of them know it."""
        for outcome in outcomes:
            self.platform.container.lp_desk().hear(lp, outcome, took_ms=7)
        await self.report()

    async def report(self) -> None:
        await self.platform.container.report_outcomes()()
        await asyncio.sleep(SEEN_S)

    async def age(self, lp: str, seconds: int) -> None:
        """Let so much time have passed since the circuit changed."""
        await self.platform.owner.execute(
            "UPDATE core.lps SET circuit_since = circuit_since - make_interval(secs => $2)"
            " WHERE name = $1",
            lp,
            seconds,
        )

    async def lp(self, name: str) -> lp_pb2.Lp:
        listed = await self.platform.operator.liquidity_admin.ListLps(liquidity_pb.ListLpsRequest())
        [found] = [lp for lp in listed.lps if lp.name == name]
        lp: lp_pb2.Lp = found
        return lp


@pytest.fixture(scope="module")
async def url(postgres_server: PostgresServer) -> str:
    return await a_database(postgres_server.url, "lp_health")


@pytest.fixture
async def desk(url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with a_desk(url, tmp_path) as desk:
        yield desk
        await desk.platform.owner.execute(
            "UPDATE core.lps SET circuit_state = 'closed', failures_in_a_row = 0,"
            " answers_in_a_row = 0, window_calls = 0, window_failures = 0"
        )
        await desk.platform.owner.execute("DELETE FROM core.lp_tallies")


@asynccontextmanager
async def a_desk(url: str, home: Path) -> AsyncIterator[Desk]:
    async with a_platform(url, home, lp_quote_budget_ms=BUDGET_MS) as platform:
        tenant_id, client = await platform.a_tenant()
        yield Desk(platform, client, tenant_id, await platform.a_funded_customer(client))


async def test_failures_in_a_row_open_the_circuit_and_the_operator_is_told(desk: Desk) -> None:
    await desk.hear("alpha", *[LpOutcome.FAILED] * 4)
    assert (await desk.lp("alpha")).circuit.state == CLOSED
    await desk.hear("alpha", LpOutcome.UNKNOWN)

    alpha = await desk.lp("alpha")
    made = await desk.quote()

    assert alpha.circuit.state == OPEN
    assert (alpha.record.failed, alpha.record.unknown) == (4, 1)
    assert [(one.lp, one.verdict, one.reason) for one in made.lp_answers] == [
        ("beta", quote_pb2.LP_VERDICT_USED, ""),
        ("alpha", quote_pb2.LP_VERDICT_NOT_ASKED, "LP_CIRCUIT_OPEN"),
    ]
    told = await desk.platform.owner.fetch(
        "SELECT payload FROM core.outbox WHERE tenant_id = $1 AND type = 'lp.circuit_opened'"
        " ORDER BY id DESC LIMIT 1",
        desk.platform.environment.house_id.uuid,
    )
    event = event_pb2.Event.FromString(told[0]["payload"])
    assert (event.subject, event.lp.name, event.lp.circuit.state) == (alpha.id, "alpha", OPEN)


async def test_what_became_of_quotes_and_orders_is_heard(desk: Desk) -> None:
    for base_amount in ("0.01", "0.00007721", "0.00007751", "0.00007788"):
        with suppress(grpc.aio.AioRpcError):  # at the last amount nobody gives a price
            made = await desk.quote(base_amount)
            await desk.client.accept(made.quote.id)
    await desk.report()

    alpha, beta = await desk.lp("alpha"), await desk.lp("beta")

    assert (alpha.record.quoted, alpha.record.refused) == (3, 1)
    assert (alpha.record.filled, alpha.record.rejected, alpha.record.unknown) == (1, 1, 1)
    # The backup was asked once more when it was its turn.
    assert (beta.record.quoted, beta.record.refused, beta.record.filled) == (4, 1, 1)


async def test_one_process_opens_it_for_all_and_any_other_one_closes_it(
    desk: Desk, url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with a_desk(url, tmp_path_factory.mktemp("second")) as second:
        await second.quote()
        await desk.hear("alpha", *[LpOutcome.LATE] * 5)
        asked = {one.lp: one.verdict for one in (await second.quote()).lp_answers}
        assert asked["alpha"] == quote_pb2.LP_VERDICT_NOT_ASKED

        await desk.age("alpha", 6)
        await second.report()
        assert (await desk.lp("alpha")).circuit.state == HALF_OPEN
        tried = [
            {one.lp: one.verdict for one in (await second.quote()).lp_answers}["alpha"]
            for _ in range(5)
        ]
        await second.report()
        closed = await desk.lp("alpha")

    # A few try it, the others spare themselves the wait.
    assert tried.count(quote_pb2.LP_VERDICT_NOT_ASKED) == 2
    assert closed.circuit.state == CLOSED


async def test_an_lp_that_still_fails_when_it_is_tried_is_left_alone_again(desk: Desk) -> None:
    await desk.hear("alpha", *[LpOutcome.FAILED] * 5)
    await desk.age("alpha", 6)
    await desk.report()
    assert (await desk.lp("alpha")).circuit.state == HALF_OPEN

    await desk.platform.alpha.behave("slow")
    await desk.quote()
    await desk.platform.alpha.behave_well()
    await desk.report()

    assert (await desk.lp("alpha")).circuit.state == OPEN


async def test_an_open_circuit_spares_the_quote_the_budget(desk: Desk) -> None:
    await desk.quote()
    async with a_stuck_venue(desk.platform):
        stuck = await _took_s(desk.quote())
        for _ in range(4):
            await desk.quote()
        await desk.report()
        assert (await desk.lp("alpha")).circuit.state == OPEN
        spared = [await _took_s(desk.quote()) for _ in range(5)]

    assert stuck >= BUDGET_MS / 1000
    assert min(spared) < BUDGET_MS / 1000 / 2


async def test_a_stuck_venue_leaves_those_alone_who_do_not_use_it(desk: Desk) -> None:
    """It takes connections and never answers; other tenants' quotes take what they always took."""
    platform = desk.platform
    other_id, other = await platform.a_tenant()
    await platform.operator.tenant_admin.UpdateTenantTerms(
        tenant_pb.UpdateTenantTermsRequest(tenant_id=other_id, lp_order=["beta"])
    )
    customer_id = await platform.a_funded_customer(other)
    neighbor = Desk(platform, other, other_id, customer_id)
    await neighbor.quote()
    alone = sorted([await _took_s(neighbor.quote()) for _ in range(15)])

    async with a_stuck_venue(platform):
        waiting = [asyncio.create_task(desk.quote()) for _ in range(30)]
        await asyncio.sleep(0.05)
        beside = sorted([await _took_s(neighbor.quote()) for _ in range(15)])
        took = await asyncio.gather(*waiting)

    assert {one.quote.lp for one in took} == {"beta"}
    assert beside[len(beside) // 2] < alone[len(alone) // 2] + BUDGET_MS / 1000 / 2


async def test_only_so_many_wait_for_a_stuck_venue_at_once(desk: Desk) -> None:
    with ExitStack() as stuck:
        for _ in range(ASKED_AT_ONCE - 1):
            stuck.enter_context(desk.platform.container.lp_desk().asking("alpha"))
        async with a_stuck_venue(desk.platform):
            last = asyncio.create_task(desk.quote())
            await asyncio.sleep(BUDGET_MS / 1000 / 4)
            began = time.monotonic()
            one_more = await desk.quote()
            spared_s = time.monotonic() - began
            await last
    afterwards = await desk.quote()

    assert spared_s < BUDGET_MS / 1000 / 2
    assert {one.lp: one.reason for one in one_more.lp_answers} == {"beta": "", "alpha": "LP_BUSY"}
    assert afterwards.quote.lp == "alpha"


async def test_a_process_that_stood_still_blames_no_lp(desk: Desk) -> None:
    lp_desk = desk.platform.container.lp_desk()
    async with a_stuck_venue(desk.platform):
        quotes = [asyncio.create_task(desk.quote()) for _ in range(6)]
        async with asyncio.timeout(5):
            while lp_desk._asked["alpha"] < len(quotes):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        lp_desk.take_heard()
        time.sleep(BUDGET_MS / 1000 * 3)  # noqa: ASYNC251 - that is what is tried
        await asyncio.gather(*quotes, return_exceptions=True)

    assert "alpha" not in lp_desk.take_heard()


async def test_a_size_is_refused_for_good_only_if_every_lp_was_asked(desk: Desk) -> None:
    async def sell_too_little() -> None:
        await desk.client.quote(desk.customer_id, "0.000001", side=SELL, base="USDT")

    with pytest.raises(grpc.aio.AioRpcError) as by_all:
        await sell_too_little()
    await desk.hear("alpha", *[LpOutcome.FAILED] * 5)
    with pytest.raises(grpc.aio.AioRpcError) as by_beta:
        await sell_too_little()

    assert refusal_of(by_all.value).reason == "AMOUNT_TOO_SMALL"
    assert refusal_of(by_beta.value).reason == "NO_LIQUIDITY"


async def test_an_open_lp_gets_no_order_as_a_backup_and_none_for_an_open_quote(desk: Desk) -> None:
    rejected_by_alpha = (await desk.quote("0.00007721")).quote
    of_alpha = (await desk.quote()).quote
    assert (rejected_by_alpha.lp, of_alpha.lp) == ("alpha", "alpha")

    await desk.hear("beta", *[LpOutcome.NOT_SENT] * 5)
    without_backup = await desk.client.accept(rejected_by_alpha.id)
    await desk.platform.owner.execute(
        "UPDATE core.lps SET circuit_state = CASE name WHEN 'alpha' THEN 'open' ELSE 'closed' END"
    )
    await asyncio.sleep(SEEN_S)
    by_backup = await desk.client.accept(of_alpha.id)

    assert without_backup.state == trade_pb2.TRADE_STATE_REJECTED
    assert [(one.lp, one.state) for one in without_backup.attempts] == [
        ("alpha", trade_pb2.ATTEMPT_STATE_REJECTED),
        ("beta", trade_pb2.ATTEMPT_STATE_NOT_SENT),
    ]
    assert [(one.lp, one.state) for one in by_backup.attempts] == [
        ("alpha", trade_pb2.ATTEMPT_STATE_NOT_SENT),
        ("beta", trade_pb2.ATTEMPT_STATE_FILLED),
    ]
    assert by_backup.state == trade_pb2.TRADE_STATE_SETTLED


async def test_outcomes_that_two_processes_report_at_once_are_all_counted(
    desk: Desk, url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with a_desk(url, tmp_path_factory.mktemp("second")) as second:
        for _ in range(10):
            for one in (desk, second):
                for lp in ("alpha", "beta"):
                    one.platform.container.lp_desk().hear(lp, LpOutcome.QUOTED, took_ms=3)
            await asyncio.gather(
                *(one.platform.container.report_outcomes()() for one in (desk, second))
            )

    for name in ("alpha", "beta"):
        record = (await desk.lp(name)).record
        assert (record.quoted, record.quote_ms) == (20, 60)


async def test_an_lp_that_nobody_has_called_yet_is_on_the_board_and_is_asked(desk: Desk) -> None:
    lps = await desk.platform.container.lp_board().lps()

    assert {"alpha", "beta"} <= lps.keys()
    for lp in lps.values():
        assert (lp.circuit.state, lp.record) == (CircuitState.CLOSED, LpRecord())
        assert desk.platform.container.lp_desk().refusal(lp, Side.BUY) == ""


async def _took_s(call: Any) -> float:
    began = time.monotonic()
    await call
    return time.monotonic() - began


@asynccontextmanager
async def a_stuck_venue(platform: Platform) -> AsyncIterator[None]:
    """Put a server in alpha's place that takes every connection and never says a word."""

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(4_096):
                pass
        finally:
            writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    lps: Any = platform.container.lps()
    connection = lps["alpha"]._client._connection
    place = connection._place
    connection._place = replace(place, port=server.sockets[0].getsockname()[1])
    try:
        yield
    finally:
        connection._place = place
        server.close()
