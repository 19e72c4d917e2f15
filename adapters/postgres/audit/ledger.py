"""The books: transfers, accounts and holds, added up again."""

from typing import Final

from adapters.postgres.audit.probe import SqlProbe, texts, typeid
from domain.amount import MAX_UNITS
from domain.ids import AccountId, ApiKeyId, CustomerId, DepositId, EntryId, TransferId
from domain.ledger.account import UNLIMITED_KINDS, AccountKind
from ports.audit import Check

BALANCED: Final = Check(
    id="I1.balanced",
    statement="each transfer moves one asset between two accounts of that asset",
    source="money rules, section 1; invariant I1",
)
ENTRY: Final = Check(
    id="I1.entry",
    statement="each entry names its transfers, numbered from 1 without gaps",
    source="money rules, section 1: transfers of an entry commit together",
)
HELD: Final = Check(
    id="I2.held",
    statement="each transfer holds or releases what its kind says",
    source="money rules, sections 1 and 4; invariant I2",
)
COLUMNS: Final = Check(
    id="I2.columns",
    statement="each account's four columns and version are the sum of its transfers",
    source="money rules, section 1; invariant I2",
)
ZERO: Final = Check(
    id="I2.zero",
    statement="the accounts of a tenant in one asset add up to zero, posted and pending",
    source="money rules, section 1: a transfer never crosses books; invariant I2",
)
LINES: Final = Check(
    id="I2.lines",
    statement="each account's lines are versions 1, 2, 3 …, each balance follows from the last",
    source="money rules, section 1; invariant I2",
)
LISTED: Final = Check(
    id="I2.listed",
    statement="each account's lines are listed in the order of their versions, or wait for it",
    source="ledger: an account's lines are listed after they are written, without a gap",
)
RECORDED: Final = Check(
    id="I2.recorded",
    statement="each account knows when its latest line was recorded",
    source="ledger: no line is recorded before the line of the version before",
)
DATED: Final = Check(
    id="I2.dated",
    statement="the list of lines that count at another time than they were recorded is complete",
    source="ledger: the balance of a past instant is a line and the dated lines around it",
)
LIMIT: Final = Check(
    id="I3.limit",
    statement="no account is below its overdraft limit, holds counted",
    source="money rules, section 1; invariant I3",
)
PREFIX: Final = Check(
    id="I3.prefix",
    statement="no account without an overdraft was ever below zero, holds counted",
    source="money rules, section 1; invariant I3: at every prefix",
)
DEPOSIT: Final = Check(
    id="I4.deposit",
    statement="each deposit credits its party once, with its amount, and nothing else is deposited",
    source="money rules, sections 1 and 6; invariant I4",
)
RESOLVED_ONCE: Final = Check(
    id="I6.resolution",
    statement="each hold is posted, voided or expired at most once, within its amount and its time",
    source="money rules, sections 4 and 8; invariant I6",
)
EXPIRING: Final = Check(
    id="I6.expiring",
    statement="the list of holds that may lapse has exactly the open ones with an expiry",
    source="money rules, section 4; invariant I6",
)
BOOK: Final = Check(
    id="I12.book",
    statement="each transfer's entry, accounts and pending transfer are in its tenant's book",
    source="money rules, section 1: a transfer never crosses books; invariant I12",
)
SOURCE: Final = Check(
    id="I12.source",
    statement="each operator's entry names an API key, each expiry the hold it released",
    source="money rules, sections 5 and 8; invariant I12",
)
REVERSED: Final = Check(
    id="I12.reversal",
    statement="each reversal moves what its entry moved, the other way and in the other order",
    source="ledger: a reversal is a new entry that names the one it takes back, once",
)
BURNED: Final = Check(
    id="I24.burned",
    statement="an id that failed on balance was never committed",
    source="money rules, section 6: a refused request changes no row but the failed id",
)

_MOVES: Final = "IN ('regular', 'post')"
_UNLIMITED: Final = texts(UNLIMITED_KINDS)
_UNJUDGED: Final = texts(UNLIMITED_KINDS | {AccountKind.TREASURY})

