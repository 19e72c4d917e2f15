"""The decision of the ledger: given the books, what an entry does to them.

Refusals come in a stated order, so that the same request always hears the same reason:

1. the shape of the entry, then of each transfer;
2. the entry's id: known with the same content (a replay), known with other content, failed before;
   then its time of effect, and whether what it takes back was taken back before;
3. then transfer by transfer, each seeing the effect of those before it: its id failed before, its
   id known, a caller's ids out of the window, accounts, whether they are reserved, asset, the
   pending transfer it resolves, overflow, and funds last.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from domain.amount import MAX_UNITS, AmountNotPositive, AmountTooLarge
from domain.errors import DomainError
from domain.ids import AccountId, EntryId, TransferId, TypedId, milliseconds
from domain.ledger import errors
from domain.ledger.account import Account, AccountKind
from domain.ledger.entry import MAX_TRANSFERS, Entry, EntrySource
from domain.ledger.transfer import Posting, Transfer, TransferKind

ID_MAX_AGE: Final = timedelta(hours=24)
ID_MAX_LEAD: Final = timedelta(minutes=1)

BACKDATED_AT_MOST: Final = timedelta(days=366)
POSTDATED_AT_MOST: Final = timedelta(days=31)
"""How far the time of effect may be from the time of record. Between these, the balance of a past
instant is a line and the few lines around it that count at another time."""

# An enum's member is not looked up each time.
_REGULAR: Final = TransferKind.REGULAR
_CLEARING: Final = AccountKind.TRADE_CLEARING


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a decision may look at, by the bytes of the ids: a batch asks thousands of times.

    Read after the accounts were locked, or remembered; then what was decided is written only if the
    accounts are still at these versions.

    Attributes:
        accounts: every account the entry names, where it exists.
        transfers: every transfer the entry names, as its own id or as a pending id, if known.
        resolutions: how each of those pending transfers was resolved, if it was.
        entries: committed entries, of those ids that are asked about; without transfers where
            these are archived.
        failed: ids that failed on balance before, with the reason.
        reversals: by the entry, what took it back, of those entries that are to be taken back.
        now: the database's clock.
    """

    accounts: Mapping[bytes, Account]
    transfers: Mapping[bytes, Transfer]
    resolutions: Mapping[bytes, TransferKind]
    entries: Mapping[bytes, Entry]
    failed: Mapping[bytes, str]
    now: datetime
    reversals: Mapping[bytes, EntryId] = field(default_factory=dict)


class Move(NamedTuple):
    """What one transfer did to its two accounts."""

    transfer: Transfer
    debit_before: Account
    debit_after: Account
    credit_before: Account
    credit_after: Account


class Decision(NamedTuple):
    """What to write: one move for each transfer.

    A replay carries nothing to write.

    Attributes:
        asked: the entry as it was asked for, or as it is kept if this is a replay.
        recorded_at: the books' clock, but never before the latest line of an account in the books:
            an account's lines are in the order of their times.
    """

    asked: Entry
    is_replay: bool
    recorded_at: datetime
    moves: Sequence[Move] = ()

    @property
    def entry(self) -> Entry:
        """The entry as it is kept."""
        return self.asked.recorded(self.recorded_at)

    @property
    def accounts(self) -> Mapping[AccountId, Account]:
        """The changed accounts, as the entry leaves them."""
        return {
            account.id: account
            for move in self.moves
            for account in (move.debit_after, move.credit_after)
        }

    @property
    def postings(self) -> tuple[Posting, ...]:
        """Two lines for each transfer, debit first; made when they are read."""
        return tuple(
            self._posting(move.transfer, before, after)
            for move in self.moves
            for before, after in (
                (move.debit_before, move.debit_after),
                (move.credit_before, move.credit_after),
            )
        )

    def _posting(self, transfer: Transfer, before: Account, after: Account) -> Posting:
        return Posting(
            transfer=transfer,
            entry_id=self.asked.id,
            account_id=after.id,
            change=after.amount(after.balance - before.balance),
            held_change=after.amount(after.held - before.held),
            balance_after=after.amount(after.balance),
            version=after.version,
            effective_at=self.asked.effective_at or self.recorded_at,
            recorded_at=self.recorded_at,
        )


def decide(entry: Entry, books: Books) -> Decision:
    """Apply `entry` to `books`, or raise the first refusal in the stated order."""
    return OpenBooks(books).decide(entry)


