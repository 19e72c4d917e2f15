"""The books: decided in the domain, under row locks taken in the order of the accounts' ids.

What the journal decides without locks is written from here too.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.scope import Scope, journal_lock, page_of, tenant_lock
from adapters.postgres.write import Write, array_literal, write_rows
from domain.amount import Amount
from domain.errors import DomainError, VersionConflict
from domain.ids import AccountId, CustomerId, EntryId, TenantId, TransferId
from domain.ledger.account import UNLIMITED_KINDS, Account, AccountKey, AccountKind, HeldFor
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.errors import (
    AccountNotFound,
    EntryConflict,
    EntryNotFound,
    LedgerRefusal,
    LinesArchived,
    TransferConflict,
)
from domain.ledger.posting import (
    BACKDATED_AT_MOST,
    POSTDATED_AT_MOST,
    Books,
    Decision,
    OpenBooks,
    burned_ids,
)
from domain.ledger.statement import (
    INSTANT,
    Cursor,
    Found,
    Period,
    Statement,
    StatementLine,
)
from domain.ledger.transfer import Posting, Transfer, TransferKind
from ports.ledger import (
    ExpiringHold,
    ExpiringHolds,
    LedgerStore,
    Lines,
    PastBalance,
    PostingOrder,
    RecordedEntry,
)
from ports.page import Page, PageRequest

# One look by key for each: where tenants seem to have few accounts, a plan would read all of one's.
_FIND_ACCOUNTS = """
SELECT k.kind, k.owner, k.asset, a.id
FROM unnest($2::text[], $3::text[], $4::text[]) AS k (kind, owner, asset)
CROSS JOIN LATERAL (
    SELECT id FROM core.accounts
    WHERE tenant_id = $1 AND kind = k.kind AND owner = k.owner AND asset = k.asset OFFSET 0
) AS a
"""

_OPEN_ACCOUNTS = """
INSERT INTO core.accounts (tenant_id, id, kind, owner, asset, overdraft_limit, created_at)
SELECT $1, uuidv7(), kind, owner, asset, CASE WHEN unlimited THEN NULL ELSE 0 END, core.now()
FROM unnest($2::text[], $3::text[], $4::text[], $5::bool[]) AS k (kind, owner, asset, unlimited)
ON CONFLICT (tenant_id, kind, owner, asset) DO NOTHING
"""

_FIND_BALANCES = """
SELECT * FROM core.accounts WHERE tenant_id = $1 AND id = ANY($2)
"""

# The clock is read for each row once it is locked, so no line before it is recorded later. Where it
# has stepped back, no day that was closed is written to.
_LOCK_ACCOUNTS = """
WITH locked AS MATERIALIZED (
    SELECT * FROM core.accounts WHERE tenant_id = $1 AND id = ANY($2)
    ORDER BY id FOR NO KEY UPDATE
)
SELECT *, greatest(core.now(), (SELECT core.closed_until($1))) AS locked_at FROM locked
"""

_GET_TRANSFERS = """
SELECT * FROM core.transfers WHERE tenant_id = $1 AND id = ANY($2)
"""

# One row at least, and one for each transfer that is known.
_READ_BOOKS = """
SELECT s.*, t.*, r.kind AS resolution
FROM (
    SELECT greatest(core.now(), core.closed_until($1)) AS read_at,
        ARRAY(SELECT id FROM core.entries WHERE tenant_id = $1 AND id = ANY($2)) AS known_ids,
        ARRAY(SELECT id FROM core.burned_ids WHERE tenant_id = $1 AND id = ANY($3) ORDER BY id)
            AS burned_ids,
        ARRAY(SELECT reason FROM core.burned_ids WHERE tenant_id = $1 AND id = ANY($3)
            ORDER BY id) AS burned_reasons
) AS s
LEFT JOIN core.transfers AS t ON t.tenant_id = $1 AND t.id = ANY($4)
LEFT JOIN core.resolutions AS r ON r.tenant_id = $1 AND r.pending_id = t.id
"""

_GET_ENTRIES = """
SELECT e.id, e.source, e.reference, e.description, e.effective_at, e.recorded_at, e.transfer_ids,
    (SELECT r.entry_id FROM core.reversals AS r
        WHERE r.tenant_id = $1 AND r.reversal_id = e.id) AS reverses,
    (SELECT r.reversal_id FROM core.reversals AS r
        WHERE r.tenant_id = $1 AND r.entry_id = e.id) AS reversed_by
FROM core.entries AS e WHERE e.tenant_id = $1 AND e.id = ANY($2)
"""

_ENTRY_ARRAYS: Final = """
$2::uuid[], $3::text::bigint[], $4::text::bigint[], $5::text::numeric[], $6::text::numeric[],
$7::text::numeric[], $8::text::numeric[], $9::uuid[], $10::text::text[], $11::text::text[],
$12::text::text[], $13::timestamptz[], $14::uuid[], $15::uuid[], $16::text::smallint[],
$17::text::text[], $18::uuid[], $19::uuid[], $20::text::text[], $21::text::numeric[], $22::uuid[],
$23::timestamptz[], $24::text::text[], $25::text::numeric[], $26::text::bigint[],
$27::text::numeric[], $28::text::bigint[], $29::text::numeric[]
"""

_WRITE = f"""
booked AS MATERIALIZED (SELECT core.write_entries($1, {_ENTRY_ARRAYS}, $30) AS recorded_at)
"""

_POST = f"""
posted AS MATERIALIZED (
    SELECT core.write_entries(
        $1, {_ENTRY_ARRAYS}, core.open_journal($1, $9, $14, $30, $31, $32, $33)
    ) AS recorded_at
)
"""

_ADD_DATED = """
INSERT INTO core.dated_lines (tenant_id, account_id, version, recorded_at, effective_at, change)
SELECT $1, * FROM unnest($2::uuid[], $3::bigint[], $4::timestamptz[], $5::timestamptz[],
    $6::numeric[])
