"""How the LPs stand, which every process of the platform knows alike."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from domain.liquidity.lp import Lp
from domain.routing import LpRecord


class LpBoard(Protocol):
    """How the LPs stand, for whoever must not wait for it."""

    async def lps(self) -> Mapping[str, Lp]:
        """Return every connected LP by name, as it was at most half a second ago."""
        ...


class LpRepository(Protocol):
    """The same, to be changed; the rows belong to no tenant."""

    async def get(self, name: str) -> Lp:
        """Return an LP without its record, locked until commit, or raise `UnknownLp`."""
        ...

    async def all(self) -> Sequence[Lp]:
        """Return all LPs by name."""
        ...

    async def save(self, lp: Lp) -> None:
        """Replace the circuit of an LP that is locked."""
        ...

    async def count(self, name: str, record: LpRecord, *, now: datetime) -> None:
        """Add what became of calls to an LP that is locked, and forget what is an hour old."""
        ...