class OpenBooks:
    """Books that take on what is decided, so that the next entry sees it.

    Attributes:
        accounts: as what was decided leaves them.
        latest_record: when the latest line of an account was recorded before.
        recorded_at: when all that is decided here is recorded.
    """

    def __init__(self, books: Books) -> None:
        self.accounts = dict(books.accounts)
        self.latest_record = max(
            (account.recorded_at for account in self.accounts.values() if account.recorded_at),
            default=None,
        )
        self.recorded_at = max(books.now, self.latest_record or books.now)
        self._accounts_before = books.accounts
        self._transfers = dict(books.transfers)
        self._resolutions = dict(books.resolutions)
        self._entries = dict(books.entries)
        self._failed = dict(books.failed)
        self._reversals = dict(books.reversals)
        # UUIDv7s are in the order of their times, so the window is one of bytes.
        self._oldest = milliseconds(books.now - ID_MAX_AGE).to_bytes(6)
        self._beyond = (milliseconds(books.now + ID_MAX_LEAD) + 1).to_bytes(6)

    @property
    def changed(self) -> list[tuple[Account, Account]]:
        """The accounts that something was decided about, as they were and are, by their ids."""
        before, after = self._accounts_before, self.accounts
        return [(before[id], after[id]) for id in sorted(after) if after[id] is not before[id]]

    def know(self, transfers: Iterable[Transfer]) -> None:
        """Take on transfers that an entry resolves."""
        self._transfers.update((transfer.id.bytes, transfer) for transfer in transfers)

    def result_of(self, entry: Entry) -> Decision | DomainError:
        """Take an entry on, or return its refusal and keep the ids that it burns."""
        try:
            return self.decide(entry)
        except DomainError as refusal:
            self._failed |= burned_ids(entry, refusal)
            return refusal

    def decide(self, entry: Entry) -> Decision:
        """Take an entry on, or leave all as it was and raise the first refusal."""
        _check_shape(entry)
        id = entry.id.bytes
        known = self._entries.get(id)
        if known is not None:
            if not known.transfers:
                raise errors.LinesArchived(
                    "this entry id is known, and its transfers are archived", entry_id=entry.id
                )
            if not is_same_content(known, entry):
                raise errors.EntryConflict(
                    "this entry id is known with other content", entry_id=entry.id
                )
            return Decision(known, is_replay=True, recorded_at=self.recorded_at)
        if id in self._failed:
            raise errors.EntryAlreadyFailed(
                "an entry of this id failed before; use a new id",
                entry_id=entry.id,
                first_reason=self._failed[id],
            )
        if entry.effective_at is not None:
            self._check_effect(entry, entry.effective_at)
        if entry.reverses is not None and entry.reverses.bytes in self._reversals:
            raise errors.EntryAlreadyReversed(
                "the entry was taken back before",
                entry_id=entry.reverses,
                reversal_id=self._reversals[entry.reverses.bytes],
            )
        moves: list[Move] = []
        try:
            for transfer in entry.transfers:
                move = self._move(transfer, entry)
                moves.append(move)
        except DomainError:
            for move in reversed(moves):
                self._undo(move)
            raise
        self._entries[id] = entry
        if entry.reverses is not None:
            self._reversals[entry.reverses.bytes] = entry.id
        return Decision(entry, False, self.recorded_at, moves)

    def _move(self, transfer: Transfer, entry: Entry) -> Move:
        id = transfer.id.bytes
        if id in self._failed:
            raise errors.TransferAlreadyFailed(
                "a transfer of this id failed before; use a new id",
                transfer_id=transfer.id,
                first_reason=self._failed[id],
            )
        if id in self._transfers:
            raise errors.TransferConflict(
                "this transfer id belongs to another entry", transfer_id=transfer.id
            )
        if entry.has_callers_ids:
            # Ours are minted by clocks that jump; and those of a trade's settlement when it is
            # accepted, though its outcome may be known days later.
            self._check_window(entry.id)
            self._check_window(transfer.id)
        debit = self.accounts.get(transfer.debit_account_id.bytes)
        credit = self.accounts.get(transfer.credit_account_id.bytes)
        if debit is None or credit is None:
            raise _account_not_found(transfer, "debit" if debit is None else "credit")
        if debit.key.kind is _CLEARING or credit.key.kind is _CLEARING:
            _check_reserved(transfer, entry, debit, credit)
        amount = transfer.amount
        if not amount.asset.code == debit.key.asset.code == credit.key.asset.code:
            raise errors.AssetMismatch(
                "the amount and both accounts must be of one asset",
                transfer_id=transfer.id,
                amount_asset=amount.asset,
                debit_asset=debit.asset,
                credit_asset=credit.asset,
            )
        if transfer.kind is _REGULAR:
            pending, posted = 0, amount.units
        else:
            pending, posted = _changes(
                transfer, self._transfers, self._resolutions, self.recorded_at
            )
        debit_after = debit.debited(pending, posted, self.recorded_at)
        credit_after = credit.credited(pending, posted, self.recorded_at)
        if debit_after.overflows or credit_after.overflows:
            raise errors.BalanceOverflow(
                "a balance column would exceed 10^38 - 1",
                transfer_id=transfer.id,
                account_id=debit.id if debit_after.overflows else credit.id,
            )
        if not debit_after.is_within_limit and not transfer.resolves:
            raise errors.InsufficientFunds(
                f"{debit.amount(debit.available)} available, {amount} needed",
                transfer_id=transfer.id,
                account_id=debit.id,
                available=debit.amount(debit.available).value,
                needed=amount.value,
                asset=debit.asset,
            )
        self.accounts[debit.id.bytes] = debit_after
        self.accounts[credit.id.bytes] = credit_after
        self._transfers[id] = transfer
        if transfer.pending_id is not None:
            self._resolutions[transfer.pending_id.bytes] = transfer.kind
        return Move(transfer, debit, debit_after, credit, credit_after)

    def _undo(self, move: Move) -> None:
        self.accounts[move.debit_before.id.bytes] = move.debit_before
        self.accounts[move.credit_before.id.bytes] = move.credit_before
        del self._transfers[move.transfer.id.bytes]
        if move.transfer.pending_id is not None:
            del self._resolutions[move.transfer.pending_id.bytes]

    def _check_effect(self, entry: Entry, effective_at: datetime) -> None:
        earliest = self.recorded_at - BACKDATED_AT_MOST
        if not earliest <= effective_at <= self.recorded_at + POSTDATED_AT_MOST:
            raise errors.EffectiveTimeOutOfWindow(
                "an entry counts at most 366 days before and 31 days after it is recorded",
                entry_id=entry.id,
                field="effective_time",
            )

    def _check_window(self, id: TypedId) -> None:
        if not self._oldest <= id.bytes < self._beyond or not id.is_time_ordered:
            raise errors.IdOutOfWindow(
                "a new id is a UUIDv7 of the last 24 hours, at most a minute ahead", id=id
            )


