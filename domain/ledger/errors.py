"""What the ledger refuses, in the order in which it looks (see `posting.py`)."""

from typing import ClassVar

from domain.errors import DomainError, Kind


class LedgerRefusal(DomainError):
    """An entry that changed no balance.

    Attributes:
        burns_ids: the entry's and the transfer's ids stay failed for ever, because a later
            change of balances could otherwise give the same id another outcome.
    """

    kind = Kind.INVALID
    burns_ids: ClassVar[bool] = False


class EmptyEntry(LedgerRefusal):
    """An entry needs at least one transfer."""

    reason = "EMPTY_ENTRY"


class TooManyTransfers(LedgerRefusal):
    """More transfers than one entry takes."""

    reason = "TOO_MANY_TRANSFERS"


class EmptyBatch(DomainError):
    """A batch without an entry."""

    reason = "EMPTY_BATCH"


class BatchTooLarge(DomainError):
    """More entries or transfers than one batch takes."""

    reason = "BATCH_TOO_LARGE"


class DuplicateTransferId(LedgerRefusal):
    """The same transfer id twice in one entry."""

    reason = "DUPLICATE_TRANSFER_ID"


class AccountsMustDiffer(LedgerRefusal):
    """Debit and credit account are the same."""

    reason = "ACCOUNTS_MUST_DIFFER"


class PendingIdRequired(LedgerRefusal):
    """A post or void must name the pending transfer."""

    reason = "PENDING_ID_REQUIRED"


class PendingIdUnexpected(LedgerRefusal):
    """Only a post or void names a pending transfer."""

    reason = "PENDING_ID_UNEXPECTED"


class ExpiryUnexpected(LedgerRefusal):
    """Only a pending transfer can expire."""

    reason = "EXPIRY_UNEXPECTED"


class EntryAlreadyFailed(LedgerRefusal):
    """An entry of that id failed on balance before; use a new id."""

    kind = Kind.REFUSED
    reason = "ENTRY_ALREADY_FAILED"


class EntryConflict(LedgerRefusal):
    """The entry id is known with other content."""

    kind = Kind.EXISTS
    reason = "ENTRY_CONFLICT"


class TransferAlreadyFailed(LedgerRefusal):
    """A transfer of that id failed on balance before; use a new id."""

    kind = Kind.REFUSED
    reason = "TRANSFER_ALREADY_FAILED"


class TransferConflict(LedgerRefusal):
    """The transfer id belongs to another entry."""

    kind = Kind.EXISTS
    reason = "TRANSFER_CONFLICT"


class IdOutOfWindow(LedgerRefusal):
    """A new client-made id must be a UUIDv7 of the last 24 hours, or at most a minute ahead."""

    reason = "ID_OUT_OF_WINDOW"


class EffectiveTimeOutOfWindow(LedgerRefusal):
    """An entry may count from 366 days before it is recorded to 31 days after."""

    reason = "EFFECTIVE_TIME_OUT_OF_WINDOW"


class EntryAlreadyReversed(LedgerRefusal):
    """The entry was taken back before."""

    kind = Kind.REFUSED
    reason = "ENTRY_ALREADY_REVERSED"


class EntryNotReversible(DomainError):
    """The entry belongs to a trade, holds or resolves something, or is a reversal itself."""

    kind = Kind.REFUSED
    reason = "ENTRY_NOT_REVERSIBLE"


class AccountNotFound(LedgerRefusal):
    """No such account in this book."""

    kind = Kind.MISSING
    reason = "ACCOUNT_NOT_FOUND"


class AccountReserved(LedgerRefusal):
    """The clearing account holds what live trades are about, and moves with its trades only."""

    kind = Kind.REFUSED
    reason = "ACCOUNT_RESERVED"


class AssetMismatch(LedgerRefusal):
    """The amount and both accounts must be of one asset."""

    reason = "ASSET_MISMATCH"


class PendingTransferNotFound(LedgerRefusal):
    """No such transfer in this book."""

    kind = Kind.MISSING
    reason = "PENDING_TRANSFER_NOT_FOUND"


class TransferNotPending(LedgerRefusal):
    """The named transfer is not a pending one."""

    kind = Kind.REFUSED
    reason = "TRANSFER_NOT_PENDING"


class PendingAccountsDiffer(LedgerRefusal):
    """A resolution moves between the accounts of its pending transfer."""

    reason = "PENDING_ACCOUNTS_DIFFER"


class ExceedsPendingAmount(LedgerRefusal):
    """A post is at most, and a void exactly, the pending amount."""

    kind = Kind.REFUSED
    reason = "EXCEEDS_PENDING_AMOUNT"


class PendingAlreadyPosted(LedgerRefusal):
    """The pending transfer was posted."""

    kind = Kind.REFUSED
    reason = "PENDING_ALREADY_POSTED"


class PendingAlreadyVoided(LedgerRefusal):
    """The pending transfer was voided."""

    kind = Kind.REFUSED
    reason = "PENDING_ALREADY_VOIDED"


class PendingExpired(LedgerRefusal):
    """The pending transfer's time is over."""

    kind = Kind.REFUSED
    reason = "PENDING_EXPIRED"


class PendingNotExpired(LedgerRefusal):
    """The pending transfer has no expiry, or its time is not over."""

    kind = Kind.REFUSED
    reason = "PENDING_NOT_EXPIRED"


class BalanceOverflow(LedgerRefusal):
    """A balance column would exceed 10^38 - 1."""

    kind = Kind.REFUSED
    reason = "BALANCE_OVERFLOW"
    burns_ids = True


class InsufficientFunds(LedgerRefusal):
    """The debit account would fall below its overdraft limit, holds counted."""

    kind = Kind.REFUSED
    reason = "INSUFFICIENT_FUNDS"
    burns_ids = True


class EntryNotFound(DomainError):
    """No such entry in this book."""

    kind = Kind.MISSING
    reason = "ENTRY_NOT_FOUND"


class LinesArchived(DomainError):
    """What is asked for follows from lines of the account that were archived."""

    kind = Kind.REFUSED
    reason = "LINES_ARCHIVED"


class DailyCloseNotFound(DomainError):
    """No close of that day: it is not over, or is before the first one."""

    kind = Kind.MISSING
    reason = "DAILY_CLOSE_NOT_FOUND"


class OverdraftTooSmall(DomainError):
    """The account is already further below zero than the limit asked for."""

    kind = Kind.REFUSED
    reason = "OVERDRAFT_TOO_SMALL"


class EntryNotInCheckpoint(DomainError):
    """The entry is committed, and no checkpoint covers it yet."""

    kind = Kind.EXHAUSTED
    reason = "ENTRY_NOT_IN_CHECKPOINT"


class StatementNotExpressible(DomainError):
    """The format asked for has no way to say the asset or an amount of the statement."""

    kind = Kind.REFUSED
    reason = "STATEMENT_NOT_EXPRESSIBLE"


class LiabilityNotInSheet(DomainError):
    """The customer has an account of the asset, and no sheet of liabilities has it yet."""

    kind = Kind.EXHAUSTED
    reason = "LIABILITY_NOT_IN_SHEET"