"""

_GET_REVERSALS = """
SELECT entry_id, reversal_id FROM core.reversals WHERE tenant_id = $1 AND entry_id = ANY($2)
"""

_ADD_REVERSALS = """
INSERT INTO core.reversals (tenant_id, entry_id, reversal_id)
SELECT $1, * FROM unnest($2::uuid[], $3::uuid[])
"""

_ADD_EXPIRING = """
INSERT INTO core.expiring_holds (tenant_id, transfer_id, expires_at)
SELECT $1, * FROM unnest($2::uuid[], $3::timestamptz[])
"""

_DROP_EXPIRING = """
DELETE FROM core.expiring_holds WHERE tenant_id = $1 AND transfer_id = ANY($2)
"""

_DUE_HOLDS = """
SELECT expires_at, tenant_id, transfer_id FROM core.expiring_holds
WHERE expires_at <= core.now() AND (expires_at, tenant_id, transfer_id) > ($2, $3, $4)
ORDER BY expires_at, tenant_id, transfer_id LIMIT $1
"""

_BURN = """
INSERT INTO core.burned_ids (tenant_id, id, reason, recorded_at)
SELECT $1, id, reason, core.now() FROM unnest($2::uuid[], $3::text[]) AS t (id, reason)
ON CONFLICT DO NOTHING
"""

_ARE_KNOWN = """
SELECT EXISTS (SELECT FROM core.entries WHERE tenant_id = $1 AND id = ANY($2))
    OR EXISTS (SELECT FROM core.transfers WHERE tenant_id = $1 AND id = ANY($2))
"""

# One statement, and so one snapshot of the account and of its holds.
_GET_HOLDS = """
SELECT a.*, h.purpose AS held_for, h.units AS held_units, h.holds
FROM core.accounts AS a
LEFT JOIN LATERAL (
    SELECT purpose, sum(units) AS units, count(*) AS holds
    FROM core.open_holds($1, a.id, a.debits_pending) GROUP BY purpose
) AS h ON true
WHERE a.tenant_id = $1 AND a.id = $2
ORDER BY h.purpose
"""

_LIST_ACCOUNTS = """
SELECT * FROM core.accounts WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC LIMIT $3
"""

_CUSTOMER_ACCOUNTS = """
SELECT * FROM core.accounts WHERE tenant_id = $1 AND kind = 'customer' AND owner = $2
ORDER BY asset
"""

_LOCK_BALANCES = """
SELECT debits_pending > 0 OR credits_pending > 0 OR debits_posted <> credits_posted AS is_at_work
FROM core.accounts
WHERE tenant_id = $1 AND ($2::text IS NULL OR (kind = 'customer' AND owner = $2))
ORDER BY id FOR NO KEY UPDATE
"""


_LIST_LINES = "SELECT core.list_lines($1)"

# What is listed is in the order of its times: once nothing waits that was recorded by then, all is
# listed that waited when that was asked first, though others go on writing.
_LIST_WAITING = """
WITH waiting AS MATERIALIZED (
    SELECT CASE
        WHEN $3::timestamptz IS NULL
            THEN (SELECT max(recorded_at) FROM core.unlisted_lines WHERE tenant_id = $1)
        WHEN EXISTS (SELECT FROM core.unlisted_lines WHERE tenant_id = $1 AND recorded_at <= $3)
            THEN $3 END AS until
)
SELECT CASE WHEN core.list_lines($2) IS NOT NULL THEN until END FROM waiting
WHERE until IS NOT NULL
"""

_A_LOT_WAITS = """
SELECT count(*) = $2 OR coalesce(sum(transfers), 0) >= $1
FROM (SELECT transfers FROM core.unlisted_lines LIMIT $2) AS waiting
"""

LINES_IN_A_ROW: Final = 100
"""Lines of an account that each row but its last one has."""

_LISTED: Final = 50_000
"""Transfers whose lines are listed by one statement, give or take those of a statement's. Who reads
lines that a worker is listing waits for all of these, some hundred milliseconds."""

_LISTED_ROWS: Final = 10_000
"""Statements whose lines are listed by one, as the function in the database has it."""


_DIRECTION: Final = {PostingOrder.NEWEST_FIRST: "DESC", PostingOrder.OLDEST_FIRST: "ASC"}


def _some_lines(order: PostingOrder) -> str:
    """Return SQL that reads the rows that have a page of lines, and of these the page."""
    direction = _DIRECTION[order]
    if order is PostingOrder.NEWEST_FIRST:
        is_beyond, may_reach = "version < $3", "first_version < $3"
    else:
        is_beyond, may_reach = "version > $3", f"first_version > $3 - {LINES_IN_A_ROW}"
    return f"""
    SELECT version, transfer_id FROM (
        SELECT first_version - 1 + place AS version, transfer_id
        FROM (
            SELECT first_version, transfer_ids FROM core.account_lines
            WHERE tenant_id = $1 AND account_id = $2 AND ($3::bigint IS NULL OR {may_reach})
            ORDER BY first_version {direction} LIMIT $4 / {LINES_IN_A_ROW} + 2
        ) AS block
        CROSS JOIN LATERAL unnest(transfer_ids) WITH ORDINALITY AS line (transfer_id, place)
    ) AS line
    WHERE $3::bigint IS NULL OR {is_beyond}
    ORDER BY version {direction} LIMIT $4
