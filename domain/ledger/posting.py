"""The decision of the ledger: given the books under lock, what an entry does to them.

Refusals come in a stated order, so that the same request always hears the same reason:

1. the shape of the entry, then of each transfer;
2. the entry's id: failed before, known with the same content (a replay), known with other content;
3. then transfer by transfer, each seeing the effect of those before it: its id failed before, its
   id known, ids out of the window, accounts, whether they are reserved, asset, the pending transfer
   it resolves, overflow, and funds last.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from domain.amount import MAX_UNITS, AmountNotPositive, AmountTooLarge
from domain.errors import DomainError
from domain.ids import AccountId, EntryId, TransferId, TypedId
from domain.ledger import errors
from domain.ledger.account import Account, AccountKind
from domain.ledger.entry import MAX_TRANSFERS, Entry, EntrySource
from domain.ledger.transfer import Posting, Transfer, TransferKind

Key = TypeVar("Key")
Value = TypeVar("Value")

ID_MAX_AGE: Final = timedelta(hours=24)
ID_MAX_LEAD: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a decision may look at, all read after the accounts were locked.

    Attributes:
        accounts: every account the entry names, where it exists.
        transfers: every transfer the entry names, as its own id or as a pending id, if known.
        resolutions: how each of those pending transfers was resolved, if it was.
        entries: committed entries, of those ids that are asked about.
        failed: ids that failed on balance before, with the reason.
        now: the database's clock.
    """

    accounts: Mapping[AccountId, Account]
    transfers: Mapping[TransferId, Transfer]
    resolutions: Mapping[TransferId, TransferKind]
    entries: Mapping[EntryId, Entry]
    failed: Mapping[UUID, str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write: the changed accounts, and two postings for each transfer, debit first.

    A replay carries nothing to write.
    """

    entry: Entry
    is_replay: bool
    accounts: Mapping[AccountId, Account] = field(default_factory=dict)
    postings: tuple[Posting, ...] = ()


def decide(entry: Entry, books: Books) -> Decision:
    """Apply `entry` to `books`, or raise the first refusal in the stated order."""
    _check_shape(entry)
    if entry.id.uuid in books.failed:
        raise errors.EntryAlreadyFailed(
            "an entry of this id failed before; use a new id",
            entry_id=entry.id,
            first_reason=books.failed[entry.id.uuid],
        )
    known = books.entries.get(entry.id)
    if known is not None:
        if not is_same_content(known, entry):
            raise errors.EntryConflict(
                "this entry id is known with other content", entry_id=entry.id
            )
        return Decision(known, is_replay=True)

    accounts = dict(books.accounts)
    resolved: dict[TransferId, TransferKind] = dict(books.resolutions)
    transfers = dict(books.transfers)
    postings: list[Posting] = []
    for transfer in entry.transfers:
        postings += _apply(transfer, entry, accounts, transfers, resolved, books)
        transfers[transfer.id] = transfer
        if transfer.pending_id is not None:
            resolved[transfer.pending_id] = transfer.kind
    changed = {
        account.id: account
        for account in accounts.values()
        if account is not books.accounts[account.id]
    }
    return Decision(entry, is_replay=False, accounts=changed, postings=tuple(postings))


def decide_all(entries: Sequence[Entry], books: Books) -> list[Decision | DomainError]:
    """Decide on entries in order, each on the books as those before it leave them.

    One that is refused has its refusal in its place and changes nothing but the ids that it burns.
    """
    accounts, transfers, resolutions = (
        dict(books.accounts),
        dict(books.transfers),
        dict(books.resolutions),
    )
    known, failed = dict(books.entries), dict(books.failed)
    results: list[Decision | DomainError] = []
    for entry in entries:
        named = {transfer.id for transfer in entry.transfers}
        pending = {transfer.pending_id for transfer in entry.transfers if transfer.pending_id}
        seen = Books(
            accounts=_of(accounts, entry.account_ids),
            transfers=_of(transfers, named | pending),
            resolutions=_of(resolutions, pending),
            entries=known,
            failed=failed,
            now=books.now,
        )
        try:
            decision = decide(entry, seen)
        except DomainError as refusal:
            failed |= burned_ids(entry, refusal)
            results.append(refusal)
            continue
        results.append(decision)
        if decision.is_replay:
            continue
        accounts |= decision.accounts
        known[entry.id] = entry
        for transfer in entry.transfers:
            transfers[transfer.id] = transfer
            if transfer.pending_id is not None:
                resolutions[transfer.pending_id] = transfer.kind
    return results


def burned_ids(entry: Entry, refusal: DomainError) -> dict[UUID, str]:
    """Return the ids that stay failed after this refusal, each with its reason."""
    if not isinstance(refusal, errors.LedgerRefusal) or not refusal.burns_ids:
        return {}
    transfer_id = TransferId.parse(refusal.metadata["transfer_id"])
    return dict.fromkeys((entry.id.uuid, transfer_id.uuid), refusal.reason)


def _of(all: Mapping[Key, Value], keys: Iterable[Key]) -> dict[Key, Value]:
    return {key: all[key] for key in keys if key in all}


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
    if len({transfer.id for transfer in entry.transfers}) < len(entry.transfers):
        raise errors.DuplicateTransferId("a transfer id appears twice", entry_id=entry.id)
    for transfer in entry.transfers:
        refusal = _shape_refusal(transfer)
        if refusal is not None:
            raise refusal


def _shape_refusal(transfer: Transfer) -> DomainError | None:
    if transfer.debit_account_id == transfer.credit_account_id:
        return errors.AccountsMustDiffer(
            "debit and credit account are the same",
            transfer_id=transfer.id,
            account_id=transfer.debit_account_id,
        )
    if transfer.amount.units <= 0:
        return AmountNotPositive("amount must be more than zero", transfer_id=transfer.id)
    if transfer.amount.units > MAX_UNITS:
        return AmountTooLarge("amount is more than 10^30 minor units", transfer_id=transfer.id)
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


def _apply(
    transfer: Transfer,
    entry: Entry,
    accounts: dict[AccountId, Account],
    transfers: Mapping[TransferId, Transfer],
    resolved: Mapping[TransferId, TransferKind],
    books: Books,
) -> tuple[Posting, Posting]:
    if transfer.id.uuid in books.failed:
        raise errors.TransferAlreadyFailed(
            "a transfer of this id failed before; use a new id",
            transfer_id=transfer.id,
            first_reason=books.failed[transfer.id.uuid],
        )
    if transfer.id in transfers:
        raise errors.TransferConflict(
            "this transfer id belongs to another entry", transfer_id=transfer.id
        )
    if entry.source is EntrySource.OPERATOR:
        # Only ids made outside are held to the window: the ids of a trade's settlement are
        # minted when it is accepted, and its outcome may be known days later.
        _check_window(entry.id, books.now)
        _check_window(transfer.id, books.now)
    debit = _account(accounts, transfer.debit_account_id, "debit_account_id", transfer)
    credit = _account(accounts, transfer.credit_account_id, "credit_account_id", transfer)
    if entry.source is not EntrySource.TRADE:
        _check_reserved(transfer, debit, credit)
    if not transfer.amount.asset == debit.asset == credit.asset:
        raise errors.AssetMismatch(
            "the amount and both accounts must be of one asset",
            transfer_id=transfer.id,
            amount_asset=transfer.amount.asset,
            debit_asset=debit.asset,
            credit_asset=credit.asset,
        )
    pending_change, posted_change = _changes(transfer, transfers, resolved, books.now)
    debit_after = debit.debited(pending=pending_change, posted=posted_change)
    credit_after = credit.credited(pending=pending_change, posted=posted_change)
    for account in (debit_after, credit_after):
        if account.overflows:
            raise errors.BalanceOverflow(
                "a balance column would exceed 10^38 - 1",
                transfer_id=transfer.id,
                account_id=account.id,
            )
    if not transfer.resolves and not debit_after.is_within_limit:
        raise errors.InsufficientFunds(
            f"{debit.amount(debit.available)} available, {transfer.amount} needed",
            transfer_id=transfer.id,
            account_id=debit.id,
            available=debit.amount(debit.available).value,
            needed=transfer.amount.value,
            asset=debit.asset,
        )
    accounts[debit.id] = debit_after
    accounts[credit.id] = credit_after
    return (
        _posting(transfer, entry.id, debit, debit_after, books.now),
        _posting(transfer, entry.id, credit, credit_after, books.now),
    )


def _changes(
    transfer: Transfer,
    transfers: Mapping[TransferId, Transfer],
    resolved: Mapping[TransferId, TransferKind],
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
    transfers: Mapping[TransferId, Transfer],
    resolved: Mapping[TransferId, TransferKind],
    now: datetime,
) -> Transfer:
    ids: dict[str, TypedId] = {"transfer_id": transfer.id, "pending_id": pending_id}
    pending = transfers.get(pending_id)
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
    match resolved.get(pending_id):
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


def _account(
    accounts: Mapping[AccountId, Account], id: AccountId, field: str, transfer: Transfer
) -> Account:
    account = accounts.get(id)
    if account is None:
        raise errors.AccountNotFound(
            "no such account", field=field, account_id=id, transfer_id=transfer.id
        )
    return account


def _check_reserved(transfer: Transfer, *accounts: Account) -> None:
    for account in accounts:
        if account.key.kind is AccountKind.TRADE_CLEARING:
            raise errors.AccountReserved(
                "the clearing account moves with its trades only",
                transfer_id=transfer.id,
                account_id=account.id,
            )


def _check_window(id: TypedId, now: datetime) -> None:
    if not id.is_time_ordered or not now - ID_MAX_AGE <= id.created_at <= now + ID_MAX_LEAD:
        raise errors.IdOutOfWindow(
            "a new id is a UUIDv7 of the last 24 hours, at most a minute ahead", id=id
        )


def _posting(
    transfer: Transfer, entry_id: EntryId, before: Account, after: Account, now: datetime
) -> Posting:
    return Posting(
        transfer=transfer,
        entry_id=entry_id,
        account_id=after.id,
        change=after.amount(after.balance - before.balance),
        held_change=after.amount(after.held - before.held),
        balance_after=after.amount(after.balance),
        version=after.version,
        recorded_at=now,
    )
