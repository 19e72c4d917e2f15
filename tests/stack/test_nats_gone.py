"""The bus comes and goes, forgets everything, and its readers die: each event has one effect.

PostgreSQL decides and the bus only carries, so nobody who trades may notice any of it.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager

import nats
import pytest

from adapters.nats.bus import STREAM, SUBJECT_ROOT
from app.audit.run import audit
from domain.ids import EventId, TenantId, TradeId
from reli.event.v1 import event_pb2
from tests.chaos.stack import NATS
from tests.support.stage import Stage, StagedStack, open_stage, until

AMOUNT = "0.00107711"
READ_WITHIN_S = 20.0

STAMPED = """
SELECT tenant_id, array_agg(id ORDER BY sequence) AS ids, array_agg(sequence ORDER BY sequence) AS
    places
FROM core.outbox GROUP BY tenant_id
"""

UNSTAMPED = "SELECT count(*) FROM core.outbox WHERE sequence IS NULL"
UNPLANNED = "SELECT FROM core.event_heads WHERE planned < last"
UNPUBLISHED = "SELECT FROM core.event_heads WHERE published < last"
LOCKED_UNPUBLISHED = f"{UNPUBLISHED} FOR UPDATE"

POSITIONS = "SELECT FROM core.consumer_positions WHERE consumer = 'house_book' FOR UPDATE"
HOUSE_ACCOUNTS = """
SELECT FROM core.accounts
WHERE tenant_id = (SELECT tenant_id FROM core.tenants WHERE slug = 'house') FOR UPDATE
"""

SETTLED = "SELECT id FROM core.trades WHERE state = 'settled'"
MIRRORED = """
SELECT reference FROM core.entries
WHERE tenant_id = (SELECT tenant_id FROM core.tenants WHERE slug = 'house') AND source = 'trade'
"""


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(workers=1) as stage:
        yield stage


@pytest.fixture(scope="module")
async def tenants(stage: Stage) -> Sequence[str]:
    """Keys of two tenants, each with events of its own."""
    return [stage.key, await stage.new_tenant("other")]


@pytest.fixture(autouse=True)
async def everything_runs(stage: Stage, tenants: Sequence[str]) -> None:
    stage.heal(workers=1)
    await stage.all_ready()
    await trades_settle(stage, tenants)
    await stage.until_quiet()


@pytest.mark.parametrize("end", [StagedStack.stop, StagedStack.kill], ids=["stopped", "killed"])
async def test_a_bus_that_was_away_hears_later_what_happened_meanwhile(
    stage: Stage, tenants: Sequence[str], end: Callable[[StagedStack, str], None]
) -> None:
    async with trading(stage, tenants) as some_settle:
        await asyncio.to_thread(end, stage.parts, NATS)
        await some_settle()
        await until_stamped(stage)
        assert await stage.database.fetch(UNPUBLISHED)
        await until_mirrored(stage)

        stage.restart(NATS)
        await stage.all_ready()
        await some_settle()

    await each_event_arrives_once_and_in_order(stage)


async def test_a_bus_that_was_wiped_is_told_everything_again(
    stage: Stage, tenants: Sequence[str]
) -> None:
    async with trading(stage, tenants) as some_settle:
        stage.kill(NATS)
        await some_settle()
        stage.parts.wipe_nats()

        stage.restart(NATS)
        await stage.all_ready()
        await some_settle()

    await each_event_arrives_once_and_in_order(stage)


async def test_a_relay_that_dies_before_it_notes_what_the_bus_has_taken_publishes_nothing_twice(
    stage: Stage, tenants: Sequence[str]
) -> None:
    stage.kill(NATS)
    await trades_settle(stage, tenants)
    await until_stamped(stage)
    # Whoever plans webhooks writes to the same rows: only the relay may be left to wait for them.
    await until_planned(stage)

    async with stage.locked(LOCKED_UNPUBLISHED) as lock:
        stage.restart(NATS)
        await lock.is_waited_for_by("work")
        taken = sum(len(events) for events in (await events_on_the_bus(stage)).values())
        assert taken == await stage.database.fetchval("SELECT count(*) FROM core.outbox")
        stage.kill("work-1")

    stage.restart("work-1")
    await each_event_arrives_once_and_in_order(stage)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(POSITIONS, id="before it notes the event"),
        pytest.param(HOUSE_ACCOUNTS, id="after it noted the event and before the effect"),
    ],
)
async def test_a_consumer_that_dies_has_its_effect_once(
    stage: Stage, tenants: Sequence[str], rows: str
) -> None:
    async with trading(stage, tenants) as some_settle:
        async with stage.locked(rows) as lock:
            await lock.is_waited_for_by("work")
            await some_settle()
            await lock.is_waited_for_by("work")
            stage.kill("work-1")

        await some_settle()
        stage.restart("work-1")

    await each_event_arrives_once_and_in_order(stage)


async def test_the_audit_of_it_all_is_clean(stage: Stage) -> None:
    report = await audit(stage.ready.database_url, stage.ready.venue_books)

    assert report.is_clean, [finding for finding in report.findings if finding.violations]


@asynccontextmanager
async def trading(
    stage: Stage, tenants: Sequence[str]
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Have customers of all tenants trade all the while; lend a way to wait for some of them."""
    settled = 0
    is_over = asyncio.Event()

    async def trade(key: str) -> None:
        nonlocal settled
        while not is_over.is_set():
            await trades_settle(stage, [key])
            settled += 1

    async def some_settle() -> None:
        enough = settled + 3 * len(tenants)

        async def look() -> bool:
            return settled >= enough

        await until(look, "some trades settle")

    async with asyncio.TaskGroup() as group:
        for key in tenants:
            group.create_task(trade(key))
        try:
            yield some_settle
        finally:
            is_over.set()


