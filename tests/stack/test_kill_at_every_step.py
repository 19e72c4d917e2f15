"""A process that is killed in the middle of a trade changes nothing about how the trade ends.

Each test brings a trade to one step on real processes, kills there who is taking it, and then asks
everybody: the venues' own books, the ledger, and the client who repeats its accept.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest

from app.audit.run import audit
from domain.ids import QuoteId
from tests.support.stage import (
    CUSTOMER_ACCOUNT,
    QUOTE,
    SERVE,
    TRADE,
    Accept,
    Client,
    Lock,
    Stage,
    open_stage,
)

# Their last digits tell the venues what to do: see `adapters/lp/sandbox/behavior.py`.
FILLED = "0.00107711"
REFUSED_BY_ALL = "0.00107722"
REFUSED_THEN_FILLED_SLOWLY = "0.00107724"


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(workers=2) as stage:
        yield stage


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def workers(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


@pytest.fixture
async def client(stage: Stage, workers: int) -> Client:
    stage.heal(workers=workers)
    return await stage.new_client()


Dead = tuple[Accept, str]
"""An accept under way, and who was killed."""

Step = Callable[[Stage, Client], Awaitable[Dead]]

UNDECIDED = (0, 502, 503, 504)
"""What a client hears of a server that dies: nothing, or that nobody knows."""


# Steps of a server: each ends with the server killed.


async def serve_before_the_accept_commits(stage: Stage, client: Client) -> Dead:
    quote = await client.quote(FILLED)
    async with stage.locked(QUOTE, QuoteId.parse(quote["id"]).uuid) as lock:
        accept = client.begin_to_accept(quote)
        await lock.is_waited_for_by("serve")
        stage.kill(SERVE)
    return accept, SERVE


async def serve_while_the_venue_works_on_the_order(stage: Stage, client: Client) -> Dead:
    quote = await client.quote(FILLED)
    await stage.misbehave("alpha", "slow")
    accept = client.begin_to_accept(quote)
    trade = await stage.trade(accept)
    await stage.works_on("alpha", trade["id"])
    stage.kill(SERVE)
    return accept, SERVE


async def serve_after_the_fill_and_before_the_trade_knows(stage: Stage, client: Client) -> Dead:
    return await _decided_and_not_stored(stage, client, FILLED)


async def serve_after_the_fill_and_before_the_books_know(stage: Stage, client: Client) -> Dead:
    quote = await client.quote(FILLED)
    # It receives bitcoin at the settlement; the hold was in naira.
    async with stage.locked(CUSTOMER_ACCOUNT, client.id, "BTC") as lock:
        accept = client.begin_to_accept(quote)
        await lock.is_waited_for_by("serve")
        trade = await stage.trade(accept)
        assert await stage.executions(trade["id"]) == ["alpha"]
        stage.kill(SERVE)
    return accept, SERVE


async def serve_after_the_settlement_and_before_the_client_heard(
    stage: Stage, client: Client
) -> Dead:
    quote = await client.quote(FILLED)
    async with stage.locked(CUSTOMER_ACCOUNT, client.id, "BTC") as lock:
        accept = client.begin_to_accept(quote)
        await lock.is_waited_for_by("serve")
        stage.proxies[SERVE].blackhole()
    await stage.end_of(accept)
    stage.kill(SERVE)
    stage.proxies[SERVE].heal()
    return accept, SERVE


async def serve_after_the_refusal_and_before_that_is_stored(stage: Stage, client: Client) -> Dead:
    return await _decided_and_not_stored(stage, client, REFUSED_BY_ALL)


async def _decided_and_not_stored(stage: Stage, client: Client, amount: str) -> Dead:
    """Kill the server when the venue has answered and the answer is about to be written."""
    quote = await client.quote(amount)
    stage.freeze("venue-alpha")
    accept = client.begin_to_accept(quote)
    trade = await stage.trade(accept)
    async with stage.locked(TRADE, trade["id"]) as lock:
        stage.thaw("venue-alpha")
        await lock.is_waited_for_by("serve")
        stage.kill(SERVE)
    return accept, SERVE


# Steps of a worker: each ends with the worker killed. The server sleeps all the while.


async def work_after_it_took_the_trade_over(stage: Stage, client: Client) -> Dead:
    accept, trade_id = await _slept_through(stage, client, FILLED)
    async with stage.locked(TRADE, trade_id) as lock:
        await stage.end_lease(trade_id)
        worker = await _worker_that_waits_for(lock)
        stage.kill(worker)
    return accept, worker


async def work_while_it_asks_the_venue(stage: Stage, client: Client) -> Dead:
    accept, trade_id = await _slept_through(stage, client, FILLED)
    stage.proxies["alpha"].blackhole()
    speaker = stage.speaker_to("alpha")
    await stage.end_lease(trade_id)
    worker = await speaker
    stage.kill(worker)
    stage.proxies["alpha"].heal()
    return accept, worker


async def work_after_the_answer_and_before_it_is_stored(stage: Stage, client: Client) -> Dead:
    return await _killed_before_the_books(stage, client, FILLED, asset="BTC")


async def work_while_the_backup_works_on_the_order(stage: Stage, client: Client) -> Dead:
    accept, trade_id = await _slept_through(stage, client, REFUSED_THEN_FILLED_SLOWLY)
    speaker = stage.speaker_to("beta")
    await stage.end_lease(trade_id)
    worker = await speaker
    await stage.works_on("beta", trade_id)
    stage.kill(worker)
    return accept, worker


async def work_after_every_refusal_and_before_the_hold_is_given_back(
    stage: Stage, client: Client
) -> Dead:
    return await _killed_before_the_books(stage, client, REFUSED_BY_ALL, asset="NGN")


async def _killed_before_the_books(
    stage: Stage, client: Client, amount: str, *, asset: str
) -> Dead:
    """Kill the worker when it knows the outcome and waits for the customer's account."""
    accept, trade_id = await _slept_through(stage, client, amount)
    async with stage.locked(CUSTOMER_ACCOUNT, client.id, asset) as lock:
        await stage.end_lease(trade_id)
        worker = await _worker_that_waits_for(lock)
        stage.kill(worker)
    return accept, worker