# That entries name exactly their transfers is seen from the transfers: each one is where its entry
# names it, and a tenant's entries name as many as there are. Only where they do not are entries
# looked into one by one.
TRANSFERS: Final = SqlProbe(
    checks=(BALANCED, BOOK, HELD, RESOLVED_ONCE, ENTRY, SOURCE),
    counted=("transfers", "entries"),
    sql=f"""
WITH uneven AS MATERIALIZED (
    SELECT tenant_id
    FROM (
        SELECT tenant_id, sum(cardinality(transfer_ids)) AS named,
            min(cardinality(transfer_ids)) AS fewest
        FROM core.entries GROUP BY tenant_id
    ) AS e
    FULL JOIN (
        SELECT tenant_id, count(*) AS there FROM core.transfers GROUP BY tenant_id
    ) AS t USING (tenant_id)
    WHERE e.named IS DISTINCT FROM t.there OR e.fewest = 0
), keys AS MATERIALIZED (
    SELECT {typeid(ApiKeyId, "id")} AS reference FROM core.api_keys WHERE tenant_id = :house
)
SELECT v.check_id, t.tenant_id, v.in_table, v.id, '' AS part, v.expected, v.found
FROM (
    SELECT t.*, e.transfer_ids, e.source, e.reference, d.asset AS debit_asset,
        c.asset AS credit_asset, p.kind AS pending_kind, p.units AS pending_units,
        p.expires_at AS pending_expires_at, r.transfer_id AS resolved_by,
        t.debit_account_id <> t.credit_account_id AND t.units BETWEEN 1 AND {MAX_UNITS}
            AND coalesce(d.asset, t.asset) = t.asset AND coalesce(c.asset, t.asset) = t.asset
            AS is_balanced,
        e.id IS NOT NULL AND d.id IS NOT NULL AND c.id IS NOT NULL
            AND (t.pending_id IS NULL OR p.id IS NOT NULL) AS is_local,
        concat_ws(', ', CASE WHEN e.id IS NULL THEN 'entry' END,
            CASE WHEN d.id IS NULL THEN 'debit account' END,
            CASE WHEN c.id IS NULL THEN 'credit account' END,
            CASE WHEN t.pending_id IS NOT NULL AND p.id IS NULL THEN 'pending transfer' END)
            AS missing,
        t.debit_held = CASE t.kind WHEN 'regular' THEN 0 WHEN 'pending' THEN t.units
            ELSE -coalesce(p.units, 0) END AS is_held,
        CASE WHEN t.kind IN ('regular', 'pending') THEN t.pending_id IS NULL
            ELSE coalesce(p.kind = 'pending' AND p.asset = t.asset
                AND p.debit_account_id = t.debit_account_id
                AND p.credit_account_id = t.credit_account_id
                AND (t.units = p.units OR (t.kind = 'post' AND t.units < p.units))
                AND r.transfer_id = t.id AND r.kind = t.kind
                AND CASE t.kind WHEN 'expire' THEN p.expires_at <= t.recorded_at
                    WHEN 'post' THEN p.expires_at IS NULL OR p.expires_at > t.recorded_at
                    ELSE true END, false)
        END AS is_resolution,
        e.id IS NULL OR coalesce(e.transfer_ids[t.ordinal] = t.id, false) AS is_named,
        e.id IS NULL OR CASE t.kind WHEN 'expire' THEN e.source = 'expiry'
            AND e.reference = {typeid(TransferId, "t.pending_id")} ELSE e.source <> 'expiry' END
            AS is_sourced
    FROM core.transfers AS t
    LEFT JOIN core.entries AS e ON e.tenant_id = t.tenant_id AND e.id = t.entry_id
    LEFT JOIN core.accounts AS d ON d.tenant_id = t.tenant_id AND d.id = t.debit_account_id
    LEFT JOIN core.accounts AS c ON c.tenant_id = t.tenant_id AND c.id = t.credit_account_id
    LEFT JOIN (
        SELECT * FROM core.transfers
        WHERE id IN (SELECT pending_id FROM core.transfers WHERE pending_id IS NOT NULL)
    ) AS p ON p.tenant_id = t.tenant_id AND p.id = t.pending_id
    LEFT JOIN core.resolutions AS r
        ON r.tenant_id = t.tenant_id AND r.pending_id = t.pending_id
) AS t
CROSS JOIN LATERAL (VALUES
    ('{BALANCED.id}', 'transfers', t.id, t.is_balanced, format('two accounts of %s', t.asset),
        format('%s units of %s from an account of %s to an account of %s%s', t.units, t.asset,
            t.debit_asset, t.credit_asset,
            CASE WHEN t.debit_account_id = t.credit_account_id THEN ', the same one' ELSE '' END)),
    ('{BOOK.id}', 'transfers', t.id, t.is_local,
        'entry, accounts and pending transfer of the same tenant', 'not there: ' || t.missing),
    ('{HELD.id}', 'transfers', t.id, t.is_held,
        CASE t.kind WHEN 'regular' THEN '0' WHEN 'pending' THEN t.units::text
            ELSE coalesce((-t.pending_units)::text, 'the pending amount') END || ' held',
        format('%s held', t.debit_held)),
    ('{RESOLVED_ONCE.id}', 'transfers', t.id, t.is_resolution,
        'one resolution of a pending transfer between the same accounts, within amount and time',
        format('a %s of %s units; the pending transfer is a %s of %s units%s, resolved by %s',
            t.kind, t.units, coalesce(t.pending_kind, 'missing one'), t.pending_units,
            ' until ' || t.pending_expires_at,
            coalesce({typeid(TransferId, "t.resolved_by")}, 'nothing'))),
    ('{ENTRY.id}', 'entries', t.entry_id, t.is_named,
        format('transfers 1 to %s', cardinality(t.transfer_ids)),
        format('a transfer numbered %s that it does not name so', t.ordinal)),
    ('{SOURCE.id}', 'transfers', t.id, t.is_sourced,
        CASE WHEN t.kind = 'expire' THEN 'an entry of source expiry for '
            || {typeid(TransferId, "t.pending_id")} ELSE 'an expire' END,
        format('a %s in an entry of source %s for %s', t.kind, t.source, t.reference))
) AS v (check_id, in_table, id, is_kept, expected, found)
WHERE NOT (t.is_balanced AND t.is_local AND t.is_held AND t.is_resolution AND t.is_named
    AND t.is_sourced) AND NOT v.is_kept
UNION ALL
SELECT '{ENTRY.id}', e.tenant_id, 'entries', e.id, '',
    format('transfers 1 to %s', cardinality(e.transfer_ids)),
    CASE WHEN n.transfers = 0 THEN 'no transfer' ELSE format('%s of them', n.transfers) END
FROM core.entries AS e
JOIN uneven AS u ON u.tenant_id = e.tenant_id
CROSS JOIN LATERAL (
    SELECT count(*) AS transfers FROM core.transfers AS t
    WHERE t.tenant_id = e.tenant_id AND t.id = ANY (e.transfer_ids) AND t.entry_id = e.id
) AS n
WHERE n.transfers <> cardinality(e.transfer_ids) OR n.transfers = 0
UNION ALL
SELECT '{SOURCE.id}', e.tenant_id, 'entries', e.id, '', 'an API key of the house',
    'reference ' || e.reference
FROM core.entries AS e
LEFT JOIN keys AS k ON k.reference = e.reference
WHERE e.source = 'operator' AND k.reference IS NULL
UNION ALL
SELECT '{RESOLVED_ONCE.id}', r.tenant_id, 'resolutions', r.pending_id, '',
    format('a transfer that is its %s', r.kind),
    CASE WHEN t.id IS NULL THEN 'no transfer' ELSE format('a %s of %s', t.kind,
        coalesce({typeid(TransferId, "t.pending_id")}, 'nothing')) END
FROM core.resolutions AS r
LEFT JOIN core.transfers AS t ON t.tenant_id = r.tenant_id AND t.id = r.transfer_id
WHERE t.id IS NULL OR t.kind <> r.kind OR t.pending_id IS DISTINCT FROM r.pending_id
""",
)