"""


# Partitions that were detached take a line's transfer with them, its entry, or both.
_THERE_OR_ARCHIVED: Final = """
LEFT JOIN LATERAL (
    SELECT * FROM core.transfers WHERE tenant_id = $1 AND id = l.transfer_id
) AS t ON true
LEFT JOIN core.entries AS e ON e.tenant_id = $1 AND e.id = t.entry_id
"""


def _list_postings(order: PostingOrder) -> str:
    """Return SQL that reads a page of lines, and then their transfers."""
    return f"""
SELECT t.*, l.version, e.effective_at, e.id IS NULL AS is_archived,
    CASE WHEN t.debit_account_id = $2 THEN t.debit_balance_after ELSE t.credit_balance_after END
        AS balance_after
FROM ({_some_lines(order)}) AS l
{_THERE_OR_ARCHIVED}
ORDER BY l.version {_DIRECTION[order]}
"""


def _statement_lines(lines: str, order: str) -> str:
    """Return SQL that reads lines of a statement, given which they are."""
    return f"""
SELECT l.version, t.recorded_at, e.effective_at, t.kind IN ('regular', 'post') AS moves, t.units,
    t.debit_account_id, t.credit_account_id, t.id, e.id AS entry_id, t.purpose, e.description
FROM ({lines}) AS l
{_THERE_OR_ARCHIVED}
ORDER BY {order}
"""


_RECORDED_LINES: Final = _statement_lines(_some_lines(PostingOrder.OLDEST_FIRST), "l.version")

_DATED_LINES: Final = _statement_lines(
    """
    SELECT version, effective_at, core.line_at($1, $2, version) AS transfer_id
    FROM core.dated_lines
    WHERE tenant_id = $1 AND account_id = $2 AND effective_at >= $3 AND effective_at < $4
        AND recorded_at <= $5 AND change <> 0
        AND ($6::timestamptz IS NULL OR (effective_at, version) > ($6, $7::bigint))
    ORDER BY effective_at, version LIMIT $8
""",
    "l.effective_at, l.version",
)

_LIST_POSTINGS: Final = {order: _list_postings(order) for order in PostingOrder}

_LATEST_RECORD = """
SELECT asset, least($3::timestamptz, core.settled_record($1, $2, $4)) AS recorded_by
FROM core.accounts WHERE tenant_id = $1 AND id = $2
"""

# The balance by `$5`, the earlier of both times, with the lines that were recorded later and count
# by then, and without those that were recorded by then and count later; NULL if it is not known.
_BALANCE_AT = """
WITH line AS (
    SELECT coalesce($3::timestamptz, 'infinity') AS effective,
        core.version_at($1, $2, $5) AS version
)
SELECT core.balance_after($1, $2, line.version)
    + coalesce((SELECT sum(change) FROM core.dated_lines AS d
        WHERE tenant_id = $1 AND account_id = $2 AND d.recorded_at > $5
            AND d.recorded_at <= least($4::timestamptz, line.effective + $6::interval)
            AND d.effective_at <= line.effective), 0)
    - coalesce((SELECT sum(change) FROM core.dated_lines AS d
        WHERE tenant_id = $1 AND account_id = $2 AND d.recorded_at <= $5
            AND d.recorded_at >= line.effective - $7::interval
            AND d.effective_at > line.effective), 0)
FROM line
"""

_VERSIONS = """
SELECT core.version_at($1, $2, $3) AS first, core.version_at($1, $2, $4) AS last
"""

_CACHED_ACCOUNTS: Final = 100_000

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The clock of who has locked nothing."""


class AccountIdCache:
    """Ids of accounts that are known to be committed; an account is never closed or renamed."""

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[UUID, AccountKey], AccountId] = OrderedDict()

    def get(self, tenant: UUID, key: AccountKey) -> AccountId | None:
        return self._ids.get((tenant, key))

    def put(self, tenant: UUID, key: AccountKey, id: AccountId) -> None:
        self._ids[tenant, key] = id
        if len(self._ids) > _CACHED_ACCOUNTS:
            self._ids.popitem(last=False)


