"""Statements, and the lines of both sides."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from adapters.postgres.scope import Scope
from domain.ids import AccountId, BreakId, EntryId, LineId, StatementId
from domain.ledger.entry import EntrySource
from domain.reconciliation.matching import Line, LineSide
from domain.reconciliation.statement import (
    LineKind,
    Source,
    SourceKind,
    Statement,
    StatementFormat,
)
from ports.reconciliation import (
    MIRROR,
    BookOrigin,
    EntryNote,
    NotedLine,
    OpenLine,
    ReconciledAccount,
    ReconciliationStore,
    SourceState,
    StatementOrigin,
    Tie,
    Told,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_LOCK = "SELECT pg_advisory_xact_lock($1)"

_FIND = """
SELECT * FROM core.statements
WHERE tenant_id = $1 AND source_kind = $2 AND source = $3 AND content_hash = $4
"""

_ADD_STATEMENT = """
INSERT INTO core.statements (tenant_id, id, source_kind, source, format, content_hash, lines_hash,
    starts_at, ends_at, position, imported_by, imported_at, lines, known, matched, waiting,
    breaks_raised, breaks_resolved)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
"""

_ADD_BALANCES = """
INSERT INTO core.statement_balances (tenant_id, statement_id, asset, told)
SELECT $1, $2, asset, told FROM unnest($3::text[], $4::numeric[]) AS b (asset, told)
"""

_STATE = """
SELECT min(starts_at) AS starts_at, max(ends_at) AS ends_at,
    (array_agg(position ORDER BY ends_at DESC, id DESC) FILTER (WHERE position <> ''))[1]
        AS position
FROM core.statements WHERE tenant_id = $1 AND source_kind = $2 AND source = $3
"""

_TOLD = """
SELECT asset, reference, sum(units) AS units, min(value_at) AS value_at
FROM core.reconciliation_lines
WHERE tenant_id = $1 AND source_kind = $2 AND source = $3 AND side = 'statement'
    AND reference = ANY ($4)
GROUP BY asset, reference
"""

_TOLD_BETWEEN = """
SELECT asset, reference, sum(units) AS units, min(value_at) AS value_at
FROM core.reconciliation_lines
WHERE tenant_id = $1 AND source_kind = $2 AND source = $3 AND side = 'statement'
    AND value_at >= $4 AND value_at < $5 AND kind <> 'opening'
GROUP BY asset, reference HAVING sum(units) <> 0
"""

_TOLD_SUMS = """
SELECT asset, sum(units) AS units FROM core.reconciliation_lines
WHERE tenant_id = $1 AND source_kind = $2 AND source = $3 AND side = 'statement'
    AND ($4::timestamptz IS NULL OR value_at < $4)
GROUP BY asset
"""

_ACCOUNTS = """
SELECT a.id, a.asset, r.units_before, coalesce(r.version, 0) AS version
FROM core.accounts AS a
LEFT JOIN core.reconciled_accounts AS r ON r.tenant_id = a.tenant_id AND r.account_id = a.id
WHERE a.tenant_id = $1 AND a.kind = $2 AND a.owner = $3
ORDER BY a.asset
"""

_SAVE_ACCOUNT = """
INSERT INTO core.reconciled_accounts (tenant_id, account_id, source_kind, source, asset,
    units_before, version)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id, account_id) DO UPDATE SET version = excluded.version
"""

_ENTRY_NOTES = """
SELECT id, source, reference, description FROM core.entries
WHERE tenant_id = $1 AND id = ANY ($2)
"""

_NOTE = """
INSERT INTO core.reconciliation_lines (tenant_id, id, side, source_kind, source, kind, asset, units,
    value_at, reference, others, statement_id, number, account_id, entry_id, noted_at, match_id,
    match_rule, break_id)
SELECT $1, id, side, $2, $3, kind, asset, units, value_at, reference,
    string_to_array(others, E'\\x1f'), statement_id, number, account_id, entry_id, $4, match_id,
    match_rule, break_id
FROM unnest($5::uuid[], $6::text[], $7::text[], $8::text[], $9::numeric[], $10::timestamptz[],
    $11::text[], $12::text[], $13::uuid[], $14::integer[], $15::uuid[], $16::uuid[], $17::uuid[],
    $18::text[], $19::uuid[])
    AS l (id, side, kind, asset, units, value_at, reference, others, statement_id, number,
        account_id, entry_id, match_id, match_rule, break_id)