def _leg(leg: str, sign: str) -> str:
    """Return SQL for what the lines of one leg come to, account by account."""
    return f"""
    SELECT tenant_id, {leg}_account_id AS account_id, sum(debit_held) AS pending,
        sum(units) FILTER (WHERE kind {_MOVES}) AS posted, count(*) AS lines,
        max(recorded_at) AS recorded_at,
        min({leg}_balance_after) AS lowest,
        sum(uuid_hash_extended(id, {leg}_version)) AS listed,
        sum(hash_numeric_extended({leg}_balance_after, {leg}_version)) AS after,
        sum(hash_numeric_extended({leg}_balance_after
            - CASE WHEN kind {_MOVES} THEN {sign}units ELSE 0 END, {leg}_version - 1)) AS before
    FROM core.transfers GROUP BY tenant_id, {leg}_account_id
"""


# An account's lines are a chain from version 0 and balance 0 to what the account says: each line
# begins where another one ends. Put differently, the ends and the beginnings are the same set but
# for the first and the last, and sets are compared by the sums of their hashes, without sorting
# millions of lines. Only where the sums differ are the lines sorted, to name the broken one.
ACCOUNTS: Final = SqlProbe(
    checks=(COLUMNS, LINES, LISTED, RECORDED, LIMIT, PREFIX),
    counted=("accounts", "transfers", "transfers"),
    sql=f"""
WITH debits AS ({_leg("debit", "-")}), credits AS ({_leg("credit", "")}), listed AS (
    SELECT tenant_id, account_id, sum(uuid_hash_extended(transfer_id, version)) AS listed FROM (
        SELECT tenant_id, account_id, transfer_id, first_version - 1 + place
        FROM core.account_lines
        CROSS JOIN LATERAL unnest(transfer_ids) WITH ORDINALITY AS l (transfer_id, place)
        UNION ALL
        SELECT tenant_id, account_id, transfer_id, coalesce(version, debit_versions[1])
        FROM core.unlisted_lines
        CROSS JOIN LATERAL unnest(transfer_ids, debit_account_ids, debit_versions)
            AS l (transfer_id, account_id, version)
        UNION ALL
        SELECT tenant_id, account_id, transfer_id, coalesce(version, credit_versions[1])
        FROM core.unlisted_lines
        CROSS JOIN LATERAL unnest(transfer_ids, credit_account_ids, credit_versions)
            AS l (transfer_id, account_id, version)
    ) AS l (tenant_id, account_id, transfer_id, version)
    GROUP BY tenant_id, account_id
), added AS MATERIALIZED (
    SELECT a.*, coalesce(d.pending, 0) AS dp, coalesce(d.posted, 0) AS dd,
        coalesce(c.pending, 0) AS cp, coalesce(c.posted, 0) AS cc,
        coalesce(d.lines, 0) + coalesce(c.lines, 0) AS lines, least(d.lowest, c.lowest) AS lowest,
        greatest(d.recorded_at, c.recorded_at) AS latest,
        coalesce(l.listed, 0) = coalesce(d.listed, 0) + coalesce(c.listed, 0) AS is_listed,
        coalesce(d.after, 0) + coalesce(c.after, 0) + hash_numeric_extended(0, 0)
            = coalesce(d.before, 0) + coalesce(c.before, 0)
                + hash_numeric_extended(a.credits_posted - a.debits_posted, a.version) AS is_chain
    FROM core.accounts AS a
    LEFT JOIN debits AS d ON d.tenant_id = a.tenant_id AND d.account_id = a.id
    LEFT JOIN credits AS c ON c.tenant_id = a.tenant_id AND c.account_id = a.id
    LEFT JOIN listed AS l ON l.tenant_id = a.tenant_id AND l.account_id = a.id
), holding AS (
    SELECT DISTINCT tenant_id, debit_account_id AS id FROM core.transfers WHERE debit_held <> 0
), suspect AS MATERIALIZED (
    SELECT a.tenant_id, a.id, a.is_chain, u.is_bounded
    FROM added AS a
    LEFT JOIN holding AS h ON h.tenant_id = a.tenant_id AND h.id = a.id
    -- A treasury's limits of the past are not kept, so its past is not judged.
    CROSS JOIN LATERAL (SELECT a.kind NOT IN {_UNJUDGED}
        AS is_bounded) AS u
    WHERE NOT a.is_chain OR (u.is_bounded AND (h.id IS NOT NULL OR a.lowest < 0))
), lines AS (
    SELECT t.tenant_id, t.debit_account_id AS account_id, t.debit_version AS version, t.id,
        CASE WHEN t.kind {_MOVES} THEN -t.units ELSE 0 END AS change, t.debit_held AS held,
        t.debit_balance_after AS balance_after, s.is_chain, s.is_bounded
    FROM core.transfers AS t
    JOIN suspect AS s ON s.tenant_id = t.tenant_id AND s.id = t.debit_account_id
    UNION ALL
    SELECT t.tenant_id, t.credit_account_id, t.credit_version, t.id,
        CASE WHEN t.kind {_MOVES} THEN t.units ELSE 0 END, 0, t.credit_balance_after, s.is_chain,
        s.is_bounded
    FROM core.transfers AS t
    JOIN suspect AS s ON s.tenant_id = t.tenant_id AND s.id = t.credit_account_id
), run AS (
    SELECT *, lag(version, 1, 0::bigint) OVER w AS version_before,
        lag(balance_after, 1, 0::numeric) OVER w AS balance_before,
        balance_after - sum(held) OVER w AS available
    FROM lines
    WINDOW w AS (PARTITION BY account_id, tenant_id ORDER BY version ROWS UNBOUNDED PRECEDING)
)
SELECT '{COLUMNS.id}' AS check_id, tenant_id, 'accounts' AS in_table, id, '' AS part,
    format('debits %s pending %s posted, credits %s pending %s posted, version %s (%s)',
        dp, dd, cp, cc, lines, asset) AS expected,
    format('debits %s pending %s posted, credits %s pending %s posted, version %s', debits_pending,
        debits_posted, credits_pending, credits_posted, version) AS found
FROM added
WHERE debits_pending <> dp OR debits_posted <> dd OR credits_pending <> cp OR credits_posted <> cc
    OR version <> lines
UNION ALL
SELECT '{LISTED.id}', tenant_id, 'accounts', id, '', 'its lines, listed or waiting for it',
    'others, or in another order'
FROM added WHERE NOT is_listed
UNION ALL
SELECT '{RECORDED.id}', tenant_id, 'accounts', id, '',
    'latest line recorded at ' || coalesce(latest::text, 'no time'),
    coalesce(recorded_at::text, 'no time')
FROM added WHERE recorded_at IS DISTINCT FROM latest
UNION ALL
SELECT '{LIMIT.id}', tenant_id, 'accounts', id, '',
    CASE WHEN kind IN {_UNLIMITED} THEN 'no limit'
        WHEN kind = 'treasury' THEN 'a limit, and no less than it'
        ELSE 'at least 0 without an overdraft' END,
    format('%s account: %s available, an overdraft of %s (%s)', kind,
        credits_posted - debits_posted - debits_pending, coalesce(overdraft_limit::text, 'any'),
        asset)
FROM core.accounts
WHERE (overdraft_limit IS NULL) <> (kind IN {_UNLIMITED})
    OR (overdraft_limit <> 0 AND kind <> 'treasury')
    OR credits_posted - debits_posted - debits_pending + overdraft_limit < 0
UNION ALL
SELECT '{LINES.id}', tenant_id, 'accounts', id, '', 'lines that lead to its balance and version',
    'other lines'
FROM added WHERE NOT is_chain
UNION ALL
SELECT '{LINES.id}', tenant_id, 'transfers', id, 'on ' || {typeid(AccountId, "account_id")},
    format('version %s with a balance of %s', version_before + 1, balance_before + change),
    format('version %s with a balance of %s', version, balance_after)
FROM run
WHERE NOT is_chain
    AND (version <> version_before + 1 OR balance_after <> balance_before + change)
UNION ALL
SELECT '{PREFIX.id}', tenant_id, 'transfers', id, 'on ' || {typeid(AccountId, "account_id")},
    'at least 0 available', format('%s available at version %s', available, version)
FROM run WHERE is_bounded AND available < 0
""",
)

