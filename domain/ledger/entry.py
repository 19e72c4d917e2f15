"""An entry commits one or more transfers, all or none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from domain.ids import EntryId, TransferId
from domain.ledger.errors import EntryNotReversible
from domain.ledger.transfer import NewTransfer, Transfer, TransferKind

MAX_TRANSFERS: Final = 100


class EntrySource(StrEnum):
    """Who may create entries: nobody else can."""

    TRADE = "trade"
    DEPOSIT = "deposit"
    OPERATOR = "operator"
    EXPIRY = "expiry"
    BREAK = "break"


REVERSIBLE: Final = frozenset({EntrySource.OPERATOR, EntrySource.DEPOSIT})
"""Whose entries can be taken back: what a trade did stands, as its customer was told."""


class Entry(NamedTuple):
    """Transfers that commit together.

    Attributes:
        source: what created the entry.
        reference: the id of the trade, deposit, operator key or break behind it.
        effective_at: when the movement counts; None, before it is decided on: when it is recorded.
        reverses: the entry that this one takes back.
        has_callers_ids: whether its id and those of its transfers came with a call. Then they are
            held to a window by the books' clock; ours are minted by clocks that nobody holds to it.
    """

    id: EntryId
    transfers: tuple[Transfer, ...]
    source: EntrySource
    reference: str
    effective_at: datetime | None = None
    description: str = ""
    reverses: EntryId | None = None
    has_callers_ids: bool = False

    def recorded(self, at: datetime) -> "Entry":
        """Return the entry as it is kept: it counts from now on unless it says otherwise.

        Whose ids they were is not kept: what is known is never held to their window again.
        """
        return self._replace(effective_at=self.effective_at or at, has_callers_ids=False)

    def reversal(
        self,
        id: EntryId,
        new_transfer_id: Callable[[], TransferId],
        *,
        reference: str,
        description: str,
        effective_at: datetime | None,
    ) -> "Entry":
        """Return the operator's entry that takes this one back, the last transfer first.

        Raises `EntryNotReversible` for what its own trade or hold decides on, and for a reversal.
        """
        is_plain = all(transfer.kind is TransferKind.REGULAR for transfer in self.transfers)
        if self.source not in REVERSIBLE or not is_plain or self.reverses is not None:
            raise EntryNotReversible(
                "only an operator's entry or a deposit that moved at once can be reversed",
                entry_id=self.id,
            )
        return Entry(
            id=id,
            transfers=tuple(
                Transfer(
                    id=new_transfer_id(),
                    debit_account_id=transfer.credit_account_id,
                    credit_account_id=transfer.debit_account_id,
                    amount=transfer.amount,
                    purpose=transfer.purpose,
                )
                for transfer in reversed(self.transfers)
            ),
            source=EntrySource.OPERATOR,
            reference=reference,
            description=description,
            effective_at=effective_at,
            reverses=self.id,
        )


@dataclass(frozen=True, slots=True)
class CommittedEntries:
    """Entries that were committed together, by their ids.

    Attributes:
        correlation_ids: one for each entry, or none where all are of one call.
    """

    ids: Sequence[EntryId]
    correlation_ids: Sequence[str]

    @property
    def id(self) -> EntryId:
        """The first of them, by which all are known."""
        return self.ids[0]


class NewEntry(NamedTuple):
    """An operator's entry as it is asked for.

    Attributes:
        effective_at: when the movement counts; None: when it is recorded.
    """

    id: EntryId
    transfers: tuple[Transfer | NewTransfer, ...]
    description: str
    effective_at: datetime | None

    def completed(self, pending: Mapping[TransferId, Transfer], *, reference: str) -> Entry:
        """Fill in from those pending transfers that are known, or raise as a transfer does."""
        return Entry(
            id=self.id,
            transfers=tuple(
                [
                    transfer
                    if isinstance(transfer, Transfer)
                    else transfer.completed(
                        pending.get(transfer.pending_id) if transfer.pending_id else None
                    )
                    for transfer in self.transfers
                ]
            ),
            source=EntrySource.OPERATOR,
            reference=reference,
            description=self.description,
            effective_at=self.effective_at,
            has_callers_ids=True,
        )
