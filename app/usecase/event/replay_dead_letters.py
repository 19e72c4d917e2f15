"""Replaying what an operator has asked for: each event has its effect once after all."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.usecase.announce import Announce
from app.usecase.event.bury_event import REPLAY_FAILED, REPLAYED
from domain.dead_letter import DeadLetter, DeadLetterState
from domain.ids import CallId, DeadLetterId
from ports.consumer import LoggedEvent
from ports.ids import IdSource
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


class Receive(Protocol):
    """Decides, in the unit of work of an effect, whether there is to be one."""

    def __call__(self, uow: UnitOfWork) -> Awaitable[bool]: ...


class Consumer(Protocol):
    """Has the effect of events in a unit of work of the house, if `receive` says so there."""

    def __call__(self, events: Sequence[LoggedEvent], *, receive: Receive) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class ReplayDeadLetters:
    """The replays that wait for one consumer.

    Attributes:
        name: of the consumer.
    """

    name: str
    consumer: Consumer
    units_of_work: UnitOfWorkFactory
    ids: IdSource
    announce: Announce
    directory: TenantDirectory

    async def requested(self, *, limit: int) -> Sequence[DeadLetter]:
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            return await uow.dead_letters.requested(self.name, limit=limit)

    async def replay(self, letter: DeadLetter) -> None:
        """Deal with the event; effect, inbox and letter are written together or not at all."""

        async def receive(uow: UnitOfWork) -> bool:
            found = await self._still_requested(uow, letter.id)
            if found is None:
                return False
            replayed = found.replay(now=await uow.now())
            await uow.dead_letters.conclude_replay(replayed)
            await self._tell(uow, REPLAYED, replayed)
            return await uow.inbox.note(self.name, found.event_id)

        event = LoggedEvent(
            id=letter.event_id,
            tenant_id=letter.source_tenant_id,
            sequence=0,
            type=letter.event_type,
            subject=letter.subject,
            failures=0,
        )
        await self.consumer([event], receive=receive)

    async def fail(self, letter: DeadLetter, reason: str) -> None:
        """Bury the letter again, for a replay that failed of `reason`."""
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            found = await self._still_requested(uow, letter.id)
            if found is not None:
                failed = found.fail(reason)
                await uow.dead_letters.conclude_replay(failed)
                await self._tell(uow, REPLAY_FAILED, failed)

    async def _still_requested(self, uow: UnitOfWork, id: DeadLetterId) -> DeadLetter | None:
        """Return the letter, locked, unless another worker was first."""
        letter = await uow.dead_letters.get(id, lock=True)
        return letter if letter.state is DeadLetterState.REPLAY_REQUESTED else None

    async def _tell(self, uow: UnitOfWork, type: str, letter: DeadLetter) -> None:
        await self.announce(uow, type, letter, correlation_id=str(self.ids.new(CallId)))
