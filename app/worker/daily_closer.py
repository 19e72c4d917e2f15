"""Closes the days of all books."""

import logging
from collections import deque
from typing import Final

from app.usecase.ledger.close_books import CloseBooks
from domain.ids import TenantId
from domain.ledger.close import BooksUnbalanced
from domain.ledger.errors import LinesArchived
from ports.close import BooksToClose
from ports.lease import Lease

BOOKS: Final = 100

_log = logging.getLogger("reli.work")


class DailyCloser:
    """Goes through the books, one day of one book at a time, and then begins again."""

    def __init__(self, books: BooksToClose, close_books: CloseBooks) -> None:
        self._books = books
        self._close_books = close_books
        self._waiting: deque[TenantId] = deque()
        self._last: TenantId | None = None

    async def __call__(self, lease: Lease) -> bool:
        """Return True until every book was looked at.

        The lease spares two workers the same work; should both do it, the first close is kept.
        """
        if not self._waiting:
            self._waiting.extend(await self._books.after(self._last, limit=BOOKS))
            if not self._waiting:
                self._last = None
                return False
        tenant_id = self._last = self._waiting[0]
        try:
            has_more = await self._close_books.next_day(tenant_id)
        except (BooksUnbalanced, LinesArchived) as error:
            # It keeps no other book from being closed.
            _log.error("the book of %s is not closed: %s", tenant_id, error)
            has_more = False
        if not has_more:
            self._waiting.popleft()
        return True
