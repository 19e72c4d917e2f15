"""The journal: entries are decided on balances that are remembered, and written by one statement.

The statement changes the accounts only if their versions are those that were decided on. So what is
remembered may be wrong but can do no harm: then nothing is written, the balances are read again,
and at last the entries are left to those who lock the books. It needs no lease, and any number of
processes may post to one tenant's books.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from adapters.postgres.audit_log import new_audit_records
from adapters.postgres.ledger import (
    LONG_AGO,
    EntryRows,
    account_ids,
    books_of_new,
    find_balances,
    posted_entries,
)
from adapters.postgres.outbox import new_events
from adapters.postgres.request import new_requests
from adapters.postgres.scope import tenant_lock
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from adapters.postgres.write import Write, add_rows
from domain.audit_record import NewAuditRecord
from domain.errors import DomainError
from domain.event import Event
from domain.ids import TenantId
from domain.ledger.account import Account
from domain.ledger.entry import Entry
from domain.ledger.posting import OpenBooks
from ports.clock import DatabaseClock
from ports.errors import DatabaseBusy, DatabaseUnavailable
from ports.journal import BREATH, Journal, is_plain
from ports.request import RequestKey

TRANSFERS: Final = 8_190
"""In one statement at most, unless one caller has more."""

ACCOUNTS: Final = 100_000
"""Balances that are remembered at most, of all tenants."""

TENANTS: Final = 10_000
"""Tenants that are remembered at most."""

LINGER_S: Final = 0.04
"""How long a statement waits at most for as many callers as the one before it had."""

GAP_S: Final = 0.01
"""How long it waits for the next of them."""

_HOLD_TENANT: Final = """
held AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared($2)::text AS waited_for)
"""

TRIES: Final = 3
"""How often balances are read again before the books are left to those who lock them."""

Tell = Callable[[TenantId, Sequence[tuple[str, Sequence[Entry]]]], Sequence[Event]]
"""Makes the events of what several calls committed, each with its correlation id."""


@dataclass(slots=True, eq=False)
class _Submission:
    """What one caller posts, and when it was recorded: None if it was not."""

    entries: Sequence[Entry]
    correlation_id: str
    request: tuple[RequestKey, UUID] | None
    audit_record: NewAuditRecord | None
    recorded_at: "asyncio.Future[datetime | None]"
    transfers: int

    def end(self, recorded_at: datetime | None) -> None:
        if not self.recorded_at.done():
            self.recorded_at.set_result(recorded_at)

    def fail(self, error: Exception) -> None:
        if not self.recorded_at.done():
            self.recorded_at.set_exception(error)


@dataclass(slots=True)
class _Book:
    """A tenant's balances as we remember them, and who waits to post to it.

    Attributes:
        latest_record: when we recorded last; nothing is recorded before it, whatever clocks do.
        callers: how many shared the latest statement, which ended at `ended_at`.
        came_at: when the latest caller came.
    """

    latest_record: datetime = LONG_AGO
    accounts: dict[bytes, Account] = field(default_factory=dict)
    waiting: deque[_Submission] = field(default_factory=deque)
    is_led: bool = False
    callers: int = 0
    ended_at: float = 0.0
    came_at: float = 0.0
    is_enough: "asyncio.Future[None] | None" = None

    def go_on(self) -> None:
        if self.is_enough is not None and not self.is_enough.done():
            self.is_enough.set_result(None)


class PostgresJournal(Journal):
    """One statement at a time for each tenant; who comes meanwhile rides in the next one."""

    def __init__(
        self, clock: DatabaseClock, units_of_work: PostgresUnitOfWorkFactory, tell: Tell
    ) -> None:
        self._clock = clock
        self._units_of_work = units_of_work
        self._tell = tell
        self._books: OrderedDict[TenantId, _Book] = OrderedDict()
        self._remembered = 0
        self._leaders: set[asyncio.Task[None]] = set()
        self._large = asyncio.Lock()

    async def post(
        self,
        tenant_id: TenantId,
        entries: Sequence[Entry],
        *,
        correlation_id: str,
        request: tuple[RequestKey, UUID] | None = None,
        audit_record: NewAuditRecord | None = None,
    ) -> datetime | None:
        if not all(map(is_plain, entries)):
            return None
        submission = _Submission(
            entries,
            correlation_id,
            request,
            audit_record,
            asyncio.get_running_loop().create_future(),
            sum(len(entry.transfers) for entry in entries),
        )
        book = self._book(tenant_id)
        book.waiting.append(submission)
        book.came_at = asyncio.get_running_loop().time()
        if len(book.waiting) >= book.callers:
            book.go_on()
        if not book.is_led:
            book.is_led = True
            leader = asyncio.create_task(self._lead(tenant_id, book))
            self._leaders.add(leader)
            leader.add_done_callback(self._leaders.discard)
        return await submission.recorded_at

    def _book(self, tenant_id: TenantId) -> _Book:
        book = self._books.get(tenant_id)
        if book is None:
            book = self._books[tenant_id] = _Book()
        self._books.move_to_end(tenant_id)
        return book

    async def _lead(self, tenant_id: TenantId, book: _Book) -> None:
        submissions: list[_Submission] = []
        try:
            while book.waiting:
                await self._linger(book)
                submissions = _next(book.waiting)
                book.callers = len(submissions)
                try:
                    await self._post(tenant_id, book, submissions)
                except Exception as error:
                    for submission in submissions:
                        submission.fail(error)
                book.ended_at = asyncio.get_running_loop().time()
        finally:
            book.is_led = False
            for submission in (*submissions, *book.waiting):
                submission.fail(DatabaseUnavailable("the process is stopping"))
            book.waiting.clear()
            self._forget_some()

    async def _linger(self, book: _Book) -> None:
        """Wait for as many callers as there were just now, since most of them are about to return.

        One after the other they would each have a statement of their own, of which a few hundred
        fit into a second. It goes on as soon as they stop coming. Who comes alone, or after a
        while, waits for nobody.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        if began - book.ended_at >= GAP_S:
            return
        while len(book.waiting) < book.callers and (now := loop.time()) < began + LINGER_S:
            next_by = max(book.came_at, book.ended_at) + GAP_S
            if next_by <= now:
                return
            book.is_enough = loop.create_future()
            timer = loop.call_at(min(next_by, began + LINGER_S), book.go_on)
            try:
                await book.is_enough
            finally:
                timer.cancel()

    async def _post(self, tenant_id: TenantId, book: _Book, submissions: list[_Submission]) -> None:
        """Post what can be posted together, and tell each what became of it."""
        for _ in range(TRIES):
            accounts = await self._balances(tenant_id, book, submissions)
            async with self._turn(submissions):
                now = await self._clock.now()
                submissions, rows, books = await _decide(submissions, accounts, now)
            if not submissions:
                return
            try:
                recorded_at = await self._write(tenant_id, book, submissions, rows, books)
            except asyncpg.UniqueViolationError:
                await self._post_halves(tenant_id, book, submissions)
                return
            except DatabaseBusy:
                break
            if recorded_at is not None:
                book.accounts |= books.accounts
                book.latest_record = recorded_at
                for submission in submissions:
                    submission.end(recorded_at)
                return
            self._forget(book, list(books.accounts))
        for submission in submissions:
            submission.end(None)

    def _turn(self, submissions: Sequence[_Submission]) -> AbstractAsyncContextManager[None]:
        """Wait for one's turn to decide: large batches have it one after the other.

        The first is being written while the next is decided; in turns of a few entries each, all
        of them would be decided late, and then be written at the same time.
        """
        is_large = sum(submission.transfers for submission in submissions) > BREATH
        return self._large if is_large else nullcontext()

    async def _post_halves(
        self, tenant_id: TenantId, book: _Book, submissions: list[_Submission]
    ) -> None:
        """Find out by halving whose id is known: it is no neighbor's fault."""
        if len(submissions) == 1:
            submissions[0].end(None)
            return
        middle = len(submissions) // 2
        for half in (submissions[:middle], submissions[middle:]):
            await self._post(tenant_id, book, half)

    async def _balances(
        self, tenant_id: TenantId, book: _Book, submissions: Sequence[_Submission]
    ) -> dict[bytes, Account]:
        """Return the balances of those accounts that exist; what is not remembered is read."""
        named = account_ids(entry for submission in submissions for entry in submission.entries)
        missing = [id for key, id in named.items() if key not in book.accounts]
        if missing:
            async with self._units_of_work.open_scope(tenant_id) as scope:
                found = await find_balances(scope, missing)
            book.accounts |= found
            self._remembered += len(found)
        return {key: book.accounts[key] for key in named if key in book.accounts}

    async def _write(
        self,
        tenant_id: TenantId,
        book: _Book,
        submissions: Sequence[_Submission],
        rows: EntryRows,
        books: OpenBooks,
    ) -> datetime | None:
        """Return when it was recorded, or None if that needs other balances or another time."""
        recorded: list[datetime] = []
        latest = max(book.latest_record, books.latest_record or book.latest_record)
        events = self._tell(
            tenant_id,
            [(submission.correlation_id, submission.entries) for submission in submissions],
        )
        # Locks are taken in this order. Who posts alone has recorded his request before he comes
        # for the books: nobody waits for a request here who has locked them already.
        writes: list[Write] = []
        if requests := [submission.request for submission in submissions if submission.request]:
            writes += [_held(tenant_id), new_requests(requests)]
        writes += [
            posted_entries(tenant_id, rows, books, latest, recorded.append),
            new_events(events),
        ]
        if records := [one.audit_record for one in submissions if one.audit_record]:
            writes.append(new_audit_records(records))
        async with self._units_of_work.lend() as driver:
            try:
                await add_rows(driver, tenant_id, writes)
            except (asyncpg.SerializationError, asyncpg.CheckViolationError):
                # What an account may owe can be made less without a posting, and then says no
                # at an unchanged version.
                return None
        return recorded[0]

    def _forget_some(self) -> None:
        """Forget the tenants that posted longest ago, as far as there is not room for all."""
        if self._remembered <= ACCOUNTS and len(self._books) <= TENANTS:
            return
        for tenant_id, book in list(self._books.items()):
            if not book.is_led:
                self._forget(book, list(book.accounts))
                del self._books[tenant_id]
            if self._remembered <= ACCOUNTS and len(self._books) <= TENANTS:
                return

    def _forget(self, book: _Book, keys: Sequence[bytes]) -> None:
        for key in keys:
            del book.accounts[key]
        self._remembered -= len(keys)