class PostgresLedger(LedgerStore):
    """The book of the tenant in scope."""

    def __init__(self, scope: Scope, account_ids: AccountIdCache) -> None:
        self._scope = scope
        self._account_ids = account_ids
        self._opened_here: dict[AccountKey, AccountId] = {}

    async def open_accounts(self, keys: Sequence[AccountKey]) -> Mapping[AccountKey, AccountId]:
        tenant = self._scope.tenant
        known = {key: self._account_ids.get(tenant, key) for key in keys}
        missing = [key for key, id in known.items() if id is None]
        found = await self._find_or_open(missing) if missing else {}
        return {key: id or found[key] for key, id in known.items()}

    def remember_opened(self) -> None:
        """Note that what was opened here is committed."""
        self._remember(self._opened_here)

    async def _find_or_open(self, keys: Sequence[AccountKey]) -> Mapping[AccountKey, AccountId]:
        found = await find_accounts(self._scope, keys)
        self._remember({key: found[key] for key in found.keys() - self._opened_here.keys()})
        opened = await self._open_accounts([key for key in keys if key not in found])
        self._opened_here.update(opened)
        return {**found, **opened}

    def _remember(self, committed: Mapping[AccountKey, AccountId]) -> None:
        for key, id in committed.items():
            self._account_ids.put(self._scope.tenant, key, id)

    async def commit(
        self, entry: Entry, *, is_new: bool = False, pending: Sequence[Transfer] = ()
    ) -> Decision:
        accounts, locked_at = await lock_accounts(self._scope, account_ids([entry]))
        known = (
            books_of_new(accounts, pending, locked_at)
            if is_new
            else await self._books([entry], accounts)
        )
        books = OpenBooks(known)
        decision = books.decide(entry)
        if not decision.is_replay:
            try:
                await write_rows(self._scope, [new_entries([decision], books)])
            except asyncpg.UniqueViolationError as error:
                raise _conflict(entry, error) from error
            await self._add_links([decision], known)
        return decision

    async def commit_new(self, entries: Sequence[Entry]) -> Sequence[Decision]:
        accounts, locked_at = await lock_accounts(self._scope, account_ids(entries))
        books = OpenBooks(books_of_new(accounts, (), locked_at))
        decided = [books.decide(entry) for entry in entries]
        if decided:
            await write_rows(self._scope, [new_entries(decided, books)])
            await self._add_dated(decided)
        return decided

    async def commit_all(self, entries: Sequence[Entry]) -> Sequence[Decision | DomainError]:
        accounts, _ = await lock_accounts(self._scope, account_ids(entries))
        known = await self._books(entries, accounts)
        books = OpenBooks(known)
        results = [books.result_of(entry) for entry in entries]
        new = [one for one in results if isinstance(one, Decision) and not one.is_replay]
        if new:
            try:
                await write_rows(self._scope, [new_entries(new, books)])
            except asyncpg.UniqueViolationError as error:
                raise VersionConflict("somebody used an id of the batch meanwhile") from error
            await self._add_links(new, known)
        burned: dict[bytes, str] = {}
        for entry, result in zip(entries, results, strict=True):
            if isinstance(result, DomainError):
                burned |= burned_ids(entry, result)
        await self._burn(burned)
        return results

    async def burn(self, entry: Entry, refusal: LedgerRefusal) -> None:
        await lock_accounts(self._scope, account_ids([entry]))
        burned = burned_ids(entry, refusal)
        ids = [UUID(bytes=id) for id in burned]
        if await self._scope.driver.fetchval(_ARE_KNOWN, self._scope.tenant, ids):
            raise VersionConflict("somebody committed the entry after it was refused")
        await self._burn(burned)

    async def _burn(self, reasons: Mapping[bytes, str]) -> None:
        if reasons:
            await self._scope.driver.execute(
                _BURN,
                self._scope.tenant,
                [UUID(bytes=id) for id in reasons],
                list(reasons.values()),
            )

    async def get_entry(self, entry_id: EntryId) -> RecordedEntry:
        found = await self._find_entries([entry_id])
        if entry_id not in found:
            raise EntryNotFound("no such entry", entry_id=entry_id)
        if not found[entry_id].entry.transfers:
            raise LinesArchived("the entry's transfers are archived", entry_id=entry_id)
        return found[entry_id]

    async def get_transfers(self, ids: Sequence[TransferId]) -> Mapping[TransferId, Transfer]:
        if not ids:
            return {}
        rows = await self._scope.driver.fetch(
            _GET_TRANSFERS, self._scope.tenant, [id.uuid for id in ids]
        )
        return {transfer.id: transfer for transfer in map(self._transfer, rows)}

    async def find_account(self, key: AccountKey) -> Account | None:
        found = await find_accounts(self._scope, [key])
        return await self.get_account(found[key]) if found else None

    async def get_account(self, account_id: AccountId, *, lock: bool = False) -> Account:
        query = "SELECT * FROM core.accounts WHERE tenant_id = $1 AND id = $2"
        row = await self._scope.driver.fetchrow(
            query + " FOR NO KEY UPDATE" if lock else query, self._scope.tenant, account_id.uuid
        )
        if row is None:
            raise AccountNotFound("no such account", account_id=account_id)
        return _account(self._scope, row)

    async def get_holds(self, account_id: AccountId) -> tuple[Account, Sequence[HeldFor]]:
        rows = await self._scope.driver.fetch(_GET_HOLDS, self._scope.tenant, account_id.uuid)
        if not rows:
            raise AccountNotFound("no such account", account_id=account_id)
        account = _account(self._scope, rows[0])
        return account, [
            HeldFor(row["held_for"], int(row["held_units"]), row["holds"])
            for row in rows
            if row["held_for"] is not None
        ]

    async def set_overdraft_limit(self, account: Account) -> None:
        await self._scope.driver.execute(
            "UPDATE core.accounts SET overdraft_limit = $3 WHERE tenant_id = $1 AND id = $2",
            self._scope.tenant,
            account.id.uuid,
            account.overdraft_limit,
        )

    async def list_accounts(self, page: PageRequest) -> Page[Account]:
        rows = await self._scope.driver.fetch(
            _LIST_ACCOUNTS, self._scope.tenant, page.before, page.size + 1
        )
        return page_of(
            [_account(self._scope, row) for row in rows], [row["id"] for row in rows], page
        )

    async def customer_accounts(self, customer_id: CustomerId) -> Sequence[Account]:
        rows = await self._scope.driver.fetch(
            _CUSTOMER_ACCOUNTS, self._scope.tenant, str(customer_id)
        )
        return [_account(self._scope, row) for row in rows]

    async def has_balances(self, customer_id: CustomerId | None) -> bool:
        rows = await self._scope.driver.fetch(
            _LOCK_BALANCES, self._scope.tenant, str(customer_id) if customer_id else None
        )
        return any(row["is_at_work"] for row in rows)

    async def list_lines(self, until: datetime | None = None) -> datetime | None:
        return await _list_a_lot(self._scope, until)

    async def list_postings(
        self,
        account_id: AccountId,
        page: PageRequest,
        order: PostingOrder = PostingOrder.NEWEST_FIRST,
    ) -> Page[Posting]:
        await list_lines(self._scope)
        rows = await self._scope.driver.fetch(
            _LIST_POSTINGS[order],
            self._scope.tenant,
            account_id.uuid,
            page.before,
            page.size + 1,
        )
        found = page_of(rows, [row["version"] for row in rows], page)
        postings = [self._posting(row, account_id) for row in found.items if not row["is_archived"]]
        return Page(tuple(postings), found.next_before)

    async def balance_at(
        self,
        account_id: AccountId,
        *,
        effective_at: datetime | None = None,
        recorded_by: datetime | None = None,
    ) -> PastBalance:
        row = await self._scope.driver.fetchrow(
            _LATEST_RECORD,
            self._scope.tenant,
            account_id.uuid,
            recorded_by,
            journal_lock(self._scope.tenant_id),
        )
        if row is None:
            raise AccountNotFound("no such account", account_id=account_id)
        recorded_by = row["recorded_by"]
        await list_lines(self._scope)
        units = await self._scope.driver.fetchval(
            _BALANCE_AT,
            self._scope.tenant,
            account_id.uuid,
            effective_at,
            recorded_by,
            min(effective_at or recorded_by, recorded_by),
            BACKDATED_AT_MOST,
            POSTDATED_AT_MOST,
        )
        if units is None:
            raise archived(account_id)
        return PastBalance(
            posted=Amount(self._scope.asset(row["asset"]), units),
            effective_at=effective_at,
            recorded_by=recorded_by,
        )

    async def open_statement(
        self, account_id: AccountId, period: Period, *, recorded_by: datetime | None = None
    ) -> tuple[Statement, Cursor]:
        before, last = period.start - INSTANT, period.end - INSTANT
        opening = await self.balance_at(account_id, effective_at=before, recorded_by=recorded_by)
        recorded_by = opening.recorded_by
        closing = await self.balance_at(account_id, effective_at=last, recorded_by=recorded_by)
        account = await self.get_account(account_id)
        statement = Statement(
            account_id=account_id,
            account=account.key,
            period=period,
            recorded_by=recorded_by,
            opening=opening.posted.units,
            closing=closing.posted.units,
        )
        row = await self._scope.driver.fetchrow(
            _VERSIONS,
            self._scope.tenant,
            account_id.uuid,
            min(before, recorded_by),
            min(last, recorded_by),
        )
        if row["first"] is None or row["last"] is None:
            raise archived(account_id)
        return statement, Cursor(row["first"], row["last"])

    async def statement_lines(self, statement: Statement, cursor: Cursor, *, limit: int) -> Found:
        tenant, account = self._scope.tenant, statement.account_id.uuid
        recorded: Sequence[StatementLine] = ()
        if cursor.version < cursor.last_version:
            rows = await self._scope.driver.fetch(
                _RECORDED_LINES, tenant, account, cursor.version, limit
            )
            recorded = [
                _statement_line(row, account)
                for row in rows
                if row["version"] <= cursor.last_version
            ]
        after = cursor.dated
        rows = await self._scope.driver.fetch(
            _DATED_LINES,
            tenant,
            account,
            statement.period.start,
            statement.period.end,
            statement.recorded_by,
            after and after.effective_at,
            after and after.version,
            limit + 1,
        )
        dated = [_statement_line(row, account) for row in rows[:limit]]
        return Found(
            recorded,
            dated,
            more_recorded=bool(recorded) and recorded[-1].version < cursor.last_version,
            more_dated=len(rows) > limit,
        )

    async def _open_accounts(self, keys: Sequence[AccountKey]) -> dict[AccountKey, AccountId]:
        if not keys:
            return {}
        # In one order everywhere, so that two units of work opening the same accounts wait for
        # each other instead of deadlocking.
        ordered = sorted(keys, key=lambda key: (key.kind, key.owner, key.asset.code))
        await self._scope.driver.execute(
            _OPEN_ACCOUNTS,
            self._scope.tenant,
            *_columns(ordered),
            [key.kind in UNLIMITED_KINDS for key in ordered],
        )
        return await find_accounts(self._scope, ordered)

    async def _find_entries(self, ids: Sequence[EntryId]) -> Mapping[EntryId, RecordedEntry]:
        """Return those entries that exist; where a transfer is archived, without transfers."""
        if not ids:
            return {}
        wanted = [id.uuid for id in ids]
        driver, tenant = self._scope.driver, self._scope.tenant
        rows = await driver.fetch(_GET_ENTRIES, tenant, wanted)
        transfers = await self.get_transfers(
            [TransferId(id) for row in rows for id in row["transfer_ids"]]
        )

        def transfers_of(row: Any) -> tuple[Transfer, ...]:
            ids = [TransferId(id) for id in row["transfer_ids"]]
            return tuple(transfers[id] for id in ids) if transfers.keys() >= set(ids) else ()

        return {
            EntryId(row["id"]): RecordedEntry(
                Entry(
                    id=EntryId(row["id"]),
                    transfers=transfers_of(row),
                    source=EntrySource(row["source"]),
                    reference=row["reference"],
                    description=row["description"],
                    effective_at=row["effective_at"],
                    reverses=EntryId(row["reverses"]) if row["reverses"] else None,
                ),
                row["recorded_at"],
                EntryId(row["reversed_by"]) if row["reversed_by"] else None,
            )
            for row in rows
        }

    async def _books(self, entries: Sequence[Entry], accounts: Mapping[bytes, Account]) -> Books:
        """Read what is known of the entries' ids, after the locks: it then includes what the
        previous holder of any of these accounts has committed.
        """
        transfers = [transfer for entry in entries for transfer in entry.transfers]
        entry_ids = [entry.id.uuid for entry in entries]
        own_ids = [transfer.id.uuid for transfer in transfers]
        pending_ids = [transfer.pending_id.uuid for transfer in transfers if transfer.pending_id]
        rows = await self._scope.driver.fetch(
            _READ_BOOKS,
            self._scope.tenant,
            entry_ids,
            [*entry_ids, *own_ids],
            [*own_ids, *pending_ids],
        )
        first = rows[0]
        known = [row for row in rows if row["id"] is not None]
        known_entries = await self._find_entries([EntryId(id) for id in first["known_ids"]])
        return Books(
            accounts=accounts,
            transfers={transfer.id.bytes: transfer for transfer in map(self._transfer, known)},
            resolutions={
                row["id"].bytes: TransferKind(row["resolution"])
                for row in known
                if row["resolution"]
            },
            entries={id.bytes: found.entry for id, found in known_entries.items()},
            failed={
                id.bytes: reason
                for id, reason in zip(first["burned_ids"], first["burned_reasons"], strict=True)
            },
            now=first["read_at"],
            reversals=await self._reversals(entries),
        )

    async def _reversals(self, entries: Sequence[Entry]) -> Mapping[bytes, EntryId]:
        wanted = [entry.reverses.uuid for entry in entries if entry.reverses]
        if not wanted:
            return {}
        rows = await self._scope.driver.fetch(_GET_REVERSALS, self._scope.tenant, wanted)
        return {row["entry_id"].bytes: EntryId(row["reversal_id"]) for row in rows}

    async def _add_links(self, decided: Sequence[Decision], books: Books) -> None:
        """Write what few entries have beside their own rows."""
        await self._add_dated(decided)
        await self._track_expiry([decision.entry for decision in decided], books)
        pairs = [
            (decision.entry.reverses.uuid, decision.entry.id.uuid)
            for decision in decided
            if decision.entry.reverses
        ]
        if pairs:
            reversed_ids, reversal_ids = zip(*pairs, strict=True)
            await self._scope.driver.execute(
                _ADD_REVERSALS, self._scope.tenant, reversed_ids, reversal_ids
            )

    async def _add_dated(self, decided: Sequence[Decision]) -> None:
        lines = [
            (line, decision.entry.effective_at)
            for decision in decided
            if decision.entry.effective_at != decision.recorded_at
            for line in decision.postings
        ]
        if lines:
            await self._scope.driver.execute(
                _ADD_DATED,
                self._scope.tenant,
                [line.account_id.uuid for line, _ in lines],
                [line.version for line, _ in lines],
                [line.recorded_at for line, _ in lines],
                [effective_at for _, effective_at in lines],
                [line.change.units for line, _ in lines],
            )

    async def _track_expiry(self, entries: Sequence[Entry], books: Books) -> None:
        transfers = [transfer for entry in entries for transfer in entry.transfers]
        expiring = [transfer for transfer in transfers if transfer.expires_at]
        if expiring:
            await self._scope.driver.execute(
                _ADD_EXPIRING,
                self._scope.tenant,
                [transfer.id.uuid for transfer in expiring],
                [transfer.expires_at for transfer in expiring],
            )
        known = {**books.transfers, **{transfer.id.bytes: transfer for transfer in transfers}}
        resolved = [
            transfer.pending_id.uuid
            for transfer in transfers
            if transfer.pending_id and known[transfer.pending_id.bytes].expires_at
        ]
        if resolved:
            await self._scope.driver.execute(_DROP_EXPIRING, self._scope.tenant, resolved)

    def _transfer(self, row: Any) -> Transfer:
        return Transfer(
            id=TransferId(row["id"]),
            debit_account_id=AccountId(row["debit_account_id"]),
            credit_account_id=AccountId(row["credit_account_id"]),
            amount=Amount(self._scope.asset(row["asset"]), row["units"]),
            kind=TransferKind(row["kind"]),
            pending_id=TransferId(row["pending_id"]) if row["pending_id"] else None,
            expires_at=row["expires_at"],
            purpose=row["purpose"],
        )

    def _posting(self, row: Any, account_id: AccountId) -> Posting:
        transfer = self._transfer(row)
        is_debit = transfer.debit_account_id == account_id
        change = transfer.amount.units if transfer.moves else 0
        asset = transfer.amount.asset
        return Posting(
            transfer=transfer,
            entry_id=EntryId(row["entry_id"]),
            account_id=account_id,
            change=Amount(asset, -change if is_debit else change),
            held_change=Amount(asset, row["debit_held"] if is_debit else 0),
            balance_after=Amount(asset, row["balance_after"]),
            version=row["version"],
            effective_at=row["effective_at"],
            recorded_at=row["recorded_at"],
        )


