"""Taking an entry back."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import EntryId, TransferId
from ports.ids import IdSource
from ports.ledger import RecordedEntry
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class ReverseEntry:
    """Nothing that was recorded is changed: what takes it back is an entry of its own, and the
    only one of that entry.
    """

    once: Once
    ids: IdSource
    announce: Announce

    async def __call__(
        self, call: Call, entry_id: EntryId, *, description: str, effective_at: datetime | None
    ) -> RecordedEntry:
        """Return the new entry, or raise `EntryNotFound`, `EntryNotReversible`,
        `EntryAlreadyReversed` or what else the ledger refuses.
        """
        reversal_id = self.ids.new(EntryId)

        async def effect(uow: UnitOfWork) -> Change[RecordedEntry]:
            await uow.tenants.get()
            reversal = (await uow.ledger.get_entry(entry_id)).entry.reversal(
                reversal_id,
                partial(self.ids.new, TransferId),
                reference=str(call.api_key_id),
                description=description,
                effective_at=effective_at,
            )
            decision = await uow.ledger.commit(reversal)
            await self.announce.entries(uow, [decision], correlation_id=call.correlation_id)
            recorded = RecordedEntry(decision.entry, decision.recorded_at)
            return Change(recorded, after=decision.entry)

        async def replay(uow: UnitOfWork, id: UUID) -> RecordedEntry:
            return await uow.ledger.get_entry(EntryId(id))

        return await self.once(call, reversal_id, effect, replay)
