"""Where the books are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from domain.amount import Amount
from domain.errors import DomainError
from domain.ids import AccountId, CustomerId, EntryId, TenantId, TransferId
from domain.ledger.account import Account, AccountKey, HeldFor
from domain.ledger.entry import Entry
from domain.ledger.errors import LedgerRefusal
from domain.ledger.posting import Decision
from domain.ledger.statement import Cursor, Found, Period, Statement
from domain.ledger.transfer import Posting, Transfer
from ports.page import Page, PageRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class PastBalance:
    """What had been posted to an account.

    Attributes:
        effective_at: lines that count by then; None: whenever they count.
        recorded_by: lines that were recorded by then. None of them can come any more, so the same
            question has the same answer for ever.
    """

    posted: Amount
    effective_at: datetime | None
    recorded_by: datetime


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry as it is kept.

    Attributes:
        reversed_by: the entry that took it back, if one did.
    """

    entry: Entry
    recorded_at: datetime
    reversed_by: EntryId | None = None


class PostingOrder(StrEnum):
    """Where a list of an account's lines begins."""

    NEWEST_FIRST = "newest_first"
    OLDEST_FIRST = "oldest_first"


class LedgerStore(Protocol):
    """The book of one tenant."""

    async def open_accounts(self, keys: Sequence[AccountKey]) -> Mapping[AccountKey, AccountId]:
        """Return the accounts of those names, opening those that do not exist yet."""
        ...

    async def commit(
        self, entry: Entry, *, is_new: bool = False, pending: Sequence[Transfer] = ()
    ) -> Decision:
        """Apply an entry under the locks of its accounts, taken in the order of their ids.

        `is_new` says that nothing can be known of the entry's ids, that `pending` holds every
        transfer it resolves, unresolved so far, and that it counts when it is recorded; then there
        is nothing to look up. That a hold is resolved once is held by a key even if that
        was wrong. Accounts are shared by many units of work: commit soon after. Raises the first
        `LedgerRefusal` in the stated order, having changed nothing.
        """
        ...

    async def commit_new(self, entries: Sequence[Entry]) -> Sequence[Decision]:
        """Apply entries of new ids that resolve nothing, in order and at once, as `commit` does.

        Raises the first `LedgerRefusal` of the first entry that is refused, having changed nothing.
        """
        ...

    async def commit_all(self, entries: Sequence[Entry]) -> Sequence[Decision | DomainError]:
        """Apply entries in order, each as `commit` does, in a constant number of round trips.

        One that is refused has its refusal in its place, keeps its neighbors from nothing, and has
        its ids burned where it says so. Raises `VersionConflict` when somebody used one of the ids
        meanwhile for other accounts: asked again, the entry is refused for it.
        """
        ...

    async def burn(self, entry: Entry, refusal: LedgerRefusal) -> None:
        """Keep the ids of an entry that failed on balance failed for ever.

        Raises `VersionConflict` when somebody committed the entry meanwhile: asked again, it is
        known.
        """
        ...

    async def get_entry(self, entry_id: EntryId) -> RecordedEntry:
        """Return an entry, or raise `EntryNotFound`."""
        ...

    async def get_transfers(self, ids: Sequence[TransferId]) -> Mapping[TransferId, Transfer]:
        """Return those transfers that exist."""
        ...

    async def find_account(self, key: AccountKey) -> Account | None:
        """Return the account of that name, if there is one."""
        ...

    async def get_account(self, account_id: AccountId, *, lock: bool = False) -> Account:
        """Return an account, or raise `AccountNotFound`."""
        ...

    async def get_holds(self, account_id: AccountId) -> tuple[Account, Sequence[HeldFor]]:
        """Return an account and what is held on it, by purpose, both as of one instant.

        Raises `AccountNotFound`.
        """
        ...

    async def set_overdraft_limit(self, account: Account) -> None:
        """Store the account's new overdraft limit; the row is locked by `get_account`."""
        ...

    async def list_accounts(self, page: PageRequest) -> Page[Account]:
        """Return a page of accounts, the newest first."""
        ...

    async def customer_accounts(self, customer_id: CustomerId) -> Sequence[Account]:
        """Return every account of a customer, by asset code."""
        ...

    async def has_balances(self, customer_id: CustomerId | None) -> bool:
        """Lock the customer's, or all, accounts and say whether any is not at rest.

        At rest means: no pending units, and posted credits equal posted debits.
        """
        ...

    async def list_lines(self, until: datetime | None = None) -> datetime | None:
        """List a lot of the lines that wait for it, and return by when the last were recorded.

        Given that again, what was written since is left out, and it returns None once nothing else
        waits. Whoever reads lines has listed all that wait; where it may be much, they are listed
        before, in units of work of their own.
        """
        ...

    async def list_postings(
        self,
        account_id: AccountId,
        page: PageRequest,
        order: PostingOrder = PostingOrder.NEWEST_FIRST,
    ) -> Page[Posting]:
        """Return a page of an account's lines by their versions; its key is where it ended.

        Lines that were archived have their place on a page, and are not on it.
        """
        ...

    async def balance_at(
        self,
        account_id: AccountId,
        *,
        effective_at: datetime | None = None,
        recorded_by: datetime | None = None,
    ) -> PastBalance:
        """Return the balance of an instant by either time.

        What is recorded by now is waited for; a `recorded_by` of the future means now. Raises
        `AccountNotFound`, or `LinesArchived` where the lines that are left do not say it.
        """
        ...

    async def open_statement(
        self, account_id: AccountId, period: Period, *, recorded_by: datetime | None = None
    ) -> tuple[Statement, Cursor]:
        """Return the balances around a period, and where its lines begin, as `balance_at` does."""
        ...

    async def statement_lines(self, statement: Statement, cursor: Cursor, *, limit: int) -> Found:
        """Return at most `limit` lines of either kind that follow the cursor.

        Whatever is recorded meanwhile, the same cursor has the same lines. Raises `LinesArchived`
        if one of them is not there any more.
        """
        ...


class ExpiringHold(NamedTuple):
    """A pending transfer that lapses by itself at `expires_at`."""

    expires_at: datetime
    tenant_id: TenantId
    transfer_id: TransferId


class ExpiringHolds(Protocol):
    """Pending transfers of all tenants that lapse by themselves."""

    async def due(self, *, limit: int, after: ExpiringHold | None = None) -> Sequence[ExpiringHold]:
        """Return holds whose time is over and that nobody has resolved yet, in their order.

        `after` says where the page before it ended.
        """
        ...


class Lines(Protocol):
    """The lines of all tenants' accounts, which are listed after they are written."""

    async def list_waiting(self) -> bool:
        """List those that waited longest, and return whether as many are still waiting.

        Who reads an account's lines lists all of his tenant.
        """
        ...
