"""What sources said, what the books have, and what is matched or a break of the two."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from adapters.postgres.audit.probe import SqlProbe, typeid
from adapters.postgres.statement import LINE_TEXT
from domain.ids import EntryId
from domain.reconciliation.matching import RULES
from domain.reconciliation.statement import SourceKind
from ports.audit import Check

BOOK: Final = Check(
    id="I17.book",
    statement="the lines that were compared with a source are those that the book has",
    source="invariant I17: ledger = LP statement = bank, or a break",
)
STATEMENT: Final = Check(
    id="I17.statement",
    statement="each statement has the lines that it came with, and they add up to what was told",
    source="invariant I17; docs/reconciliation.md",
)
MATCH: Final = Check(
    id="I17.match",
    statement="each match is of one asset and both of its sides add up to the same",
    source="invariant I17; docs/reconciliation.md",
)
BREAK: Final = Check(
    id="I17.break",
    statement="each open break of a source is what its lines differ by, and a resolved one has no "
    "line without a match",
    source="invariant I17; docs/reconciliation.md",
)
WAITING: Final = Check(
    id="I17.waiting",
    statement="each line that has neither a match nor a break may still wait for its counterpart",
    source="invariant I17: a break object with age",
)


def _seconds(grace: timedelta) -> int:
    assert not grace % timedelta(seconds=1)
    return grace // timedelta(seconds=1)


def _graces(kinds: Sequence[SourceKind]) -> str:
    return " ".join(f"WHEN '{kind}' THEN {_seconds(RULES[kind].grace)}" for kind in kinds)


_GRACE: Final = f"make_interval(secs => CASE l.source_kind {_graces(list(SourceKind))} END)"

# An entry's line is dated by the latest version that it gave the account; a line of an adjustment
# is noted before the account is looked at again.
BOOKS: Final = SqlProbe(
    checks=(BOOK,),
    counted=("reconciliation_lines", "reconciled_accounts"),
    sql=f"""
WITH accounts AS MATERIALIZED (
    SELECT tenant_id, account_id, version, units_before FROM core.reconciled_accounts
), noted AS MATERIALIZED (
    SELECT tenant_id, id, account_id, entry_id, units, value_at, reference
    FROM core.reconciliation_lines WHERE side = 'book'
), moved AS MATERIALIZED (
    SELECT m.tenant_id, m.account_id, m.entry_id, sum(m.units) AS units,
        max(m.version) AS version
    FROM (
        SELECT t.tenant_id, a.account_id, t.entry_id, t.units, t.debit_version AS version
        FROM core.transfers AS t
        JOIN accounts AS a ON a.tenant_id = t.tenant_id AND a.account_id = t.debit_account_id
        WHERE t.kind IN ('regular', 'post')
        UNION ALL
        SELECT t.tenant_id, a.account_id, t.entry_id, -t.units, t.credit_version
        FROM core.transfers AS t
        JOIN accounts AS a ON a.tenant_id = t.tenant_id AND a.account_id = t.credit_account_id
        WHERE t.kind IN ('regular', 'post')
    ) AS m
    GROUP BY m.tenant_id, m.account_id, m.entry_id HAVING sum(m.units) <> 0
), before AS (
    SELECT m.tenant_id, m.account_id, sum(m.units) AS units
    FROM moved AS m
    JOIN accounts AS a ON a.tenant_id = m.tenant_id AND a.account_id = m.account_id
        AND m.version <= a.version
    LEFT JOIN noted AS n ON n.tenant_id = m.tenant_id AND n.account_id = m.account_id
        AND n.entry_id = m.entry_id
    WHERE n.id IS NULL
    GROUP BY m.tenant_id, m.account_id
)
SELECT '{BOOK.id}' AS check_id, n.tenant_id, 'reconciliation_lines' AS in_table, n.id, '' AS part,
    format('%s units in the book', n.units) AS expected,
    coalesce(format('%s units', m.units), 'nothing') AS found
