"""What every store of dead letters keeps to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from domain.dead_letter import DeadLetter, DeadLetterNotFound, DeadLetterState
from domain.ids import ApiKeyId, DeadLetterId, EventId, TenantId
from ports.page import PageRequest
from ports.unit_of_work import UnitOfWork
from tests.support.platform import Platform


class Letters:
    """Letters of a consumer that nobody else has, in the house's book."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.consumer = f"consumer {platform.ids.new(EventId)}"
        self.source = platform.ids.new(TenantId)

    @asynccontextmanager
    async def begin(self, *, as_worker: bool = True) -> AsyncIterator[UnitOfWork]:
        container = self.platform.work_container if as_worker else self.platform.container
        async with container.units_of_work().begin(self.platform.environment.house_id) as uow:
            yield uow

    async def bury(self) -> DeadLetter:
        new = self.platform.ids.new
        async with self.begin() as uow:
            letter = DeadLetter(
                id=new(DeadLetterId),
                consumer=self.consumer,
                event_id=new(EventId),
                source_tenant_id=self.source,
                event_type="trade.settled",
                subject="a subject",
                reason="a bug",
                buried_at=await uow.now(),
            )
            assert await uow.dead_letters.add(letter)
        return letter

    async def request(self, letter: DeadLetter) -> DeadLetter:
        async with self.begin(as_worker=False) as uow:
            found = await uow.dead_letters.get(letter.id, lock=True)
            key = self.platform.ids.new(ApiKeyId)
            requested = found.request_replay(by=key, now=await uow.now())
            await uow.dead_letters.request_replay(requested)
        return requested


@pytest.fixture
def letters(platform: Platform) -> Letters:
    return Letters(platform)


@pytest.mark.parametrize("as_worker", [True, False])
async def test_a_letter_is_found_as_it_was_kept(letters: Letters, as_worker: bool) -> None:
    letter = await letters.bury()

    async with letters.begin(as_worker=as_worker) as uow:
        assert await uow.dead_letters.get(letter.id) == letter


async def test_a_consumer_has_one_letter_of_an_event(letters: Letters) -> None:
    letter = await letters.bury()

    async with letters.begin() as uow:
        assert not await uow.dead_letters.add(letter)


async def test_a_letter_that_there_is_not_is_not_found(letters: Letters) -> None:
    with pytest.raises(DeadLetterNotFound):
        async with letters.begin() as uow:
            await uow.dead_letters.get(letters.platform.ids.new(DeadLetterId))


async def test_letters_are_listed_by_page_the_newest_first(letters: Letters) -> None:
    buried = [await letters.bury() for _ in range(3)]
    await Letters(letters.platform).bury()  # another tenant's

    async with letters.begin(as_worker=False) as uow:
        first = await uow.dead_letters.list(PageRequest(size=2), source_tenant_id=letters.source)
        rest = await uow.dead_letters.list(
            PageRequest(size=2, before=first.next_before), source_tenant_id=letters.source
        )
        of_all = await uow.dead_letters.list(PageRequest(size=1), source_tenant_id=None)

    assert [*first.items, *rest.items] == sorted(buried, key=lambda one: one.id, reverse=True)
    assert rest.next_before is None
    assert len(of_all.items) == 1


async def test_a_worker_finds_what_is_requested_the_longest_first(letters: Letters) -> None:
    first, second, _third = [await letters.bury() for _ in range(3)]
    requested = [await letters.request(second), await letters.request(first)]

    async with letters.begin() as uow:
        assert await uow.dead_letters.requested(letters.consumer, limit=10) == requested
        assert await uow.dead_letters.requested(letters.consumer, limit=1) == requested[:1]
        assert await uow.dead_letters.requested("nobody", limit=10) == []


async def test_what_became_of_a_replay_is_kept(letters: Letters) -> None:
    letter = await letters.request(await letters.bury())

    async with letters.begin() as uow:
        failed = letter.fail("a bug")
        await uow.dead_letters.conclude_replay(failed)
    async with letters.begin() as uow:
        assert await uow.dead_letters.get(letter.id) == failed
        assert await uow.dead_letters.requested(letters.consumer, limit=10) == []

    requested = await letters.request(letter)
    async with letters.begin() as uow:
        replayed = requested.replay(now=await uow.now() + timedelta(seconds=1))
        await uow.dead_letters.conclude_replay(replayed)
    async with letters.begin() as uow:
        found = await uow.dead_letters.get(letter.id)
    assert found == replayed
    assert found.state is DeadLetterState.REPLAYED
    assert (found.replay_failures, found.replay_failure) == (1, "a bug")


async def test_an_event_is_noted_out_of_its_turn_once(letters: Letters) -> None:
    event_id = letters.platform.ids.new(EventId)

    async with letters.begin() as uow:
        assert await uow.inbox.note(letters.consumer, event_id)
        assert not await uow.inbox.note(letters.consumer, event_id)