"""

_LINES = """
SELECT id, side, kind, asset, units, value_at, reference, others, break_id
FROM core.reconciliation_lines WHERE tenant_id = $1 AND match_id IS NULL
"""
_OPEN = _LINES + "AND source_kind = $2 AND source = $3"
_OF_BREAK = _LINES + "AND break_id = $2"
_OF_ENTRY = _LINES + "AND account_id = $2 AND entry_id = $3 AND side = 'book'"

_NOTED_ENTRIES = """
SELECT entry_id FROM core.reconciliation_lines
WHERE tenant_id = $1 AND account_id = $2 AND entry_id = ANY ($3) AND side = 'book'
"""

_TIE = """
UPDATE core.reconciliation_lines AS l
SET match_id = t.match_id, match_rule = t.match_rule,
    break_id = CASE WHEN t.match_id IS NULL THEN t.break_id ELSE l.break_id END
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::uuid[])
    AS t (id, match_id, match_rule, break_id)
WHERE l.tenant_id = $1 AND l.id = t.id AND l.match_id IS NULL
"""

_HAS_NEWS = """
SELECT EXISTS (
    SELECT FROM core.reconciliation_lines WHERE tenant_id = $1 AND source_kind = $2 AND source = $3
        AND match_id IS NULL AND break_id IS NULL AND value_at + $5::interval <= core.now()
) OR EXISTS (
    SELECT FROM core.accounts AS a
    LEFT JOIN core.reconciled_accounts AS r ON r.tenant_id = a.tenant_id AND r.account_id = a.id
    WHERE a.tenant_id = $1 AND a.kind = $4 AND a.owner = $3
        AND a.version > coalesce(r.version, 0)
)
"""


class PostgresReconciliation(ReconciliationStore):
    """Statements and lines of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def lock(self, source: Source) -> None:
        name = f"reconcile {self._scope.tenant} {source.kind} {source.name}"
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        await self._scope.driver.execute(_LOCK, key)

    async def find_statement(self, source: Source, content_hash: bytes) -> Statement | None:
        row = await self._scope.driver.fetchrow(
            _FIND, self._scope.tenant, source.kind, source.name, content_hash
        )
        return self._statement(row) if row else None

    async def add_statement(
        self,
        statement: Statement,
        content_hash: bytes,
        told: Mapping[str, int],
        lines: Sequence[NotedLine],
    ) -> None:
        await self._scope.driver.execute(
            _ADD_STATEMENT,
            self._scope.tenant,
            statement.id.uuid,
            statement.source.kind,
            statement.source.name,
            statement.format,
            content_hash,
            lines_hash(lines),
            statement.starts_at,
            statement.ends_at,
            statement.position,
            statement.imported_by,
            statement.imported_at,
            statement.lines,
            statement.known,
            statement.matched,
            statement.waiting,
            statement.breaks_raised,
            statement.breaks_resolved,
        )
        await self._scope.driver.execute(
            _ADD_BALANCES,
            self._scope.tenant,
            statement.id.uuid,
            list(told),
            list(told.values()),
        )

    async def state(self, source: Source) -> SourceState:
        row = await self._scope.driver.fetchrow(
            _STATE, self._scope.tenant, source.kind, source.name
        )
        return SourceState(row["starts_at"], row["ends_at"], row["position"] or "")

    async def told(
        self, source: Source, references: Sequence[str]
    ) -> Mapping[tuple[str, str], Told]:
        return await self._told(_TOLD, source, list(references))

    async def told_between(
        self, source: Source, starts_at: datetime, ends_at: datetime
    ) -> Mapping[tuple[str, str], Told]:
        return await self._told(_TOLD_BETWEEN, source, starts_at, ends_at)

    async def told_sums(
        self, source: Source, *, before: datetime | None = None
    ) -> Mapping[str, int]:
        rows = await self._scope.driver.fetch(
            _TOLD_SUMS, self._scope.tenant, source.kind, source.name, before
        )
        return {row["asset"]: int(row["units"]) for row in rows}

    async def accounts(self, source: Source) -> Sequence[ReconciledAccount]:
        rows = await self._scope.driver.fetch(
            _ACCOUNTS, self._scope.tenant, MIRROR[source.kind], source.name
        )
        return [
            ReconciledAccount(
                id=AccountId(row["id"]),
                asset=self._scope.asset(row["asset"]),
                units_before=None if row["units_before"] is None else int(row["units_before"]),
                version=row["version"],
            )
            for row in rows
        ]

    async def save_account(self, source: Source, account: ReconciledAccount) -> None:
        await self._scope.driver.execute(
            _SAVE_ACCOUNT,
            self._scope.tenant,
            account.id.uuid,
            source.kind,
            source.name,
            account.asset.code,
            account.units_before,
            account.version,
        )

    async def entry_notes(self, entry_ids: Sequence[EntryId]) -> Mapping[EntryId, EntryNote]:
        rows = await self._scope.driver.fetch(
            _ENTRY_NOTES, self._scope.tenant, [id.uuid for id in entry_ids]
        )
        return {
            EntryId(row["id"]): EntryNote(
                EntrySource(row["source"]), row["reference"], row["description"]
            )
            for row in rows
        }

    async def note(self, source: Source, lines: Sequence[NotedLine], *, now: datetime) -> None:
        columns = [list(column) for column in zip(*map(_columns, lines), strict=True)]
        if columns:
            await self._scope.driver.execute(
                _NOTE, self._scope.tenant, source.kind, source.name, now, *columns
            )

    async def open_lines(self, source: Source) -> Sequence[OpenLine]:
        return await self._lines(_OPEN, source.kind, source.name)

    async def lines_of_break(self, break_id: BreakId) -> Sequence[Line]:
        return [line for line, _ in await self._lines(_OF_BREAK, break_id.uuid)]

    async def line_of_entry(self, account_id: AccountId, entry_id: EntryId) -> OpenLine | None:
        found = await self._lines(_OF_ENTRY, account_id.uuid, entry_id.uuid)
        return found[0] if found else None

    async def noted_entries(
        self, account_id: AccountId, entry_ids: Sequence[EntryId]
    ) -> Set[EntryId]:
        rows = await self._scope.driver.fetch(
            _NOTED_ENTRIES,
            self._scope.tenant,
            account_id.uuid,
            [id.uuid for id in entry_ids],
        )
        return {EntryId(row["entry_id"]) for row in rows}

    async def tie(self, ties: Sequence[Tie]) -> None:
        rows = [
            (
                line.id.uuid,
                tie.match_id.uuid if tie.match_id else None,
                tie.rule,
                tie.break_id.uuid if tie.break_id else None,
            )
            for tie in ties
            for line in tie.lines
        ]
        if rows:
            await self._scope.driver.execute(
                _TIE, self._scope.tenant, *(list(column) for column in zip(*rows, strict=True))
            )

    async def has_news(self, source: Source, *, grace: timedelta) -> bool:
        return bool(
            await self._scope.driver.fetchval(
                _HAS_NEWS,
                self._scope.tenant,
                source.kind,
                source.name,
                MIRROR[source.kind],
                grace,
            )
        )

    async def _told(
        self, query: str, source: Source, *arguments: object
    ) -> Mapping[tuple[str, str], Told]:
        rows = await self._scope.driver.fetch(
            query, self._scope.tenant, source.kind, source.name, *arguments
        )
        return {
            (row["asset"], row["reference"]): Told(int(row["units"]), row["value_at"])
            for row in rows
        }

    async def _lines(self, query: str, *arguments: object) -> list[OpenLine]:
        rows = await self._scope.driver.fetch(query, self._scope.tenant, *arguments)
        return [
            OpenLine(
                Line(
                    id=LineId(row["id"]),
                    side=LineSide(row["side"]),
                    asset=row["asset"],
                    units=int(row["units"]),
                    value_at=row["value_at"],
                    references=(row["reference"], *row["others"]),
                    kind=LineKind(row["kind"]),
                ),
                BreakId(row["break_id"]) if row["break_id"] else None,
            )
            for row in rows
        ]

    def _statement(self, row: Any) -> Statement:
        return Statement(
            id=StatementId(row["id"]),
            tenant_id=self._scope.tenant_id,
            source=Source(SourceKind(row["source_kind"]), row["source"]),
            format=StatementFormat(row["format"]),
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            imported_by=row["imported_by"],
            imported_at=row["imported_at"],
            lines=row["lines"],
            known=row["known"],
            matched=row["matched"],
            waiting=row["waiting"],
            breaks_raised=row["breaks_raised"],
            breaks_resolved=row["breaks_resolved"],
            position=row["position"],
        )