def archived(account_id: AccountId) -> LinesArchived:
    """Return why something is not known of an account."""
    return LinesArchived("lines that are needed for it are archived", account_id=account_id)


def _statement_line(row: Any, account: UUID) -> StatementLine:
    if row["entry_id"] is None:
        raise archived(AccountId(account))
    is_debit = row["debit_account_id"] == account
    units = row["units"] if row["moves"] else 0
    other = row["credit_account_id"] if is_debit else row["debit_account_id"]
    return StatementLine(
        effective_at=row["effective_at"],
        version=row["version"],
        recorded_at=row["recorded_at"],
        change=-units if is_debit else units,
        entry_id=str(EntryId(row["entry_id"])),
        transfer_id=str(TransferId(row["id"])),
        counter_account_id=_account_text(other),
        purpose=row["purpose"],
        description=row["description"],
    )


# The other sides of one line are those of many.
@lru_cache(maxsize=10_000)
def _account_text(id: UUID) -> str:
    return str(AccountId(id))


_BEFORE_ANY_HOLD: Final = ExpiringHold(
    datetime.min.replace(tzinfo=UTC), TenantId(UUID(int=0)), TransferId(UUID(int=0))
)


class PostgresExpiringHolds(ExpiringHolds):
    """The holds of all tenants; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def due(self, *, limit: int, after: ExpiringHold | None = None) -> Sequence[ExpiringHold]:
        expires_at, tenant_id, transfer_id = after or _BEFORE_ANY_HOLD
        async with borrowed_driver(self._engine) as driver:
            rows = await driver.fetch(
                _DUE_HOLDS, limit, expires_at, tenant_id.uuid, transfer_id.uuid
            )
        return [
            ExpiringHold(
                row["expires_at"], TenantId(row["tenant_id"]), TransferId(row["transfer_id"])
            )
            for row in rows
        ]


class PostgresLines(Lines):
    """The lines of all tenants' accounts; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def list_waiting(self) -> bool:
        async with borrowed_driver(self._engine) as driver:
            await driver.fetchval(_LIST_LINES, _LISTED)
            a_lot_waits: bool = await driver.fetchval(_A_LOT_WAITS, _LISTED, _LISTED_ROWS)
        return a_lot_waits


