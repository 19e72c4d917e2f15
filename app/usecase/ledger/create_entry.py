"""Committing an operator's entry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.call import Call
from app.usecase.once import Once
from domain.errors import DomainError
from domain.ids import EntryId
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.errors import LedgerRefusal
from domain.ledger.transfer import NewTransfer
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class CreateEntry:
    """The one way in which a person writes to a book."""

    once: Once
    announce: Announce

    async def __call__(
        self,
        call: Call,
        *,
        entry_id: EntryId,
        transfers: Sequence[NewTransfer],
        description: str,
        effective_at: datetime | None,
    ) -> tuple[Entry, datetime]:
        """Return the entry and when it was recorded, or raise the ledger's refusal."""
        submitted: list[Entry] = []

        async def effect(uow: UnitOfWork) -> tuple[Entry, datetime]:
            await uow.tenants.get()
            now = await uow.now()
            pending = await uow.ledger.get_transfers(
                [transfer.pending_id for transfer in transfers if transfer.pending_id]
            )
            entry = Entry(
                id=entry_id,
                transfers=tuple(
                    transfer.completed(
                        pending.get(transfer.pending_id) if transfer.pending_id else None
                    )
                    for transfer in transfers
                ),
                source=EntrySource.OPERATOR,
                reference=str(call.api_key_id),
                description=description,
                effective_at=effective_at or now,
            )
            submitted.append(entry)
            decision = await uow.ledger.commit(entry)
            if decision.is_replay:
                return await uow.ledger.get_entry(entry_id)
            await self.announce(
                uow, "entry.committed", entry, correlation_id=call.correlation_id, now=now
            )
            return entry, decision.postings[0].recorded_at

        async def replay(uow: UnitOfWork, id: UUID) -> tuple[Entry, datetime]:
            return await uow.ledger.get_entry(EntryId(id))

        async def burn(uow: UnitOfWork, refusal: DomainError) -> None:
            if isinstance(refusal, LedgerRefusal) and refusal.burns_ids:
                await uow.ledger.burn(submitted[-1], refusal)

        return await self.once(call, entry_id, effect, replay, burn)