FROM noted AS n
LEFT JOIN moved AS m ON m.tenant_id = n.tenant_id AND m.account_id = n.account_id
    AND m.entry_id = n.entry_id
WHERE m.units IS DISTINCT FROM n.units
UNION ALL
SELECT '{BOOK.id}', n.tenant_id, 'reconciliation_lines', n.id, '',
    coalesce(format('%s of %s', e.name, e.effective_at), 'an entry'),
    format('%s of %s', n.reference, n.value_at)
FROM noted AS n
LEFT JOIN (
    SELECT tenant_id, id, effective_at, {typeid(EntryId, "id")} AS name FROM core.entries
    WHERE (tenant_id, id) IN (SELECT tenant_id, entry_id FROM noted)
) AS e ON e.tenant_id = n.tenant_id AND e.id = n.entry_id
WHERE e.name IS DISTINCT FROM n.reference OR e.effective_at IS DISTINCT FROM n.value_at
UNION ALL
SELECT '{BOOK.id}', a.tenant_id, 'reconciled_accounts', a.account_id, '',
    format('%s units before the first statement, and every line after it', a.units_before),
    format('%s units that no line says', coalesce(b.units, 0))
FROM accounts AS a
LEFT JOIN before AS b ON b.tenant_id = a.tenant_id AND b.account_id = a.account_id
WHERE coalesce(b.units, 0) <> a.units_before
""",
)

STATEMENTS: Final = SqlProbe(
    checks=(STATEMENT,),
    counted=("statements", "reconciliation_lines"),
    sql=f"""
WITH kept AS MATERIALIZED (
    SELECT tenant_id, statement_id, count(*) AS lines,
        sha256(convert_to(string_agg({LINE_TEXT}, E'\\n' ORDER BY number), 'UTF8')) AS hash
    FROM core.reconciliation_lines WHERE side = 'statement'
    GROUP BY tenant_id, statement_id
), latest AS MATERIALIZED (
    SELECT DISTINCT ON (tenant_id, source_kind, source) tenant_id, source_kind, source, id
    FROM core.statements ORDER BY tenant_id, source_kind, source, id DESC
), told AS (
    SELECT s.tenant_id, s.source_kind, s.source, b.asset, b.told
    FROM latest AS s
    JOIN core.statement_balances AS b ON b.tenant_id = s.tenant_id AND b.statement_id = s.id
), summed AS (
    SELECT tenant_id, source_kind, source, asset, sum(units) AS units
    FROM core.reconciliation_lines WHERE side = 'statement'
    GROUP BY tenant_id, source_kind, source, asset
)
SELECT '{STATEMENT.id}' AS check_id, coalesce(s.tenant_id, k.tenant_id) AS tenant_id,
    'statements' AS in_table, coalesce(s.id, k.statement_id) AS id, '' AS part,
    CASE WHEN s.id IS NULL THEN 'a statement of these lines'
        ELSE format('%s lines as they came', s.lines) END AS expected,
    CASE WHEN s.id IS NULL THEN 'none'
        ELSE format('%s lines, %s', coalesce(k.lines, 0), CASE
            WHEN coalesce(k.lines, 0) = s.lines THEN 'but other ones'
            ELSE 'which are not all of them' END) END AS found
FROM core.statements AS s
FULL JOIN kept AS k ON k.tenant_id = s.tenant_id AND k.statement_id = s.id
WHERE coalesce(k.lines, 0) IS DISTINCT FROM s.lines
    OR coalesce(k.hash, sha256(''::bytea)) IS DISTINCT FROM s.lines_hash
UNION ALL
SELECT '{STATEMENT.id}', coalesce(t.tenant_id, m.tenant_id), 'statements', NULL,
    concat_ws(' ', coalesce(t.source_kind, m.source_kind), coalesce(t.source, m.source),
        coalesce(t.asset, m.asset)),
    format('%s units told', coalesce(t.told, 0)),
    format('%s units in all lines', coalesce(m.units, 0))
FROM told AS t
FULL JOIN summed AS m ON m.tenant_id = t.tenant_id AND m.source_kind = t.source_kind
    AND m.source = t.source AND m.asset = t.asset
