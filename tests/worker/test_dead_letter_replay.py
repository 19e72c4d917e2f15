"""An event that a consumer failed at is told to the operator, and has its effect once after all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from adapters.postgres.consumer import PostgresEventFeed
from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.outbox import PostgresSequencer
from app.usecase.event.bury_event import BURIED, REPLAY_FAILED, REPLAYED
from app.usecase.event.replay_dead_letters import ReplayDeadLetters
from app.usecase.house.mirror_trades import CONSUMER, MirrorTrades
from app.worker.dead_letter_replay import DeadLetterReplay
from app.worker.event_follower import MAX_FAILURES, EventFollower
from domain.ids import DeadLetterId, EventId, TenantId
from domain.reconciliation.break_ import Break
from domain.trade.trade import Trade
from ports.consumer import LoggedEvent
from ports.errors import DatabaseBusy
from ports.unit_of_work import UnitOfWork
from reli.event.v1 import dead_letter_pb2, event_pb2
from reli.event.v1 import event_service_pb2 as pb
from tests.support.platform import Platform, new_request_id

Letter = dead_letter_pb2.DeadLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class BuggyMirror(MirrorTrades):
    """Fails at some tenants' trades, at the end of the effect, until somebody mends it."""

    broken: dict[str, Exception]

    async def _take_up(self, uow: UnitOfWork, things: Sequence[Trade | Break]) -> None:
        await MirrorTrades._take_up(self, uow, things)
        for thing in things:
            if error := self.broken.get(str(thing.tenant_id)):
                raise error


@dataclass
class House:
    """The house's book, with bugs to be mended."""

    platform: Platform
    mirror: BuggyMirror
    book: EventFollower
    replays: DeadLetterReplay
    leases: PostgresLeases
    sequencer: PostgresSequencer

    @property
    def id(self) -> UUID:
        return self.platform.environment.house_id.uuid

    async def a_buried_trade(self) -> tuple[str, Letter]:
        """Return a tenant and the letter of the trade that it settled."""
        tenant_id, client = await self.platform.a_tenant()
        self.mirror.broken[tenant_id] = RuntimeError("a bug of ours")
        customer_id = await self.platform.a_funded_customer(client)
        await client.accept((await client.quote(customer_id, "0.01")).id)
        await self.catch_up()
        (letter,) = await self.letters(tenant_id)
        return tenant_id, letter

    async def catch_up(self) -> None:
        lease = await self.leases.acquire("sequencer", lease_for=timedelta(seconds=30))
        assert lease is not None
        while await self.sequencer.stamp(lease, limit=1_000):
            pass
        await self.leases.renew(lease, lease_for=timedelta(0))
        while await self.book():
            pass  # what others have left comes first
        for _ in range(MAX_FAILURES):
            await self.book()
        while await self.book():
            pass

    async def letters(self, tenant_id: str) -> list[Letter]:
        listed = await self.platform.operator.event_admin.ListDeadLetters(
            pb.ListDeadLettersRequest(tenant_id=tenant_id)
        )
        return list(listed.dead_letters)

    async def request(self, letter: Letter, request_id: str = "") -> Letter:
        requested = await self.platform.operator.event_admin.ReplayDeadLetter(
            pb.ReplayDeadLetterRequest(
                tenant_id=letter.tenant_id,
                dead_letter_id=letter.id,
                request_id=request_id or new_request_id(),
            )
        )
        found: Letter = requested.dead_letter
        return found

    async def mirrored(self, tenant_id: str) -> int:
        """Return how many trades of the tenant the house's book knows."""
        count: int = await self.platform.owner.fetchval(
            "SELECT count(DISTINCT e.id) FROM core.entries AS e JOIN core.trades AS t "
            "ON t.tenant_id = $2 WHERE e.tenant_id = $1 AND e.source = 'trade' AND e.id IN ("
            "SELECT x.entry_id FROM core.transfers AS x JOIN core.accounts AS a ON "
            "a.tenant_id = x.tenant_id AND a.id IN (x.debit_account_id, x.credit_account_id) "
            "WHERE x.tenant_id = $1 AND a.kind = 'external' AND a.owner = $3)",
            self.id,
            TenantId.parse(tenant_id).uuid,
            tenant_id,
        )
        return count

    async def is_noted(self, letter: Letter) -> bool:
        return bool(
            await self.platform.owner.fetchval(
                "SELECT true FROM core.inbox WHERE tenant_id = $1 AND consumer = $2 "
                "AND event_id = $3",
                self.id,
                CONSUMER,
                EventId.parse(letter.event_id).uuid,
            )
        )

    async def told(self, letter: Letter) -> list[tuple[str, Letter]]:
        """Return what the house's own events say of the letter, in their order."""
        rows = await self.platform.owner.fetch(
            "SELECT type, payload FROM core.outbox WHERE tenant_id = $1 AND subject = $2 "
            "ORDER BY recorded_at",
            self.id,
            letter.id,
        )
        events = [(row["type"], event_pb2.Event.FromString(row["payload"])) for row in rows]
        return [(type, event.dead_letter) for type, event in events]