TIMES: Final = SqlProbe(
    checks=(DATED,),
    counted=("dated_lines",),
    sql=f"""
WITH dated AS (
    SELECT e.tenant_id, l.account_id, l.version, e.recorded_at, e.effective_at,
        CASE WHEN t.kind {_MOVES} THEN l.sign * t.units ELSE 0 END AS change
    FROM core.entries AS e
    JOIN core.transfers AS t ON t.tenant_id = e.tenant_id AND t.entry_id = e.id
    CROSS JOIN LATERAL (VALUES (t.debit_account_id, t.debit_version, -1),
        (t.credit_account_id, t.credit_version, 1)) AS l (account_id, version, sign)
    WHERE e.effective_at <> e.recorded_at
)
SELECT '{DATED.id}' AS check_id, coalesce(d.tenant_id, l.tenant_id) AS tenant_id,
    'dated_lines' AS in_table, coalesce(d.account_id, l.account_id) AS id,
    'version ' || coalesce(d.version, l.version) AS part,
    coalesce(format('%s recorded at %s for %s', d.change, d.recorded_at, d.effective_at),
        'not listed: it counts when it was recorded') AS expected,
    coalesce(format('%s recorded at %s for %s', l.change, l.recorded_at, l.effective_at),
        'not listed') AS found
FROM dated AS d
FULL JOIN core.dated_lines AS l ON l.tenant_id = d.tenant_id AND l.account_id = d.account_id
    AND l.version = d.version
WHERE (d.change, d.recorded_at, d.effective_at)
    IS DISTINCT FROM (l.change, l.recorded_at, l.effective_at)
""",
)

