"""Where daily closes are kept, and what they are made of."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from domain.ids import AccountId, TenantId
from domain.ledger.close import AccountDay, DailyClose
from ports.chain import Signer
from ports.page import Page, PageRequest


class DailyCloses(Protocol):
    """The closes of one tenant's book; a close never changes."""

    async def next_day(self) -> date:
        """Return the day after the latest close, or that on which the tenant was made."""
        ...

    async def accounts_of(
        self, day: date, *, after: AccountId | None, limit: int
    ) -> tuple[Sequence[AccountDay], AccountId | None]:
        """Return the day of at most `limit` accounts that follow, and where to go on.

        The day must be over, and who was writing when it ended must be done. Raises
        `LinesArchived` where the lines that are left do not say it.
        """
        ...

    async def add(self, close: DailyClose, signer: Signer | None) -> bool:
        """Store a close and return True, or leave the one that is there and return False.

        The key that signed it is made known with it.
        """
        ...

    async def get(self, day: date) -> DailyClose:
        """Return the close of a day, or raise `DailyCloseNotFound`."""
        ...

    async def list(self, page: PageRequest) -> Page[DailyClose]:
        """Return a page of closes by the days' ordinals, the latest first."""
        ...


class BooksToClose(Protocol):
    """The books of all tenants, the house's included."""

    async def after(self, tenant_id: TenantId | None, *, limit: int) -> Sequence[TenantId]:
        """Return tenants that follow in the order of their ids."""
        ...