@pytest.fixture
async def house(platform: Platform) -> AsyncIterator[House]:
    engine = make_engine(platform.settings.work_database_url, pool_size=8)
    container = platform.work_container
    real: Any = container.mirror_trades()
    mirror = BuggyMirror(**{f.name: getattr(real, f.name) for f in fields(real)}, broken={})
    replays: ReplayDeadLetters = replace(container.house_replays(), consumer=mirror)
    yield House(
        platform=platform,
        mirror=mirror,
        book=EventFollower(CONSUMER, PostgresEventFeed(engine), mirror, container.bury_event()),
        replays=DeadLetterReplay(replays),
        leases=PostgresLeases(engine),
        sequencer=PostgresSequencer(engine),
    )
    await engine.dispose()


async def test_a_burial_is_told_in_the_houses_own_events(house: House) -> None:
    tenant_id, letter = await house.a_buried_trade()

    assert await house.told(letter) == [(BURIED, letter)]
    assert letter.state == dead_letter_pb2.DEAD_LETTER_STATE_BURIED
    assert (letter.consumer, letter.event_type) == (CONSUMER, "trade.settled")
    assert letter.subject.startswith("trade_")
    assert letter.reason == "RuntimeError: a bug of ours"
    assert not await house.is_noted(letter)
    assert await house.mirrored(tenant_id) == 0


async def test_a_replay_has_the_effect_and_notes_it_with_the_letter(house: House) -> None:
    tenant_id, letter = await house.a_buried_trade()
    house.mirror.broken.clear()

    requested = await house.request(letter)
    assert requested.state == dead_letter_pb2.DEAD_LETTER_STATE_REPLAY_REQUESTED
    assert await house.letters(tenant_id) == [requested]
    assert await house.mirrored(tenant_id) == 0
    await house.replays()

    (replayed,) = await house.letters(tenant_id)
    assert replayed.state == dead_letter_pb2.DEAD_LETTER_STATE_REPLAYED
    assert replayed.replay_requested_by == requested.replay_requested_by != ""
    assert replayed.HasField("replay_time")
    assert await house.is_noted(letter)
    assert await house.mirrored(tenant_id) == 1
    assert await house.told(letter) == [(BURIED, letter), (REPLAYED, replayed)]


async def test_replayed_by_several_workers_it_has_one_effect(house: House) -> None:
    tenant_id, letter = await house.a_buried_trade()
    house.mirror.broken.clear()
    await house.request(letter)
    await house.request(letter)

    await asyncio.gather(*(house.replays() for _ in range(4)))
    await house.replays()
    await house.catch_up()

    assert await house.mirrored(tenant_id) == 1
    assert [type for type, _ in await house.told(letter)] == [BURIED, REPLAYED]


