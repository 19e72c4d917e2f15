"""What exists in a sandbox only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.amount import Amount
from domain.ids import DepositId, EntryId
from domain.party import Party


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """Play money, credited at once."""

    id: DepositId
    party: Party
    amount: Amount
    entry_id: EntryId
    created_at: datetime


class DepositRepository(Protocol):
    """Sandbox deposits of one tenant."""

    async def get(self, deposit_id: DepositId) -> Deposit:
        """Return a deposit that is known to exist."""
        ...

    async def add(self, deposit: Deposit) -> None:
        """Store a deposit, or raise `SandboxOnly` on a live database, which holds none."""
        ...
