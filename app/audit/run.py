"""An audit of a database and of the venues' own books."""

from collections.abc import Mapping, Sequence

import aiohttp

from adapters.lp.sandbox.venue_book import SandboxVenueBook
from adapters.postgres.audit.books import PostgresBooks
from adapters.system.clock import SystemClock
from app.usecase.audit.audit_books import AuditBooks, Report, Watcher
from ports.audit import Check, Finding

_TIMEOUT_S = 30


class Unwatched:
    """Nobody waits."""

    def begin(self, checks: Sequence[Check]) -> None:
        pass

    def end(self, findings: Sequence[Finding], seconds: float) -> None:
        pass


async def audit(
    database_url: str,
    venue_books: Mapping[str, str] | None = None,
    *,
    watcher: Watcher | None = None,
) -> Report:
    """Return what an audit finds, or raise `AuditImpossible`.

    `database_url` is the one that migrates: its role must be able to read all tenants.
    `venue_books` has the admin URL of each sandbox venue whose book is compared, by name.
    """
    timeout = aiohttp.ClientTimeout(_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        books = [SandboxVenueBook(name, url, session) for name, url in (venue_books or {}).items()]
        audit_books = AuditBooks(PostgresBooks(database_url), books, SystemClock())
        return await audit_books(watcher or Unwatched())
