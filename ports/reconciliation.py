"""Where breaks are kept."""

from typing import Protocol

from domain.ids import BreakId
from domain.reconciliation.break_ import Break
from ports.page import Page, PageRequest


class BreakRepository(Protocol):
    """Breaks of one tenant; a break that was raised never changes."""

    async def add(self, found: Break) -> None:
        """Store a new break.

        Of an attempt that was filled late there is one at most: the second one is a mistake of
        ours and fails.
        """
        ...

    async def get(self, break_id: BreakId) -> Break:
        """Return the break, or raise `BreakNotFound`."""
        ...

    async def list(self, page: PageRequest) -> Page[Break]:
        """Return a page of breaks, the newest first."""
        ...