async def list_lines(scope: Scope) -> None:
    """List all lines of the tenant in scope that wait for it.

    The writer leaves that to whoever comes first: a worker, or who reads them.
    """
    until = await _list_a_lot(scope)
    while until is not None:
        until = await _list_a_lot(scope, until)


async def _list_a_lot(scope: Scope, until: datetime | None = None) -> datetime | None:
    """List lines of the tenant in scope, those of `until` or before it or of all that wait.

    Returns by when the last of these were recorded, or None where none waited. That little was
    listed does not say that nothing is left: somebody else may have listed it at the same time, or
    many statements may have written few lines each.
    """
    by: datetime | None = await scope.driver.fetchval(_LIST_WAITING, scope.tenant, _LISTED, until)
    return by


def account_ids(entries: Iterable[Entry]) -> dict[bytes, AccountId]:
    """Return the accounts on either side of the entries' transfers, by their bytes."""
    return {
        id.bytes: id
        for entry in entries
        for transfer in entry.transfers
        for id in (transfer.debit_account_id, transfer.credit_account_id)
    }


async def find_accounts(scope: Scope, keys: Collection[AccountKey]) -> dict[AccountKey, AccountId]:
    """Return those accounts of these names that exist."""
    rows = await scope.driver.fetch(_FIND_ACCOUNTS, scope.tenant, *_columns(keys))
    return {
        AccountKey(AccountKind(row["kind"]), scope.asset(row["asset"]), row["owner"]): AccountId(
            row["id"]
        )
        for row in rows
    }


