"""One tenant's book in memory: it keeps what the ledger decides, as the database does."""

from dataclasses import dataclass, field
from datetime import datetime

from domain.errors import DomainError
from domain.ids import AccountId, EntryId, TransferId
from domain.ledger.account import Account
from domain.ledger.entry import Entry
from domain.ledger.errors import LedgerRefusal
from domain.ledger.posting import Books, Decision, burned_ids, decide
from domain.ledger.transfer import Posting, Transfer, TransferKind
from tests.support.builders import NOW


@dataclass
class Book:
    accounts: dict[AccountId, Account] = field(default_factory=dict)
    transfers: dict[TransferId, Transfer] = field(default_factory=dict)
    resolutions: dict[TransferId, TransferKind] = field(default_factory=dict)
    entries: dict[EntryId, Entry] = field(default_factory=dict)
    failed: dict[bytes, str] = field(default_factory=dict)
    postings: list[Posting] = field(default_factory=list)
    now: datetime = NOW

    def open(self, account: Account) -> Account:
        self.accounts[account.id] = account
        return account

    def copy(self) -> "Book":
        """Return a book of its own; what the two hold is immutable."""
        return Book(
            accounts=dict(self.accounts),
            transfers=dict(self.transfers),
            resolutions=dict(self.resolutions),
            entries=dict(self.entries),
            failed=dict(self.failed),
            postings=list(self.postings),
            now=self.now,
        )

    @property
    def books(self) -> Books:
        """What a decision may look at: all of it."""
        return Books(
            accounts={id.bytes: account for id, account in self.accounts.items()},
            transfers={id.bytes: transfer for id, transfer in self.transfers.items()},
            resolutions={id.bytes: kind for id, kind in self.resolutions.items()},
            entries={id.bytes: entry for id, entry in self.entries.items()},
            failed=self.failed,
            now=self.now,
        )

    def result_of(self, entry: Entry) -> Decision | DomainError:
        """Apply an entry; a refusal is returned."""
        try:
            return self.commit(entry)
        except DomainError as refusal:
            return refusal

    def commit(self, entry: Entry) -> Decision:
        """Apply an entry, or raise its refusal, whose ids stay failed where it says so."""
        try:
            decision = decide(entry, self.books)
        except LedgerRefusal as refusal:
            self.failed |= burned_ids(entry, refusal)
            raise
        if decision.is_replay:
            return decision
        self.accounts |= decision.accounts
        self.postings += decision.postings
        self.entries[entry.id] = decision.entry
        for transfer in entry.transfers:
            self.transfers[transfer.id] = transfer
            if transfer.pending_id is not None:
                # The primary key of a resolution is the pending id.
                assert transfer.pending_id not in self.resolutions
                self.resolutions[transfer.pending_id] = transfer.kind
        return decision