SUMS: Final = SqlProbe(
    checks=(ZERO,),
    counted=("accounts",),
    sql=f"""
SELECT '{ZERO.id}' AS check_id, tenant_id, 'tenants' AS in_table, tenant_id AS id, asset AS part,
    format('0 posted and 0 pending of %s', asset) AS expected,
    format('%s posted and %s pending', sum(credits_posted - debits_posted),
        sum(credits_pending - debits_pending)) AS found
FROM core.accounts GROUP BY tenant_id, asset
HAVING sum(credits_posted - debits_posted) <> 0 OR sum(credits_pending - debits_pending) <> 0
""",
)

HOLDS: Final = SqlProbe(
    checks=(EXPIRING,),
    counted=("expiring_holds",),
    sql=f"""
SELECT '{EXPIRING.id}' AS check_id, coalesce(h.tenant_id, x.tenant_id) AS tenant_id,
    'expiring_holds' AS in_table, coalesce(h.id, x.transfer_id) AS id, '' AS part,
    coalesce('expires at ' || h.expires_at, 'not listed: no open hold with an expiry') AS expected,
    coalesce('expires at ' || x.expires_at, 'not listed') AS found
FROM (
    SELECT t.tenant_id, t.id, t.expires_at FROM core.transfers AS t
    LEFT JOIN core.resolutions AS r ON r.tenant_id = t.tenant_id AND r.pending_id = t.id
    WHERE t.kind = 'pending' AND t.expires_at IS NOT NULL AND r.pending_id IS NULL
) AS h
FULL JOIN core.expiring_holds AS x ON x.tenant_id = h.tenant_id AND x.transfer_id = h.id
WHERE h.expires_at IS DISTINCT FROM x.expires_at
""",
)