def burned_ids(entry: Entry, refusal: DomainError) -> dict[bytes, str]:
    """Return the ids that stay failed after this refusal, as bytes, each with its reason."""
    if not isinstance(refusal, errors.LedgerRefusal) or not refusal.burns_ids:
        return {}
    transfer_id = TransferId.parse(refusal.metadata["transfer_id"])
    return dict.fromkeys((entry.id.bytes, transfer_id.bytes), refusal.reason)


def is_same_content(one: Entry, other: Entry) -> bool:
    """Say whether two entries ask for the same; time of effect and wording do not count."""
    return one.transfers == other.transfers and one.source == other.source


def _check_shape(entry: Entry) -> None:
    if not entry.transfers:
        raise errors.EmptyEntry("an entry needs at least one transfer", entry_id=entry.id)
    if len(entry.transfers) > MAX_TRANSFERS:
        raise errors.TooManyTransfers(
            f"an entry takes at most {MAX_TRANSFERS} transfers",
            entry_id=entry.id,
            maximum=MAX_TRANSFERS,
        )
    if len(entry.transfers) > 1 and len({transfer.id for transfer in entry.transfers}) < len(
        entry.transfers
    ):
        raise errors.DuplicateTransferId("a transfer id appears twice", entry_id=entry.id)
    for transfer in entry.transfers:
        refusal = _shape_refusal(transfer)
        if refusal is not None:
            raise refusal


