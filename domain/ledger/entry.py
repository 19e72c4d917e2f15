"""An entry commits one or more transfers, all or none."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.ids import AccountId, EntryId
from domain.ledger.transfer import Transfer

MAX_TRANSFERS: Final = 100


class EntrySource(StrEnum):
    """Who may create entries: nobody else can."""

    TRADE = "trade"
    DEPOSIT = "deposit"
    OPERATOR = "operator"
    EXPIRY = "expiry"
    BREAK = "break"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Transfers that commit together.

    Attributes:
        source: what created the entry.
        reference: the id of the trade, deposit, operator key or break behind it.
        effective_at: when the movement counts, as opposed to when it was recorded.
    """

    id: EntryId
    transfers: tuple[Transfer, ...]
    source: EntrySource
    reference: str
    effective_at: datetime
    description: str = ""

    @property
    def account_ids(self) -> Set[AccountId]:
        """The accounts on either side of the transfers."""
        return {
            id
            for transfer in self.transfers
            for id in (transfer.debit_account_id, transfer.credit_account_id)
        }
