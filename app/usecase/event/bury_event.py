"""Burying an event that a consumer cannot deal with, and telling the operator."""

from dataclasses import dataclass
from typing import Final

from app.usecase.announce import Announce
from domain.dead_letter import MAX_REASON, DeadLetter
from domain.ids import CallId, DeadLetterId
from ports.consumer import LoggedEvent
from ports.ids import IdSource
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWorkFactory

BURIED: Final = "dead_letter.buried"
REPLAYED: Final = "dead_letter.replayed"
REPLAY_FAILED: Final = "dead_letter.replay_failed"

ABOUT_LETTERS: Final = frozenset({BURIED, REPLAYED, REPLAY_FAILED})
"""Types of the house's own events about dead letters."""


@dataclass(frozen=True, slots=True)
class BuryEvent:
    """Moves a consumer of the house past an event and keeps that for a person."""

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    announce: Announce
    directory: TenantDirectory

    async def __call__(self, consumer: str, event: LoggedEvent, reason: str) -> None:
        """Bury the consumer's next event of that tenant; does nothing if somebody else did."""
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            if not await uow.inbox.pass_over(consumer, event):
                return
            now = await uow.now()
            letter = DeadLetter(
                id=self.ids.new(DeadLetterId),
                consumer=consumer,
                event_id=event.id,
                source_tenant_id=event.tenant_id,
                event_type=event.type,
                subject=event.subject,
                reason=reason[:MAX_REASON],
                buried_at=now,
            )
            # An alert that is buried itself raises no further one, or that would never end.
            if await uow.dead_letters.add(letter) and event.type not in ABOUT_LETTERS:
                correlation_id = str(self.ids.new(CallId))
                await self.announce(uow, BURIED, letter, correlation_id=correlation_id, now=now)
