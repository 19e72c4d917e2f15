"""Group commit: units of work of one tenant that come together share one transaction.

Each runs its own code, at the same time as its neighbors. What it reads waits until all of them
wait or have ended; then one statement answers all that is read first in the order of locks. Whether
its request is known it hears with the first thing that it asks, and who may act with the quote.
What it writes is kept back until all have ended; then there is one statement for all rows, and one
commit. Where nothing was read and rows are only added, that statement is the whole transaction. Who
fails has written nothing.

What cannot be done so is done alone: a method that has no form for many, a row that somebody else
has locked, two neighbors at one row, and all of a group that the database refused.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from adapters.postgres.audit_log import PostgresAuditLog, new_audit_records
from adapters.postgres.ledger import (
    AccountIdCache,
    PostgresLedger,
    account_ids,
    books_of_new,
    find_accounts,
    lock_accounts,
    new_entries,
)
from adapters.postgres.outbox import PostgresOutbox, new_events
from adapters.postgres.quote import (
    LockedQuote,
    PostgresQuotes,
    QuoteQuestion,
    changed_quotes,
    lock_free_quotes,
    new_quotes,
)
from adapters.postgres.repositories import PostgresUnitOfWork
from adapters.postgres.request import PostgresRequests, new_requests, taken_requests
from adapters.postgres.scope import Scope
from adapters.postgres.tenant import PostgresTenants, active_parties
from adapters.postgres.trade import (
    PostgresTrades,
    as_stored,
    changed_trades,
    first_lease,
    lock_free_trades,
    new_trades,
)
from adapters.postgres.write import Write, add_rows, write_rows
from domain.audit_record import NewAuditRecord
from domain.errors import DomainError
from domain.event import Event
from domain.ids import AccountId, QuoteId, TenantId, TradeId
from domain.ledger.account import AccountKey
from domain.ledger.entry import Entry
from domain.ledger.posting import Decision, OpenBooks
from domain.ledger.transfer import Transfer
from domain.party import Party
from domain.quote.quote import LpAnswer, Quote
from domain.tenant.acting import Acting
from domain.trade.trade import Trade
from ports.errors import DatabaseUnavailable
from ports.market import Market
from ports.request import RequestKey, RequestRecord
from ports.trade import TradeLease
from ports.unit_of_work import Result, Work

MEMBERS: Final = 64
"""Units of work in one transaction at most."""

TURN_S: Final = 0.02
"""How long a group may keep the groups of other tenants from starting."""

LendDriver = Callable[[], AbstractAsyncContextManager[Any]]
"""Lends the driver of a connection, outside of any transaction."""

_STOPPING: Final = DatabaseUnavailable("the process is stopping")


class Alone(Exception):
    """The unit of work needs a transaction of its own; in this one it has done nothing."""


class Unopened(Exception):
    """No transaction could begin."""

    def __init__(self, cause: DomainError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Rank(IntEnum):
    """What is read first, and with it locked first; the same in every group and outside.

    With the quotes their requests and customers are locked, before the trades of others; nobody
    waits for any of the four.
    """

    REQUEST = 1
    QUOTE = 2
    TRADE = 3
    NAMES = 4
    ACCOUNTS = 5


@dataclass(slots=True)
class _Writes:
    """What is written at the end."""

    requests: list[tuple[RequestKey, UUID]] = field(default_factory=list)
    new_quotes: list[tuple[Quote, Sequence[LpAnswer]]] = field(default_factory=list)
    quotes: list[tuple[Quote, TradeId | None]] = field(default_factory=list)
    new_trades: list[tuple[Trade, timedelta]] = field(default_factory=list)
    trades: list[tuple[Trade, TradeLease, datetime | None]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    audit_records: list[NewAuditRecord] = field(default_factory=list)
    acting: list[Party] = field(default_factory=list)

    def add(self, other: "_Writes") -> None:
        self.requests += other.requests
        self.new_quotes += other.new_quotes
        self.quotes += other.quotes
        self.new_trades += other.new_trades
        self.trades += other.trades
        self.events += other.events
        self.audit_records += other.audit_records
        self.acting += other.acting

    def all(self) -> Sequence[Write]:
        kinds: Sequence[tuple[Callable[[Any], Write], Sequence[Any]]] = (
            (new_requests, self.requests),
            (new_quotes, self.new_quotes),
            (changed_quotes, self.quotes),
            (new_trades, self.new_trades),
            (changed_trades, self.trades),
            (new_events, self.events),
            (new_audit_records, self.audit_records),
            (active_parties, self.acting),
        )
        return [kind(rows) for kind, rows in kinds if rows]


def _new_future() -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class _Member:
    """One unit of work of a group, and where it stands.

    Attributes:
        scope: what its repositories know; it reaches no connection.
        joined: its group, once it has one.
        ended: what became of the group.
        has_decided: balances are as it left them, for those who decide after it.
        is_running: it neither waits for an answer nor has ended.
        claimed: its request, until that is locked and known to be new.
        acting: who acts for the party of the quote that it read.
    """

    scope: Scope
    joined: "asyncio.Future[_Group]" = field(default_factory=_new_future)
    ended: "asyncio.Future[None]" = field(default_factory=_new_future)
    is_running: bool = False
    has_decided: bool = False
    writes: _Writes = field(default_factory=_Writes)
    read_at: datetime | None = None
    claimed: RequestKey | None = None
    acting: Acting | None = None

    @property
    def has_joined(self) -> bool:
        joined = self.joined
        return joined.done() and not joined.cancelled() and joined.exception() is None

    @property
    def group(self) -> "_Group":
        return self.joined.result()

    async def ask(self, rank: Rank, what: Any) -> Any:
        """Return the answer to what many can ask at once, or raise `Alone`."""
        await self.require_new()
        return await self.group.ask(self, rank, what)

    async def ask_quote(self, quote_id: QuoteId) -> LockedQuote:
        """Return a quote, and who acts for its party; may also raise what `require_new` does."""
        question = QuoteQuestion(quote_id, self.claimed)
        locked: LockedQuote = await self.group.ask(self, Rank.QUOTE, question)
        self.claimed = None
        return locked

    async def require_new(self) -> None:
        """Raise `Alone` if the request that it claimed is known, or somebody else is at it."""
        if self.claimed is not None:
            await self.group.ask(self, Rank.REQUEST, self.claimed)
            self.claimed = None

    def take(self, what: Any) -> None:
        """Take what only one member may work on, or raise `Alone`."""
        self.group.take(what)

    def end(self, error: BaseException | None) -> None:
        """Hear what became of the group."""
        if self.ended.done():
            return  # canceled
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)
            self.ended.exception()  # heard, even if nobody waits for it any more


@dataclass(slots=True, eq=False)
class _Ask:
    member: _Member
    rank: Rank
    what: Any
    answer: "asyncio.Future[Any]"


class _Group:
    """Members that share one transaction, which begins when the first of them asks.

    They go on at once; what they ask is answered, and what they write is written, by `conduct`.
    """

    def __init__(self, members: Iterable[_Member]) -> None:
        self.books: OpenBooks | None = None
        self._members: list[_Member] = []
        self._writes = _Writes()
        self._decided: list[Decision] = []
        self._asks: list[_Ask] = []
        self._taken: set[Any] = set()
        self._running = 0
        self._all_wait = asyncio.Event()
        self._is_spoiled = False
        self._begin: Callable[[], Awaitable[Scope]] | None = None
        self._open: Scope | None = None
        for member in members:
            if not member.joined.done():  # it is when its caller was canceled
                self._members.append(member)
                self.start(member)
                member.joined.set_result(self)

    async def ask(self, member: _Member, rank: Rank, what: Any) -> Any:
        if member.ended.done():
            raise Alone
        ask = _Ask(member, rank, what, _new_future())
        self._asks.append(ask)
        self._stop(member)
        try:
            return await ask.answer
        except asyncio.CancelledError:
            if ask in self._asks:
                self._asks.remove(ask)
            raise

    def take(self, what: Any) -> None:
        if what in self._taken:
            raise Alone
        self._taken.add(what)

    def decide(self, entry: Entry, pending: Sequence[Transfer]) -> Decision:
        """Decide on the balances as the neighbors who decided before leave them."""
        assert self.books is not None
        self.books.know(pending)
        decision = self.books.decide(entry)
        self._decided.append(decision)
        return decision

    def leave(self, member: _Member, *, is_good: bool) -> None:
        """Note that a member has ended; one that failed leaves nothing behind."""
        if is_good:
            self._writes.add(member.writes)
        elif member.has_decided:
            # Neighbors may have decided on balances that will never be.
            self._is_spoiled = True
        self._stop(member)

    async def scope(self) -> Scope:
        """Return the transaction; it begins now if it has not."""
        if self._open is None:
            assert self._begin is not None
            try:
                self._open = await self._begin()
            except DomainError as error:
                raise Unopened(error) from error
        return self._open

    async def conduct(self, begin: Callable[[], Awaitable[Scope]], lend: LendDriver) -> None:
        """Answer until all have ended, then write all of it."""
        self._begin = begin
        while True:
            if self._running:
                await self._all_wait.wait()
            if not self._asks:
                break
            first = min(ask.rank for ask in self._asks)
            asks = [ask for ask in self._asks if ask.rank is first]
            answers = await _ANSWERS[first](self, [ask.what for ask in asks])
            self._asks = [ask for ask in self._asks if ask.rank is not first]
            for ask, answer in zip(asks, answers, strict=True):
                if ask.answer.done():
                    continue  # canceled; its member has ended, or is about to
                self.start(ask.member)
                if answer is None:
                    ask.answer.set_exception(Alone())
                else:
                    ask.answer.set_result(answer)
        if self._is_spoiled:
            raise Alone
        writes = list(self._writes.all())
        if self._decided and self.books is not None:
            writes.append(new_entries(self._decided, self.books))
        if self._open is not None or not all(write.only_adds for write in writes):
            await write_rows(await self.scope(), writes)
        elif writes:
            async with lend() as driver:
                await add_rows(driver, self._members[0].scope.tenant_id, writes)

    def end(self, error: BaseException | None) -> None:
        """Tell all members what became of the transaction."""
        for member in self._members:
            member.end(error)
        for ask in self._asks:
            if error is not None and not ask.answer.done():
                ask.answer.set_exception(error)
        # They know their group, so that it must forget them: all that they read and wrote would
        # be left to the collector, which stops the process to find it.
        self._members.clear()

    def start(self, member: _Member) -> None:
        """Let a member go on; the next answers wait for it."""
        member.is_running = True
        self._running += 1
        self._all_wait.clear()

    def _stop(self, member: _Member) -> None:
        if member.is_running:
            member.is_running = False
            self._running -= 1
            if not self._running:
                self._all_wait.set()


async def _requests(group: _Group, keys: Sequence[RequestKey]) -> Sequence[bool | None]:
    taken = await taken_requests(await group.scope(), keys)
    return [None if (key.rpc, key.request_id) in taken else True for key in keys]


async def _quotes(
    group: _Group, questions: Sequence[QuoteQuestion]
) -> Sequence[LockedQuote | None]:
    found = await lock_free_quotes(await group.scope(), questions)
    return [found.get(question.quote_id) for question in questions]


async def _trades(group: _Group, ids: Sequence[TradeId]) -> Sequence[tuple[Trade, datetime] | None]:
    found = await lock_free_trades(await group.scope(), ids)
    return [found.get(id) for id in ids]


async def _names(
    group: _Group, asked: Sequence[Sequence[AccountKey]]
) -> Sequence[Mapping[AccountKey, AccountId] | None]:
    found = await find_accounts(
        await group.scope(), dict.fromkeys(key for keys in asked for key in keys)
    )
    return [
        {key: found[key] for key in keys} if all(key in found for key in keys) else None
        for keys in asked
    ]


async def _accounts(group: _Group, asked: Sequence[Entry]) -> Sequence[bool | None]:
    if group.books is not None:
        return [None] * len(asked)
    accounts, locked_at = await lock_accounts(await group.scope(), account_ids(asked))
    group.books = OpenBooks(books_of_new(accounts, (), locked_at))
    return [True] * len(asked)


_ANSWERS: Final[Mapping[Rank, Callable[..., Any]]] = {
    Rank.REQUEST: _requests,
    Rank.QUOTE: _quotes,
    Rank.TRADE: _trades,
    Rank.NAMES: _names,
    Rank.ACCOUNTS: _accounts,
}


class _NoDriver:
    """Stands where a repository looks for its connection: what it wants to do is done alone."""

    def __getattr__(self, name: str) -> Any:
        raise Alone


_NOWHERE: Final[Any] = _NoDriver()


class _Shared:
    """Mixed into a repository that has forms for many."""

    def __init__(self, member: _Member, *args: Any) -> None:
        super().__init__(*args)
        self._member = member


class _Requests(_Shared, PostgresRequests):
    async def claim(self, key: RequestKey, resource_id: UUID) -> RequestRecord | None:
        member = self._member
        await member.require_new()
        member.take((key.rpc, key.request_id))
        member.claimed = key
        member.writes.requests.append((key, resource_id))
        return None


class _Quotes(_Shared, PostgresQuotes):
    async def get(self, quote_id: QuoteId, *, lock: bool = False) -> Quote:
        if not lock:
            raise Alone
        self._member.take(quote_id)
        locked = await self._member.ask_quote(quote_id)
        self._member.acting = locked.acting
        return locked.quote

    async def add(self, quote: Quote, answers: Sequence[LpAnswer]) -> None:
        self._member.writes.new_quotes.append((quote, answers))

    async def save(self, quote: Quote, *, trade_id: TradeId | None = None) -> None:
        self._member.writes.quotes.append((quote, trade_id))


class _Trades(_Shared, PostgresTrades):
    async def get(self, trade_id: TradeId, *, lock: bool = False) -> Trade:
        if not lock:
            raise Alone
        self._member.take(trade_id)
        found = await self._member.ask(Rank.TRADE, trade_id)
        trade: Trade = found[0]
        self._member.read_at = found[1]
        return trade

    async def add(self, trade: Trade, *, lease_for: timedelta) -> TradeLease:
        self._member.writes.new_trades.append((trade, lease_for))
        return first_lease(trade)

    async def save(self, trade: Trade, lease: TradeLease, *, due_at: datetime | None) -> Trade:
        self._member.writes.trades.append((trade, lease, due_at))
        return as_stored(trade)


class _Tenants(_Shared, PostgresTenants):
    async def acting(self, party: Party) -> Acting:
        acting = self._member.acting
        if acting is None or acting.party != party:
            raise Alone
        return acting

    async def require_active(self, party: Party) -> None:
        # Who may not act fails the write of all, and hears why once alone.
        self._member.writes.acting.append(party)


class _Ledger(_Shared, PostgresLedger):
    async def _find_or_open(self, keys: Sequence[AccountKey]) -> Mapping[AccountKey, AccountId]:
        found: Mapping[AccountKey, AccountId] = await self._member.ask(Rank.NAMES, keys)
        self._remember(found)
        return found

    async def commit(
        self, entry: Entry, *, is_new: bool = False, pending: Sequence[Transfer] = ()
    ) -> Decision:
        if not is_new or self._member.has_decided or _is_special(entry, pending):
            raise Alone
        await self._member.ask(Rank.ACCOUNTS, entry)
        decision = self._member.group.decide(entry, pending)
        self._member.has_decided = True
        return decision


def _is_special(entry: Entry, pending: Sequence[Transfer]) -> bool:
    """Say whether more has to be written than an entry's own rows."""
    return (
        entry.effective_at is not None
        or entry.reverses is not None
        or any(transfer.expires_at for transfer in (*entry.transfers, *pending))
    )


