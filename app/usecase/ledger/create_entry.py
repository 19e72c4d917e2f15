"""Committing an operator's entry."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import AuditTrail, Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.errors import DomainError
from domain.ids import EntryId
from domain.ledger.entry import Entry, NewEntry
from domain.ledger.errors import LedgerRefusal
from ports.journal import Journal
from ports.ledger import RecordedEntry
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class CreateEntry:
    """The one way in which a person writes to a book."""

    journal: Journal
    once: Once
    announce: Announce
    audit_trail: AuditTrail

    async def __call__(self, call: Call, new: NewEntry) -> RecordedEntry:
        """Return the entry, or raise the ledger's refusal."""
        return await self._post(call, new) or await self._commit(call, new)

    async def _post(self, call: Call, new: NewEntry) -> RecordedEntry | None:
        """Return the entry if there is nothing about it to look at."""
        try:
            entry = new.completed({}, reference=str(call.api_key_id))
        except DomainError:
            return None
        recorded_at = await self.journal.post(
            call.tenant_id,
            [entry],
            correlation_id=call.correlation_id,
            audit_record=self.audit_trail.record(call, entry),
            request=(call.key, entry.id.uuid) if call.key else None,
        )
        if recorded_at is None:
            return None
        return RecordedEntry(entry.recorded(recorded_at), recorded_at)

    async def _commit(self, call: Call, new: NewEntry) -> RecordedEntry:
        submitted: list[Entry] = []

        async def effect(uow: UnitOfWork) -> Change[RecordedEntry]:
            await uow.tenants.get()
            pending = await uow.ledger.get_transfers(
                [transfer.pending_id for transfer in new.transfers if transfer.pending_id]
            )
            entry = new.completed(pending, reference=str(call.api_key_id))
            submitted.append(entry)
            decision = await uow.ledger.commit(entry)
            if decision.is_replay:
                return Change(await uow.ledger.get_entry(new.id), after=None)
            await uow.outbox.add(
                *self.announce.committed(call.tenant_id, [(call.correlation_id, [entry])])
            )
            recorded = RecordedEntry(decision.entry, decision.recorded_at)
            return Change(recorded, after=entry)

        async def replay(uow: UnitOfWork, id: UUID) -> RecordedEntry:
            return await uow.ledger.get_entry(EntryId(id))

        async def burn(uow: UnitOfWork, refusal: DomainError) -> None:
            if isinstance(refusal, LedgerRefusal) and refusal.burns_ids:
                await uow.ledger.burn(submitted[-1], refusal)

        return await self.once(call, new.id, effect, replay, burn)