WHERE coalesce(t.told, 0) <> coalesce(m.units, 0)
""",
)

MATCHES: Final = SqlProbe(
    checks=(MATCH,),
    counted=("reconciliation_lines",),
    sql=f"""
SELECT '{MATCH.id}' AS check_id, tenant_id, 'reconciliation_lines' AS in_table,
    min(id::text)::uuid AS id, 'and what it matches' AS part,
    'one asset, the same on both sides' AS expected,
    format('%s assets, %s units more at the source', count(DISTINCT asset),
        sum(CASE side WHEN 'statement' THEN units ELSE -units END)) AS found
FROM core.reconciliation_lines WHERE match_id IS NOT NULL
GROUP BY tenant_id, match_id
HAVING min(asset) <> max(asset)
    OR sum(CASE side WHEN 'statement' THEN units ELSE -units END) <> 0
""",
)

BREAKS: Final = SqlProbe(
    checks=(BREAK,),
    counted=("breaks", "reconciliation_lines"),
    sql=f"""
WITH open_lines AS MATERIALIZED (
    SELECT tenant_id, break_id, count(*) AS lines,
        sum(CASE side WHEN 'statement' THEN units ELSE -units END) AS units
    FROM core.reconciliation_lines WHERE break_id IS NOT NULL AND match_id IS NULL
    GROUP BY tenant_id, break_id
), resolved AS MATERIALIZED (
    SELECT tenant_id, break_id FROM core.break_resolutions
    WHERE kind <> 'adjustment' OR approved_by IS NOT NULL
), judged AS (
    SELECT b.tenant_id, b.id, b.units, r.break_id IS NOT NULL AS is_resolved
    FROM core.breaks AS b
    LEFT JOIN resolved AS r ON r.tenant_id = b.tenant_id AND r.break_id = b.id
    WHERE b.source IS NOT NULL
)
SELECT '{BREAK.id}' AS check_id, coalesce(j.tenant_id, l.tenant_id) AS tenant_id,
    'breaks' AS in_table, coalesce(j.id, l.break_id) AS id, '' AS part,
    CASE WHEN j.is_resolved THEN 'no line without a match'
        ELSE coalesce(format('%s units on its lines', j.units), 'a break') END AS expected,
    CASE WHEN l.break_id IS NULL THEN 'no line' WHEN j.id IS NULL THEN 'no break'
        ELSE format('%s units on %s lines', l.units, l.lines) END AS found
FROM judged AS j
FULL JOIN open_lines AS l ON l.tenant_id = j.tenant_id AND l.break_id = j.id
WHERE CASE WHEN j.is_resolved THEN l.break_id IS NOT NULL
    ELSE l.units IS DISTINCT FROM j.units END
""",
)

WAITS: Final = SqlProbe(
    checks=(WAITING,),
    counted=("reconciliation_lines",),
    sql=f"""
WITH told AS MATERIALIZED (
    SELECT tenant_id, source_kind, source, max(ends_at) AS until, max(imported_at) AS at
    FROM core.statements GROUP BY tenant_id, source_kind, source
)
SELECT '{WAITING.id}' AS check_id, l.tenant_id, 'reconciliation_lines' AS in_table, l.id,
    '' AS part, 'a match or a break' AS expected,
    format('neither, %s after its time',
        CASE l.side WHEN 'statement' THEN t.at ELSE t.until END - l.value_at) AS found
FROM core.reconciliation_lines AS l
LEFT JOIN told AS t ON t.tenant_id = l.tenant_id AND t.source_kind = l.source_kind
    AND t.source = l.source
WHERE l.match_id IS NULL AND l.break_id IS NULL
    AND (t.at IS NULL OR l.kind IN ('opening', 'correction')
        OR l.value_at + {_GRACE} <= CASE l.side WHEN 'statement' THEN t.at ELSE t.until END)
""",
)

PROBES: Final = (BOOKS, STATEMENTS, MATCHES, BREAKS, WAITS)