DEPOSITS: Final = SqlProbe(
    checks=(DEPOSIT,),
    counted=("sandbox_deposits",),
    sql=f"""
WITH made AS (
    SELECT e.tenant_id, e.id, e.reference, count(*) AS transfers, min(t.units) AS units,
        min(t.asset) AS asset, min(t.kind) AS kind, min(d.kind) AS debit_kind,
        min(c.kind) AS credit_kind, min(c.owner) AS credit_owner
    FROM core.entries AS e
    LEFT JOIN core.transfers AS t ON t.tenant_id = e.tenant_id AND t.entry_id = e.id
    LEFT JOIN core.accounts AS d ON d.tenant_id = t.tenant_id AND d.id = t.debit_account_id
    LEFT JOIN core.accounts AS c ON c.tenant_id = t.tenant_id AND c.id = t.credit_account_id
    WHERE e.source = 'deposit' GROUP BY e.tenant_id, e.id, e.reference
), asked AS (
    SELECT *, {typeid(DepositId, "id")} AS reference,
        CASE WHEN customer_id IS NULL THEN 'treasury' ELSE 'customer' END AS party_kind,
        CASE WHEN customer_id IS NULL THEN '' ELSE {typeid(CustomerId, "customer_id")} END
            AS party_owner
    FROM core.sandbox_deposits
)
SELECT '{DEPOSIT.id}' AS check_id, coalesce(a.tenant_id, m.tenant_id) AS tenant_id,
    CASE WHEN a.id IS NULL THEN 'entries' ELSE 'sandbox_deposits' END AS in_table,
    coalesce(a.id, m.id) AS id, '' AS part,
    CASE WHEN a.id IS NULL THEN 'a deposit'
        ELSE format('one transfer of %s units of %s from external to %s', a.units, a.asset,
            concat_ws(' ', a.party_kind, a.party_owner)) END AS expected,
    CASE WHEN m.id IS NULL THEN 'no entry'
        ELSE format('%s %s transfers of %s units of %s from %s to %s for %s', m.transfers, m.kind,
            m.units, m.asset, m.debit_kind, concat_ws(' ', m.credit_kind, m.credit_owner),
            m.reference) END AS found
FROM asked AS a FULL JOIN made AS m ON m.tenant_id = a.tenant_id AND m.id = a.entry_id
WHERE (a.reference, 1::bigint, 'regular', a.units, a.asset, 'external', a.party_kind,
        a.party_owner)
    IS DISTINCT FROM (m.reference, m.transfers, m.kind, m.units, m.asset, m.debit_kind,
        m.credit_kind, m.credit_owner)
""",
)