class _Outbox(_Shared, PostgresOutbox):
    async def add(self, *events: Event) -> None:
        self._member.writes.events += events


class _AuditLog(_Shared, PostgresAuditLog):
    async def add(self, *records: NewAuditRecord) -> None:
        self._member.writes.audit_records += records


class _SharedUnitOfWork(PostgresUnitOfWork):
    """A member's view of its group: what has a form for many is done so, the rest is not."""

    def __init__(self, member: _Member, account_ids: AccountIdCache) -> None:
        super().__init__(member.scope, account_ids)
        self._member = member

    @cached_property
    def requests(self) -> _Requests:
        return _Requests(self._member, self._scope)

    @cached_property
    def quotes(self) -> _Quotes:
        return _Quotes(self._member, self._scope)

    @cached_property
    def trades(self) -> _Trades:
        return _Trades(self._member, self._scope)

    @cached_property
    def tenants(self) -> _Tenants:
        return _Tenants(self._member, self._scope)

    @cached_property
    def outbox(self) -> _Outbox:
        return _Outbox(self._member, self._scope)

    @cached_property
    def audit_log(self) -> _AuditLog:
        return _AuditLog(self._member, self._scope)

    @cached_property
    def ledger(self) -> _Ledger:
        return _Ledger(self._member, self._scope, self._account_ids)

    async def now(self) -> datetime:
        if self._member.read_at is None:
            raise Alone
        return self._member.read_at


