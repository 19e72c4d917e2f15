"""Tells the world what happened, if and only if it was committed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from domain.event import Event
from domain.ids import EventId, TenantId, TypedId
from domain.ledger.entry import CommittedEntries, Entry
from domain.ledger.posting import Decision
from domain.reconciliation.break_ import Break
from ports.ids import IdSource
from ports.unit_of_work import UnitOfWork

_IDS_IN_AN_EVENT: Final = 1_000
_EVENTS_AT_ONCE: Final = 1_000


class Thing(Protocol):
    """Something that an event or an audit record can be about."""

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
        now = now or await uow.now()
        await uow.outbox.add(self._event(uow.tenant_id, type, thing, correlation_id, now))

    async def breaks(
        self, uow: UnitOfWork, type: str, found: Sequence[Break], *, correlation_id: str
    ) -> None:
        """Announce that `type` happened to breaks, each at the time at which it was raised."""
        for first in range(0, len(found), _EVENTS_AT_ONCE):
            await uow.outbox.add(
                *(
                    self._event(uow.tenant_id, type, one, correlation_id, one.raised_at)
                    for one in found[first : first + _EVENTS_AT_ONCE]
                )
            )

    async def entries(
        self, uow: UnitOfWork, decisions: Sequence[Decision], *, correlation_id: str
    ) -> None:
        """Announce that entries were committed, each at the time at which it was recorded."""
        await uow.outbox.add(
            *(
                self._event(
                    uow.tenant_id, "entry.committed", one.entry, correlation_id, one.recorded_at
                )
                for one in decisions
            )
        )

    def committed(
        self, tenant_id: TenantId, calls: Iterable[tuple[str, Sequence[Entry]]]
    ) -> Sequence[Event]:
        """Return the events that tell of the entries of an operator's calls, committed together.

        Each call comes with its correlation id.
        """
        told = [
            (entry.id, correlation_id) for correlation_id, entries in calls for entry in entries
        ]
        events = []
        for first in range(0, len(told), _IDS_IN_AN_EVENT):
            ids, correlation_ids = zip(*told[first : first + _IDS_IN_AN_EVENT], strict=True)
            is_one_call = correlation_ids.count(correlation_ids[0]) == len(correlation_ids)
            part = CommittedEntries(ids, () if is_one_call else correlation_ids)
            events.append(
                self._event(tenant_id, "entries.committed", part, correlation_ids[0], None)
            )
        return events

    def _event(
        self,
        tenant_id: TenantId,
        type: str,
        thing: Thing,
        correlation_id: str,
        now: datetime | None,
    ) -> Event:
        return Event(
            id=self.ids.new(EventId),
            tenant_id=tenant_id,
            type=type,
            subject=thing.id,
            data=thing,
            correlation_id=correlation_id,
            occurred_at=now,
        )