async def _slept_through(stage: Stage, client: Client, amount: str) -> tuple[Accept, UUID]:
    """Accept a quote, and have the server fall asleep before the venue decides."""
    quote = await client.quote(amount)
    stage.freeze("venue-alpha")
    speaker = stage.speaker_to("alpha")
    accept = client.begin_to_accept(quote)
    assert await speaker == SERVE
    stage.freeze(SERVE)
    stage.thaw("venue-alpha")
    trade = await stage.trade(accept)
    await stage.decided("alpha", trade["id"])
    return accept, trade["id"]


async def _worker_that_waits_for(lock: Lock) -> str:
    return lock.stage.process_at((await lock.is_waited_for_by("work")).port)


# A worker that was killed has the time of the server's next step to start again.
@pytest.mark.parametrize(
    ("step", "settled_by"),
    [
        (serve_before_the_accept_commits, "alpha"),
        (work_after_it_took_the_trade_over, "alpha"),
        (serve_while_the_venue_works_on_the_order, "alpha"),
        (work_while_it_asks_the_venue, "alpha"),
        (serve_after_the_fill_and_before_the_trade_knows, "alpha"),
        (work_after_the_answer_and_before_it_is_stored, "alpha"),
        (serve_after_the_fill_and_before_the_books_know, "alpha"),
        (work_while_the_backup_works_on_the_order, "beta"),
        (serve_after_the_settlement_and_before_the_client_heard, "alpha"),
        (work_after_every_refusal_and_before_the_hold_is_given_back, None),
        (serve_after_the_refusal_and_before_that_is_stored, None),
    ],
    ids=lambda value: value.__name__.replace("_", " ") if callable(value) else value or "rejected",
)
async def test_a_trade_ends_once_whoever_is_killed(
    stage: Stage,
    client: Client,
    workers: int,
    step: Step,
    settled_by: str | None,
) -> None:
    accept, killed = await step(stage, client)

    if killed == SERVE:
        assert await accept.first in UNDECIDED
        stage.restart(SERVE)
        await accept.again()
    elif workers == 1:
        stage.restart(killed)
    await stage.end_of(accept)
    stage.thaw(SERVE)

    await stage.assert_one_effect(accept, settled_by=settled_by)
    assert killed == SERVE or len(stage.workers) == 1  # nobody came to help the survivor


async def test_the_audit_of_it_all_is_clean(stage: Stage) -> None:
    stage.heal(workers=2)
    await stage.until_quiet()

    report = await audit(stage.ready.database_url, stage.ready.venue_books)

    assert report.is_clean, [finding for finding in report.findings if finding.violations]