def _columns(noted: NotedLine) -> tuple[object, ...]:
    line, origin, tie = noted
    told = origin if isinstance(origin, StatementOrigin) else None
    booked = origin if isinstance(origin, BookOrigin) else None
    return (
        line.id.uuid,
        line.side,
        line.kind,
        line.asset,
        line.units,
        line.value_at,
        line.references[0],
        "\x1f".join(line.references[1:]),
        told.statement_id.uuid if told else None,
        told.number if told else None,
        booked.account_id.uuid if booked else None,
        booked.entry_id.uuid if booked else None,
        tie.match_id.uuid if tie and tie.match_id else None,
        tie.rule if tie else None,
        tie.break_id.uuid if tie and tie.break_id else None,
    )


LINE_TEXT: Final = (
    "concat_ws('|', number, asset, units, (extract(epoch FROM value_at) * 1000000)::bigint, kind, "
    "reference, array_to_string(others, '|'))"
)
"""What of a line is hashed, in SQL; `_text` says the same."""


def lines_hash(lines: Iterable[NotedLine]) -> bytes:
    """Return what an audit finds again over the lines of a statement."""
    return hashlib.sha256("\n".join(map(_text, lines)).encode()).digest()


def _text(noted: NotedLine) -> str:
    line, origin, _ = noted
    assert isinstance(origin, StatementOrigin)
    micros = (line.value_at - _EPOCH) // _MICROSECOND
    parts = (origin.number, line.asset, line.units, micros, line.kind.value)
    first, *others = line.references
    return "|".join([*map(str, parts), first, "|".join(others)])