async def find_balances(scope: Scope, ids: Sequence[AccountId]) -> dict[bytes, Account]:
    """Return those accounts that exist, by their bytes and without locking them."""
    rows = await scope.driver.fetch(_FIND_BALANCES, scope.tenant, ids)
    return _by_bytes(_account(scope, row) for row in rows)


async def lock_accounts(
    scope: Scope, ids: Mapping[bytes, AccountId]
) -> tuple[dict[bytes, Account], datetime]:
    """Lock those accounts that exist, in the order of their ids, and then read the clock."""
    wanted = [ids[key] for key in sorted(ids)]
    rows = await scope.driver.fetch(_LOCK_ACCOUNTS, scope.tenant, wanted)
    accounts = _by_bytes(_account(scope, row) for row in rows)
    return accounts, max((row["locked_at"] for row in rows), default=LONG_AGO)


def _by_bytes(accounts: Iterable[Account]) -> dict[bytes, Account]:
    return {account.id.bytes: account for account in accounts}


class EntryRows:
    """What the functions that write entries take, gathered while entries are decided."""

    def __init__(self) -> None:
        self._entries: list[tuple[Any, ...]] = []
        self._transfers: list[tuple[Any, ...]] = []

    def add(self, decided: Iterable[Decision]) -> None:
        """Take on what was decided next."""
        for decision in decided:
            entry = decision.asked
            self._entries.append(
                (entry.id, entry.source, entry.reference, entry.description, entry.effective_at)
            )
            # What is spread over the memory is visited once.
            for ordinal, (transfer, before, debit, _, credit) in enumerate(decision.moves, 1):
                self._transfers.append(
                    (
                        transfer.id,
                        entry.id,
                        ordinal,
                        transfer.kind,
                        transfer.debit_account_id,
                        transfer.credit_account_id,
                        transfer.amount.asset.code,
                        transfer.amount.units,
                        transfer.pending_id,
                        transfer.expires_at,
                        transfer.purpose,
                        debit.debits_pending - before.debits_pending,
                        debit.version,
                        debit.credits_posted - debit.debits_posted,
                        credit.version,
                        credit.credits_posted - credit.debits_posted,
                    )
                )

    def arrays(self, books: OpenBooks) -> tuple[Any, ...]:
        """Return one array for each column, the accounts' first.

        Ids are encoded by their bytes. The other columns travel as text, which costs the driver a
        fraction of an array of numbers; the server reads it as quickly.
        """
        accounts = zip(
            *(
                (
                    account.id,
                    before.version,
                    account.version,
                    account.debits_pending,
                    account.debits_posted,
                    account.credits_pending,
                    account.credits_posted,
                )
                for before, account in books.changed
            ),
            strict=True,
        )
        ids, *numbers = accounts
        return (
            ids,
            *map(_numbers, numbers),
            *_each(zip(*self._entries, strict=True), (_all, _texts, _texts, _texts, _if_any)),
            *_each(
                zip(*self._transfers, strict=True),
                (_all, _all, _numbers, _texts, _all, _all, _texts, _numbers, _if_any, _if_any)
                + (_texts,)
                + (_numbers,) * 5,
            ),
        )


