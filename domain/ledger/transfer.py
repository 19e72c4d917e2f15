"""A transfer moves one positive amount of one asset from a debit to a credit account."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from domain.amount import Amount
from domain.errors import DomainError, InvalidArgument
from domain.ids import AccountId, EntryId, TransferId
from domain.ledger.errors import PendingTransferNotFound


class TransferKind(StrEnum):
    """How a transfer acts on the balances.

    A pending transfer reserves; exactly one of post, void and expire resolves it.
    """

    REGULAR = "regular"
    PENDING = "pending"
    POST = "post"
    VOID = "void"
    EXPIRE = "expire"


MOVING: Final = frozenset({TransferKind.REGULAR, TransferKind.POST})
RESOLVING: Final = frozenset({TransferKind.POST, TransferKind.VOID, TransferKind.EXPIRE})


class Transfer(NamedTuple):
    """One movement, immutable once committed.

    Attributes:
        pending_id: the pending transfer that a post, void or expire resolves.
        expires_at: when a pending transfer lapses by itself; None: only its owner resolves it.
        purpose: what the movement is for, such as `hold` or `platform_fee`.
    """

    id: TransferId
    debit_account_id: AccountId
    credit_account_id: AccountId
    amount: Amount
    kind: TransferKind = TransferKind.REGULAR
    pending_id: TransferId | None = None
    expires_at: datetime | None = None
    purpose: str = ""

    @property
    def resolves(self) -> bool:
        return self.kind in RESOLVING

    @property
    def moves(self) -> bool:
        """Whether it changes what is posted, and not only what is held."""
        return self.kind in MOVING


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One account's line of a committed transfer.

    Attributes:
        change: signed change of the posted balance; zero for a line that only holds or releases.
        held_change: signed change of what is held on this account.
        balance_after: the posted balance once this line was applied.
        version: the account's version once this line was applied; lines are ordered by it.
        effective_at: when it counts.
        recorded_at: when it was recorded, never before the line of the version before.
    """

    transfer: Transfer
    entry_id: EntryId
    account_id: AccountId
    change: Amount
    held_change: Amount
    balance_after: Amount
    version: int
    effective_at: datetime
    recorded_at: datetime


class NewTransfer(NamedTuple):
    """A transfer that is asked for and leaves something out.

    A post or void may leave out what its pending transfer says: accounts, and the whole amount.
    """

    id: TransferId
    kind: TransferKind
    debit_account_id: AccountId | None
    credit_account_id: AccountId | None
    amount: Amount | None
    pending_id: TransferId | None
    expires_at: datetime | None
    purpose: str

    def completed(self, pending: Transfer | None) -> Transfer:
        """Fill in from the pending transfer.

        Raises `PendingTransferNotFound` if there is none to fill in from, or `InvalidArgument` for
        what else is missing.
        """
        debit, credit, amount = self.debit_account_id, self.credit_account_id, self.amount
        if pending is not None:
            debit = debit or pending.debit_account_id
            credit = credit or pending.credit_account_id
            amount = amount or pending.amount
        if debit is None or credit is None or amount is None:
            raise self._refusal(debit, credit, pending)
        return Transfer(
            id=self.id,
            debit_account_id=debit,
            credit_account_id=credit,
            amount=amount,
            kind=self.kind,
            pending_id=self.pending_id,
            expires_at=self.expires_at,
            purpose=self.purpose,
        )

    def _refusal(
        self, debit: AccountId | None, credit: AccountId | None, pending: Transfer | None
    ) -> DomainError:
        if self.pending_id is not None and pending is None:
            return PendingTransferNotFound(
                "no such pending transfer", transfer_id=self.id, pending_id=self.pending_id
            )
        field = (
            "debit_account_id"
            if debit is None
            else "credit_account_id"
            if credit is None
            else "amount"
        )
        return InvalidArgument(f"{field} is missing", field=field, transfer_id=self.id)