REVERSALS: Final = SqlProbe(
    checks=(REVERSED,),
    counted=("reversals",),
    sql=f"""
WITH moved AS (
    SELECT r.tenant_id, r.entry_id, r.reversal_id,
        ARRAY(SELECT concat_ws(' ', t.kind, t.credit_account_id, t.debit_account_id, t.asset,
                t.units) FROM core.transfers AS t
            WHERE t.tenant_id = r.tenant_id AND t.entry_id = r.entry_id ORDER BY t.ordinal DESC)
            AS expected,
        ARRAY(SELECT concat_ws(' ', t.kind, t.debit_account_id, t.credit_account_id, t.asset,
                t.units) FROM core.transfers AS t
            WHERE t.tenant_id = r.tenant_id AND t.entry_id = r.reversal_id ORDER BY t.ordinal)
            AS found
    FROM core.reversals AS r
)
SELECT '{REVERSED.id}' AS check_id, tenant_id, 'reversals' AS in_table, entry_id AS id, '' AS part,
    array_to_string(expected, ', ') AS expected,
    {typeid(EntryId, "reversal_id")} || ': ' || array_to_string(found, ', ') AS found
FROM moved WHERE expected <> found
""",
)

FAILED_IDS: Final = SqlProbe(
    checks=(BURNED,),
    counted=("burned_ids",),
    sql=f"""
SELECT '{BURNED.id}' AS check_id, b.tenant_id, c.in_table, b.id, '' AS part,
    'never committed: ' || b.reason AS expected, 'committed' AS found
FROM core.burned_ids AS b
JOIN (
    SELECT 'entries' AS in_table, tenant_id, id FROM core.entries
    UNION ALL SELECT 'transfers', tenant_id, id FROM core.transfers
) AS c ON c.tenant_id = b.tenant_id AND c.id = b.id
""",
)

PROBES: Final = (
    TRANSFERS,
    ACCOUNTS,
    TIMES,
    SUMS,
    DEPOSITS,
    HOLDS,
    REVERSALS,
    FAILED_IDS,
)