def new_entries(decided: Sequence[Decision], books: OpenBooks) -> Write:
    """Write entries in the order in which they were decided, on books that are locked."""
    rows = EntryRows()
    rows.add(decided)
    return Write(
        _WRITE,
        (*rows.arrays(books), books.recorded_at),
        found="(SELECT recorded_at FROM booked)",
    )


def posted_entries(
    tenant_id: TenantId,
    rows: EntryRows,
    books: OpenBooks,
    latest_record: datetime,
    recorded: Callable[[datetime], None],
) -> Write:
    """Write entries on books that are not locked, and tell when they were recorded.

    What is written on accounts that have changed, or on a clock that does not agree with ours, is a
    serialization failure. The tenant is entered by the statement itself.
    """
    return Write(
        _POST,
        (
            *rows.arrays(books),
            tenant_lock(tenant_id),
            journal_lock(tenant_id),
            books.recorded_at,
            latest_record,
        ),
        found="(SELECT recorded_at FROM posted)",
        check=recorded,
        only_adds=True,
    )


def _each(
    columns: Iterable[Sequence[Any]], encoders: Sequence[Callable[[Sequence[Any]], Any]]
) -> Iterator[Any]:
    for column, encode in zip(columns, encoders, strict=True):
        yield encode(column)


def _all(values: Sequence[Any]) -> Sequence[Any]:
    return values


def _numbers(values: Sequence[int]) -> str:
    return "{" + ",".join(map(str, _once(values))) + "}"


def _texts(values: Sequence[str]) -> str:
    return array_literal(_once(values))


def _once(values: Sequence[Any]) -> Sequence[Any]:
    """Return one of the values where all are the same."""
    # Where they differ, the ends mostly do.
    is_one = values[0] == values[-1] and values.count(values[0]) == len(values)
    return values[:1] if is_one else values


def _if_any(values: Sequence[Any]) -> Sequence[Any]:
    """Return nothing where there is nothing."""
    return () if values.count(None) == len(values) else values


def books_of_new(
    accounts: Mapping[bytes, Account], pending: Sequence[Transfer], locked_at: datetime
) -> Books:
    """Return what is known of an entry whose ids are new: its accounts and what it resolves."""
    return Books(
        accounts=accounts,
        transfers={transfer.id.bytes: transfer for transfer in pending},
        resolutions={},
        entries={},
        failed={},
        now=locked_at,
    )


def _account(scope: Scope, row: Any) -> Account:
    return Account(
        id=AccountId(row["id"]),
        key=AccountKey(AccountKind(row["kind"]), scope.asset(row["asset"]), row["owner"]),
        debits_pending=row["debits_pending"],
        debits_posted=row["debits_posted"],
        credits_pending=row["credits_pending"],
        credits_posted=row["credits_posted"],
        overdraft_limit=row["overdraft_limit"],
        version=row["version"],
        recorded_at=row["recorded_at"],
    )


def _conflict(entry: Entry, error: asyncpg.UniqueViolationError) -> DomainError:
    """Return what an id means that somebody used meanwhile for other accounts, past our locks."""
    table = str(error.table_name)
    if table == "burned_ids":
        return VersionConflict("an entry of this id failed meanwhile")
    if table.startswith("entries"):
        return EntryConflict("this entry id is known with other content", entry_id=entry.id)
    assert table.startswith("transfers"), f"the locks of the accounts let {table} be written twice"
    return TransferConflict("a transfer id belongs to another entry", entry_id=entry.id)


def _columns(keys: Collection[AccountKey]) -> tuple[list[str], list[str], list[str]]:
    return (
        [key.kind for key in keys],
        [key.owner for key in keys],
        [key.asset.code for key in keys],
    )