def _shape_refusal(transfer: Transfer) -> DomainError | None:
    if transfer.debit_account_id.bytes == transfer.credit_account_id.bytes:
        return errors.AccountsMustDiffer(
            "debit and credit account are the same",
            transfer_id=transfer.id,
            account_id=transfer.debit_account_id,
        )
    if transfer.amount.units <= 0:
        return AmountNotPositive("amount must be more than zero", transfer_id=transfer.id)
    if transfer.amount.units > MAX_UNITS:
        return AmountTooLarge("amount is more than 10^30 minor units", transfer_id=transfer.id)
    if transfer.kind is _REGULAR and transfer.pending_id is None and transfer.expires_at is None:
        return None
    if transfer.resolves and transfer.pending_id is None:
        return errors.PendingIdRequired(
            f"a {transfer.kind} names the pending transfer", transfer_id=transfer.id
        )
    if not transfer.resolves and transfer.pending_id is not None:
        return errors.PendingIdUnexpected(
            f"a {transfer.kind} transfer names no pending transfer", transfer_id=transfer.id
        )
    if transfer.expires_at is not None and transfer.kind is not TransferKind.PENDING:
        return errors.ExpiryUnexpected(
            "only a pending transfer can expire", transfer_id=transfer.id
        )
    return None


def _changes(
    transfer: Transfer,
    transfers: Mapping[bytes, Transfer],
    resolved: Mapping[bytes, TransferKind],
    now: datetime,
) -> tuple[int, int]:
    """Return what is added to the pending and to the posted columns of both accounts."""
    if transfer.pending_id is None:
        units = transfer.amount.units
        return (units, 0) if transfer.kind is TransferKind.PENDING else (0, units)
    pending = _pending(transfer, transfer.pending_id, transfers, resolved, now)
    posted = transfer.amount.units if transfer.kind is TransferKind.POST else 0
    return -pending.amount.units, posted


def _pending(
    transfer: Transfer,
    pending_id: TransferId,
    transfers: Mapping[bytes, Transfer],
    resolved: Mapping[bytes, TransferKind],
    now: datetime,
) -> Transfer:
    ids: dict[str, TypedId] = {"transfer_id": transfer.id, "pending_id": pending_id}
    pending = transfers.get(pending_id.bytes)
    if pending is None:
        raise errors.PendingTransferNotFound("no such pending transfer", **ids)
    if pending.kind is not TransferKind.PENDING:
        raise errors.TransferNotPending("the named transfer is not a pending one", **ids)
    if (pending.debit_account_id, pending.credit_account_id) != (
        transfer.debit_account_id,
        transfer.credit_account_id,
    ):
        raise errors.PendingAccountsDiffer(
            "a resolution moves between the accounts of its pending transfer", **ids
        )
    whole = transfer.amount == pending.amount
    if transfer.amount.units > pending.amount.units or (
        transfer.kind is not TransferKind.POST and not whole
    ):
        raise errors.ExceedsPendingAmount(
            "a post is at most, a void exactly, the pending amount",
            pending_amount=pending.amount.value,
            **ids,
        )
    match resolved.get(pending_id.bytes):
        case TransferKind.POST:
            raise errors.PendingAlreadyPosted("the pending transfer was posted", **ids)
        case TransferKind.VOID:
            raise errors.PendingAlreadyVoided("the pending transfer was voided", **ids)
        case TransferKind.EXPIRE:
            raise errors.PendingExpired("the pending transfer has expired", **ids)
    is_over = pending.expires_at is not None and pending.expires_at <= now
    if transfer.kind is TransferKind.EXPIRE and not is_over:
        raise errors.PendingNotExpired("the pending transfer's time is not over", **ids)
    if transfer.kind is TransferKind.POST and is_over:
        raise errors.PendingExpired("the pending transfer has expired", **ids)
    return pending


def _check_reserved(transfer: Transfer, entry: Entry, *accounts: Account) -> None:
    if entry.source is EntrySource.TRADE:
        return
    for account in accounts:
        if account.key.kind is _CLEARING:
            raise errors.AccountReserved(
                "the clearing account moves with its trades only",
                transfer_id=transfer.id,
                account_id=account.id,
            )


def _account_not_found(transfer: Transfer, side: str) -> DomainError:
    id = transfer.debit_account_id if side == "debit" else transfer.credit_account_id
    return errors.AccountNotFound(
        "no such account", field=f"{side}_account_id", account_id=id, transfer_id=transfer.id
    )