class _Turns:
    """Lets one group of the process start after the other, so that more come together.

    Groups at the same time would only wait for the same processors. One that waits for something
    else holds nobody up for longer than `TURN_S`.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        await self._free.acquire()
        is_over = False

        def end() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                self._free.release()

        timer = asyncio.get_running_loop().call_later(TURN_S, end)
        try:
            yield
        finally:
            timer.cancel()
            end()


class GroupCommit:
    """Forms groups: who comes while a tenant's group is under way rides in the next one."""

    def __init__(
        self,
        market: Market,
        open_scope: Callable[[TenantId], AbstractAsyncContextManager[Scope]],
        lend: LendDriver,
        account_ids: AccountIdCache,
    ) -> None:
        self._market = market
        self._open_scope = open_scope
        self._lend = lend
        self._account_ids = account_ids
        self._waiting: dict[TenantId, deque[_Member]] = {}
        self._leaders: set[asyncio.Task[None]] = set()
        self._turns = _Turns()

    async def run(self, tenant_id: TenantId, work: Work[Result]) -> Result:
        """Do `work` with its neighbors, or raise `Alone` when nothing of it was done."""
        member = _Member(Scope(tenant_id, _NOWHERE, await self._market.catalogue()))
        self._join(tenant_id, member)
        try:
            group = await member.joined
            uow = _SharedUnitOfWork(member, self._account_ids)
            result = await work(uow)
            await member.require_new()
        except BaseException as error:
            if member.has_joined:
                member.group.leave(member, is_good=False)
                if isinstance(error, Exception):
                    # It may be about what a neighbor left behind, so it holds if that does; and
                    # by the time that it is heard of, nothing is locked any more.
                    await member.ended
                    if member.claimed is not None:
                        # Whether the request is new is not known: if it is not, it is not refused
                        # for this but hears what became of the first.
                        raise Alone from error
            raise
        group.leave(member, is_good=True)
        await member.ended
        return result

    def _join(self, tenant_id: TenantId, member: _Member) -> None:
        waiting = self._waiting.get(tenant_id)
        if waiting is not None:
            waiting.append(member)
            return
        self._waiting[tenant_id] = deque([member])
        leader = asyncio.create_task(self._lead(tenant_id))
        self._leaders.add(leader)
        leader.add_done_callback(self._leaders.discard)

    async def _lead(self, tenant_id: TenantId) -> None:
        waiting = self._waiting[tenant_id]
        try:
            while waiting:
                async with self._turns.take():
                    group = _Group([waiting.popleft() for _ in range(min(len(waiting), MEMBERS))])
                    await self._serve(tenant_id, group)
        finally:
            del self._waiting[tenant_id]
            for member in waiting:
                if not member.joined.done():
                    member.joined.set_exception(_STOPPING)

    async def _serve(self, tenant_id: TenantId, group: _Group) -> None:
        try:
            async with AsyncExitStack() as stack:

                async def begin() -> Scope:
                    return await stack.enter_async_context(self._open_scope(tenant_id))

                await group.conduct(begin, self._lend)
        except Unopened as unopened:
            group.end(unopened.cause)
        except Exception as error:
            group.end(error if isinstance(error, DatabaseUnavailable) else Alone())
        except BaseException:
            group.end(_STOPPING)
            raise
        else:
            group.end(None)
