"""Tells the world what happened, if and only if it was committed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.event import Event
from domain.ids import EventId, TypedId
from domain.ledger.posting import Decision
from ports.ids import IdSource
from ports.unit_of_work import UnitOfWork


class Thing(Protocol):
    """Something that an event can be about."""

    @property
    def id(self) -> TypedId: ...


@dataclass(frozen=True, slots=True)
class Announce:
    """Writes an event to the outbox of a unit of work."""

    ids: IdSource

    async def __call__(
        self,
        uow: UnitOfWork,
        type: str,
        thing: Thing,
        *,
        correlation_id: str,
        now: datetime | None = None,
    ) -> None:
        """Announce that `type` happened to `thing`, as it now is; `now` where it is known."""
        await uow.outbox.add(self._event(uow, type, thing, correlation_id, now or await uow.now()))

    async def entries(
        self, uow: UnitOfWork, decisions: Sequence[Decision], *, correlation_id: str
    ) -> None:
        """Announce that entries were committed, each at the time at which it was recorded."""
        await uow.outbox.add(
            *(
                self._event(uow, "entry.committed", one.entry, correlation_id, one.recorded_at)
                for one in decisions
            )
        )

    def _event(
        self, uow: UnitOfWork, type: str, thing: Thing, correlation_id: str, now: datetime
    ) -> Event:
        return Event(
            id=self.ids.new(EventId),
            tenant_id=uow.tenant_id,
            type=type,
            subject=thing.id,
            data=thing,
            correlation_id=correlation_id,
            occurred_at=now,
        )
