"""Work that one process at a time may do."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do one kind of work for a while.

    Attributes:
        token: grows with every holder; a write under an older token hits no row.
    """

    name: str
    token: int


class LeaseStore(Protocol):
    """Leases by name; a holder that dies or freezes loses its lease when it runs out."""

    async def acquire(self, name: str, *, lease_for: timedelta) -> Lease | None:
        """Return a lease, or None while somebody else holds it."""
        ...

    async def renew(self, lease: Lease, *, lease_for: timedelta) -> bool:
        """Keep a lease for longer; return whether it was still ours."""
        ...
