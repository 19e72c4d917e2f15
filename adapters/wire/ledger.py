"""Accounts, transfers, entries and postings."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from adapters.wire.amount import (
    amount_message,
    read_optional_time,
    read_positive_amount,
    time_message,
)
from adapters.wire.enum import enum_messages, enum_values, read_enum
from domain.asset import Asset
from domain.errors import InvalidArgument
from domain.ids import AccountId, EntryId, TransferId
from domain.ledger.account import Account, AccountKind, HeldFor
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import NewTransfer, Posting, Transfer, TransferKind
from ports.ledger import PostingOrder
from reli.ledger.v1 import ledger_pb2, ledger_service_pb2

_PURPOSE = re.compile(r"[a-z_]{0,32}", re.ASCII)

_ACCOUNT_KIND = enum_messages(AccountKind, ledger_pb2.AccountKind, "ACCOUNT_KIND")
_TRANSFER_KIND = enum_messages(TransferKind, ledger_pb2.TransferKind, "TRANSFER_KIND")
_SOURCE = enum_messages(EntrySource, ledger_pb2.EntrySource, "ENTRY_SOURCE")
_READ_ACCOUNT_KIND = enum_values(AccountKind, ledger_pb2.AccountKind, "ACCOUNT_KIND")
_READ_TRANSFER_KIND = enum_values(TransferKind, ledger_pb2.TransferKind, "TRANSFER_KIND")
_READ_POSTING_ORDER = enum_values(PostingOrder, ledger_service_pb2.PostingOrder, "POSTING_ORDER")
_REGULAR = ledger_pb2.TRANSFER_KIND_REGULAR


def account_message(account: Account) -> ledger_pb2.Account:
    limit = account.overdraft_limit
    return ledger_pb2.Account(
        id=str(account.id),
        kind=_ACCOUNT_KIND[account.key.kind],
        owner=account.key.owner,
        asset=account.asset.code,
        balance=ledger_pb2.Balance(
            posted=amount_message(account.amount(account.balance)),
            held=amount_message(account.amount(account.held)),
            available=amount_message(account.amount(account.available)),
            incoming=amount_message(account.amount(account.credits_pending)),
        ),
        overdraft_limit=None if limit is None else amount_message(account.amount(limit)),
        version=account.version,
    )


def held_for_message(account: Account, held: HeldFor) -> ledger_pb2.HeldFor:
    return ledger_pb2.HeldFor(
        purpose=held.purpose,
        amount=amount_message(account.amount(held.units)),
        holds=held.holds,
    )


def account_kind_message(kind: AccountKind) -> ledger_pb2.AccountKind:
    message: ledger_pb2.AccountKind = _ACCOUNT_KIND[kind]
    return message


def read_account_kind(number: int) -> AccountKind:
    return read_enum(_READ_ACCOUNT_KIND, number, field="kind")


def read_posting_order(number: int) -> PostingOrder:
    """Return the order asked for; who does not say gets the newest first."""
    newest_first = ledger_service_pb2.POSTING_ORDER_NEWEST_FIRST
    return read_enum(_READ_POSTING_ORDER, number or newest_first, field="order")


def transfer_message(transfer: Transfer) -> ledger_pb2.Transfer:
    return ledger_pb2.Transfer(
        id=str(transfer.id),
        debit_account_id=str(transfer.debit_account_id),
        credit_account_id=str(transfer.credit_account_id),
        amount=amount_message(transfer.amount),
        kind=_TRANSFER_KIND[transfer.kind],
        pending_id=str(transfer.pending_id or ""),
        expire_time=time_message(transfer.expires_at),
        purpose=transfer.purpose,
    )


def entry_message(
    entry: Entry, *, recorded_at: datetime | None = None, reversed_by: EntryId | None = None
) -> ledger_pb2.Entry:
    return ledger_pb2.Entry(
        id=str(entry.id),
        transfers=[transfer_message(transfer) for transfer in entry.transfers],
        source=_SOURCE[entry.source],
        reference=entry.reference,
        description=entry.description,
        effective_time=time_message(entry.effective_at),
        record_time=time_message(recorded_at),
        reverses_entry_id=str(entry.reverses or ""),
        reversed_by_entry_id=str(reversed_by or ""),
    )


def posting_message(posting: Posting) -> ledger_pb2.Posting:
    return ledger_pb2.Posting(
        transfer_id=str(posting.transfer.id),
        entry_id=str(posting.entry_id),
        account_id=str(posting.account_id),
        kind=_TRANSFER_KIND[posting.transfer.kind],
        change=amount_message(posting.change),
        held_change=amount_message(posting.held_change),
        balance_after=amount_message(posting.balance_after),
        version=posting.version,
        purpose=posting.transfer.purpose,
        record_time=time_message(posting.recorded_at),
        effective_time=time_message(posting.effective_at),
    )


def read_transfer(
    message: ledger_pb2.Transfer, assets: Mapping[str, Asset]
) -> Transfer | NewTransfer:
    """Return the transfer asked for, or raise for the first field that cannot be read."""
    kind = read_enum(_READ_TRANSFER_KIND, message.kind or _REGULAR, field="kind")
    if kind is TransferKind.EXPIRE:
        raise InvalidArgument("only the platform expires a transfer", field="kind")
    purpose = message.purpose
    if purpose and not _PURPOSE.fullmatch(purpose):
        raise InvalidArgument(
            "purpose must be at most 32 lower-case letters and underscores", field="purpose"
        )
    id = TransferId.parse(message.id, field="id")
    debit = _account_id(message.debit_account_id, "debit_account_id")
    credit = _account_id(message.credit_account_id, "credit_account_id")
    amount = (
        read_positive_amount(message.amount, assets, field="amount")
        if message.HasField("amount")
        else None
    )
    pending_id = (
        TransferId.parse(text, field="pending_id") if (text := message.pending_id) else None
    )
    expires_at = read_optional_time(message, "expire_time")
    if debit is None or credit is None or amount is None:
        return NewTransfer(id, kind, debit, credit, amount, pending_id, expires_at, purpose)
    return Transfer(id, debit, credit, amount, kind, pending_id, expires_at, purpose)


# The accounts of one transfer are those of many.
@lru_cache(maxsize=50_000)
def _account_id(text: str, field: str) -> AccountId | None:
    return AccountId.parse(text, field=field) if text else None
