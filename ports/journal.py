"""The journal: plain entries, many callers' at once, without locking the books first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from domain.audit_record import NewAuditRecord
from domain.ids import TenantId
from domain.ledger.entry import Entry
from ports.request import RequestKey

BREATH: Final = 250
"""Entries of a large batch that are dealt with in one go; then others get on."""


class Journal(Protocol):
    """Where entries go that are expected to be new, plain and funded, as nearly all are.

    Those who post to one tenant's books at the same time share a transaction. Who comes alone waits
    for nobody.
    """

    async def post(
        self,
        tenant_id: TenantId,
        entries: Sequence[Entry],
        *,
        correlation_id: str,
        request: tuple[RequestKey, UUID] | None = None,
        audit_record: NewAuditRecord | None = None,
    ) -> datetime | None:
        """Commit all of the entries, told in the outbox, and return when they were recorded.

        Returns None where nothing was done because `LedgerStore` has to look: an entry that is not
        plain (`is_plain`), an id or a request that is known, an account that does not exist, funds
        that were not seen. What it then says holds; this says nothing. `request` and
        `audit_record` are recorded with the entries. Raises `DatabaseBusy` or
        `DatabaseUnavailable`; after the latter nobody knows, and the ids make it safe to ask again.
        """
        ...


def is_plain(entry: Entry) -> bool:
    """Say whether nothing has to be looked up for an entry but its accounts."""
    return (
        entry.effective_at is None
        and entry.reverses is None
        and not any(transfer.resolves or transfer.expires_at for transfer in entry.transfers)
    )