def _held(tenant_id: TenantId) -> Write:
    """Hold the tenant as every unit of work does, before anything else is locked."""
    found = "SELECT waited_for FROM held"
    return Write(_HOLD_TENANT, (tenant_lock(tenant_id),), found=found, only_adds=True)


def _next(waiting: deque[_Submission]) -> list[_Submission]:
    """Take those who come first, as many as one statement holds."""
    submissions = [waiting.popleft()]
    room = TRANSFERS - submissions[0].transfers
    while waiting and waiting[0].transfers <= room:
        room -= waiting[0].transfers
        submissions.append(waiting.popleft())
    return submissions


async def _decide(
    submissions: list[_Submission], accounts: Mapping[bytes, Account], now: datetime
) -> tuple[list[_Submission], EntryRows, OpenBooks]:
    """Decide on all that is posted, and leave out who has an entry that would be refused.

    Others get on meanwhile: a large batch takes longer than their calls may.
    """
    while True:
        books, rows = OpenBooks(books_of_new(accounts, (), now)), EntryRows()
        kept: list[_Submission] = []
        taken = 0
        for submission in submissions:
            for first in range(0, len(submission.entries), BREATH):
                part = submission.entries[first : first + BREATH]
                try:
                    decided = [books.decide(entry) for entry in part]
                except DomainError:
                    break
                if any(one.is_replay for one in decided):
                    break
                rows.add(decided)
                taken += len(part)
                if taken >= BREATH:
                    taken = 0
                    await asyncio.sleep(0)
            else:
                kept.append(submission)
                continue
            submission.end(None)
        if len(kept) == len(submissions):
            return kept, rows, books
        submissions = kept