async def trades_settle(stage: Stage, tenants: Sequence[str]) -> None:
    """Have a customer of each tenant trade as if nothing was."""
    for key in tenants:
        client = await stage.new_client(key)
        accept = client.begin_to_accept(await client.quote(AMOUNT))
        assert await accept.first == 200
        await stage.assert_one_effect(accept, settled_by="alpha")


async def each_event_arrives_once_and_in_order(stage: Stage) -> None:
    """Check the bus and the house's book, once all has come to rest."""
    await stage.until_quiet()
    await until_mirrored(stage)
    expected = {
        str(TenantId(row["tenant_id"])): [
            (place, str(EventId(id))) for place, id in zip(row["places"], row["ids"], strict=True)
        ]
        for row in await stage.database.fetch(STAMPED)
    }
    for events in expected.values():
        assert [place for place, _ in events] == list(range(1, len(events) + 1))
    assert await events_on_the_bus(stage) == expected


async def until_stamped(stage: Stage) -> None:
    async def look() -> bool:
        return not await stage.database.fetchval(UNSTAMPED)

    await until(look, "every event has its place")


async def until_planned(stage: Stage) -> None:
    async def look() -> bool:
        return not await stage.database.fetch(UNPLANNED)

    await until(look, "every event's webhooks are planned")


async def until_mirrored(stage: Stage) -> None:
    """Wait until the house's book has what has settled by now; no trade may be in it twice."""
    by_now = await settled_trades(stage)

    async def look() -> bool:
        mirrored = Counter(row["reference"] for row in await stage.database.fetch(MIRRORED))
        assert max(mirrored.values(), default=1) == 1
        assert mirrored.keys() <= await settled_trades(stage)
        return by_now <= mirrored.keys()

    await until(look, "the house's book has every trade")


async def settled_trades(stage: Stage) -> Set[str]:
    return {str(TradeId(row["id"])) for row in await stage.database.fetch(SETTLED)}


async def events_on_the_bus(stage: Stage) -> Mapping[str, Sequence[tuple[int, str]]]:
    """Return sequence and id of all that the bus has, in its own order, by tenant."""
    found = defaultdict(list)
    client = await nats.connect(stage.ready.nats_url)
    try:
        jetstream = client.jetstream()
        left = (await jetstream.stream_info(STREAM)).state.messages
        messages = await jetstream.subscribe(f"{SUBJECT_ROOT}.>", ordered_consumer=True)
        for _ in range(left):
            message = await messages.next_msg(timeout=READ_WITHIN_S)
            event = event_pb2.Event.FromString(message.data)
            assert (message.headers or {})["Nats-Msg-Id"] == event.id
            found[event.tenant_id].append((event.sequence, event.id))
    finally:
        await client.close()
    return found
