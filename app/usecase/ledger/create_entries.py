"""Committing many operator's entries at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.usecase.announce import Announce
from app.usecase.audit_trail import AuditTrail
from app.usecase.call import Call
from domain.errors import DomainError
from domain.ids import TransferId
from domain.ledger.entry import CommittedEntries, Entry, NewEntry
from domain.ledger.errors import BatchTooLarge, EmptyBatch
from domain.ledger.posting import Decision
from domain.ledger.transfer import Transfer
from ports.journal import Journal
from ports.unit_of_work import UnitOfWorkFactory

MAX_TRANSFERS: Final = 8_190
"""Of one batch, in all of its entries."""

EntryResult = Decision | DomainError


@dataclass(frozen=True, slots=True)
class CreateEntries:
    """Entries carry their own ids, so a batch that comes again has its effect once."""

    journal: Journal
    units_of_work: UnitOfWorkFactory
    announce: Announce
    audit_trail: AuditTrail

    async def __call__(
        self, call: Call, entries: Sequence[NewEntry | DomainError]
    ) -> Sequence[EntryResult]:
        """Return one result for each entry, in order; what could not even be read stays refused.

        Raises `EmptyBatch`, `BatchTooLarge`, `TenantNotFound`, and `VersionConflict` when somebody
        used one of the ids meanwhile.
        """
        _check_size(entries)
        posted = await self._post(call, entries)
        if posted is not None:
            return posted
        async with self.units_of_work.begin(call.tenant_id) as uow:
            await uow.tenants.get()
            pending = await uow.ledger.get_transfers(
                [
                    transfer.pending_id
                    for entry in entries
                    if isinstance(entry, NewEntry)
                    for transfer in entry.transfers
                    if transfer.pending_id
                ]
            )
            drafts = _drafts(entries, dict(pending), reference=str(call.api_key_id))
            decided = iter(
                await uow.ledger.commit_all([one for one in drafts if isinstance(one, Entry)])
            )
            results = [next(decided) if isinstance(one, Entry) else one for one in drafts]
            new = [one.asked for one in results if isinstance(one, Decision) and not one.is_replay]
            await uow.outbox.add(
                *self.announce.committed(call.tenant_id, [(call.correlation_id, new)])
            )
            if new:
                await uow.audit_log.add(self.audit_trail.record(call, _committed(new)))
        return results

    async def _post(
        self, call: Call, entries: Sequence[NewEntry | DomainError]
    ) -> Sequence[EntryResult] | None:
        """Return the results if there is nothing about any of the entries to look at."""
        drafts = _drafts(entries, {}, reference=str(call.api_key_id))
        whole = [one for one in drafts if isinstance(one, Entry)]
        if len(whole) < len(drafts):
            return None
        recorded_at = await self.journal.post(
            call.tenant_id,
            whole,
            correlation_id=call.correlation_id,
            audit_record=self.audit_trail.record(call, _committed(whole)),
        )
        if recorded_at is None:
            return None
        return [Decision(entry, is_replay=False, recorded_at=recorded_at) for entry in whole]


def _committed(entries: Sequence[Entry]) -> CommittedEntries:
    return CommittedEntries([entry.id for entry in entries], ())


def _check_size(entries: Sequence[NewEntry | DomainError]) -> None:
    if not entries:
        raise EmptyBatch("a batch needs at least one entry", field="entries")
    transfers = sum(len(entry.transfers) for entry in entries if isinstance(entry, NewEntry))
    if max(transfers, len(entries)) > MAX_TRANSFERS:
        raise BatchTooLarge(
            f"a batch takes at most {MAX_TRANSFERS} entries and transfers",
            field="entries",
            maximum=MAX_TRANSFERS,
        )


def _drafts(
    entries: Sequence[NewEntry | DomainError],
    known: dict[TransferId, Transfer],
    *,
    reference: str,
) -> list[Entry | DomainError]:
    """Fill in what pending transfers say, those of the same batch too."""
    drafts: list[Entry | DomainError] = []
    is_asked = any(
        transfer.pending_id
        for entry in entries
        if isinstance(entry, NewEntry)
        for transfer in entry.transfers
    )
    for entry in entries:
        if isinstance(entry, DomainError):
            drafts.append(entry)
            continue
        try:
            draft = entry.completed(known, reference=reference)
        except DomainError as refusal:
            drafts.append(refusal)
        else:
            drafts.append(draft)
            if is_asked:
                for transfer in draft.transfers:
                    known.setdefault(transfer.id, transfer)
    return drafts