async def test_a_replay_that_fails_again_leaves_nothing_but_what_it_failed_of(
    house: House,
) -> None:
    tenant_id, letter = await house.a_buried_trade()
    house.mirror.broken[tenant_id] = ValueError("another bug of ours")

    for failures in (1, 2):
        await house.request(letter)
        await house.replays()

        (failed,) = await house.letters(tenant_id)
        assert failed.state == dead_letter_pb2.DEAD_LETTER_STATE_BURIED
        assert failed.replay_failures == failures
        assert failed.replay_failure == "ValueError: another bug of ours"
        assert failed.reason == letter.reason
        assert not await house.is_noted(letter)
        assert await house.mirrored(tenant_id) == 0
    assert [type for type, _ in await house.told(letter)] == [BURIED, *[REPLAY_FAILED] * 2]

    house.mirror.broken.clear()
    await house.replays()
    assert await house.mirrored(tenant_id) == 0, "nobody has asked since"
    await house.request(letter)
    await house.replays()
    assert await house.mirrored(tenant_id) == 1


async def test_a_busy_database_fails_no_replay(house: House) -> None:
    tenant_id, letter = await house.a_buried_trade()
    other_tenant_id, other = await house.a_buried_trade()
    house.mirror.broken.clear()
    house.mirror.broken[tenant_id] = DatabaseBusy("busy")
    await house.request(letter)
    await house.request(other)

    with pytest.raises(DatabaseBusy):
        await house.replays()

    (waiting,) = await house.letters(tenant_id)
    assert waiting.state == dead_letter_pb2.DEAD_LETTER_STATE_REPLAY_REQUESTED
    assert waiting.replay_failures == 0
    assert await house.mirrored(other_tenant_id) == 1, "one letter holds up no other"
    house.mirror.broken.clear()
    await house.replays()
    assert await house.mirrored(tenant_id) == 1


async def test_the_house_passes_over_its_own_alerts(house: House) -> None:
    _, letter = await house.a_buried_trade()

    await house.catch_up()

    behind = await house.platform.owner.fetchval(
        "SELECT h.last - p.sequence FROM core.event_heads AS h JOIN core.consumer_positions AS p "
        "ON p.source_tenant_id = h.tenant_id AND p.consumer = $2 WHERE h.tenant_id = $1",
        house.id,
        CONSUMER,
    )
    assert behind == 0
    assert [type for type, _ in await house.told(letter)] == [BURIED]


async def test_an_alert_that_is_buried_itself_raises_no_other_one(house: House) -> None:
    _, letter = await house.a_buried_trade()
    alert = await house.platform.owner.fetchrow(
        "SELECT id, sequence FROM core.outbox WHERE tenant_id = $1 AND subject = $2",
        house.id,
        letter.id,
    )
    await house.catch_up()
    alert = await house.platform.owner.fetchrow(
        "SELECT id, sequence FROM core.outbox WHERE tenant_id = $1 AND id = $2",
        house.id,
        alert["id"],
    )
    consumer = f"consumer {letter.id}"  # which stands right before it
    await house.platform.owner.execute(
        "INSERT INTO core.consumer_positions VALUES ($1, $2, $3)",
        consumer,
        house.id,
        alert["sequence"] - 1,
    )
    event = LoggedEvent(
        id=EventId(alert["id"]),
        tenant_id=TenantId(house.id),
        sequence=alert["sequence"],
        type=BURIED,
        subject=letter.id,
        failures=MAX_FAILURES - 1,
    )
    told_before = await house.platform.owner.fetchval(
        "SELECT count(*) FROM core.outbox WHERE tenant_id = $1", house.id
    )

    for _ in range(2):
        await house.platform.work_container.bury_event()(consumer, event, "a bug")

    ids = await house.platform.owner.fetch(
        "SELECT id FROM core.dead_letters WHERE consumer = $1", consumer
    )
    assert [DeadLetterId(row["id"]) for row in ids]
    assert len(ids) == 1
    assert told_before == await house.platform.owner.fetchval(
        "SELECT count(*) FROM core.outbox WHERE tenant_id = $1", house.id
    )
