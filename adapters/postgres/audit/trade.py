"""Trades: their holds, attempts, transitions, terms and postings."""

from typing import Final

from adapters.postgres.audit.probe import SqlProbe, rows, texts, typeid
from adapters.postgres.audit.settlement import rules
from domain.ids import ApiKeyId, CustomerId, ResolutionId, TradeId, TransferId
from domain.trade.attempt import TRANSITIONS as ATTEMPT_TRANSITIONS
from domain.trade.attempt import WITHOUT_FILL, AttemptState
from domain.trade.settlement import Role
from domain.trade.trade import TERMINAL, TradeState
from domain.trade.trade import TRANSITIONS as TRADE_TRANSITIONS
from ports.audit import Check

HOLD: Final = Check(
    id="I6.hold",
    statement="each trade's hold is posted if settled, voided if rejected, and open while it lives",
    source="money rules, sections 3 and 4; invariant I6",
)
OPEN_HOLD: Final = Check(
    id="I6.open",
    statement="each open hold for a trade is the hold of a live trade",
    source="money rules, section 4; invariant I6",
)
EVIDENCE: Final = Check(
    id="I7.evidence",
    statement="nothing left the unknown without evidence",
    source="money rules, section 5; invariant I7",
)
TWO_KEYS: Final = Check(
    id="I7.two_keys",
    statement="each resolution in force has two operator keys, and its attempt went by it",
    source="money rules, sections 5 and 6; invariant I7",
)
ONE_FILL: Final = Check(
    id="I8.fill",
    statement="a filled or settled trade has one filled attempt, every other trade none",
    source="money rules, section 5; invariant I8",
)
BACKUP: Final = Check(
    id="I8.backup",
    statement="another LP was asked only after proof that no earlier one executed",
    source="money rules, section 5; invariant I8",
)
ONE_TRADE: Final = Check(
    id="I8.execution",
    statement="one execution of a venue settles one trade, over all tenants",
    source="money rules, section 5; invariants I5 and I8",
)
LEGAL: Final = Check(
    id="I9.legal",
    statement="each transition is in the domain's table",
    source="money rules, section 5; invariant I9",
)
CONTIGUOUS: Final = Check(
    id="I9.contiguous",
    statement="each transition begins where the one before it ended",
    source="money rules, section 5; invariant I9",
)
FINAL_STATE: Final = Check(
    id="I9.state",
    statement="the state of each trade and attempt is where its transitions lead",
    source="money rules, section 5; invariant I9",
)
VERSIONS: Final = Check(
    id="I9.versions",
    statement="each trade's version counts its changes without gaps",
    source="invariant I9: version +1; another check without an answer is a change too",
)
UNKNOWN: Final = Check(
    id="I9.unknown",
    statement="a trade's outcome is unknown exactly while an attempt of it is",
    source="money rules, section 5: and back",
)
POSTINGS: Final = Check(
    id="I13.postings",
    statement="each trade's transfers are its hold and its waterfall plus slippage, or its release",
    source="money rules, section 4; invariant I13",
)
CLEARING: Final = Check(
    id="I13.clearing",
    statement="trade clearing has nothing posted and holds exactly what live trades hold",
    source="money rules, section 4",
)
QUEUED: Final = Check(
    id="I16.queue",
    statement="each trade that has not ended is in the queue, and no other",
    source="invariant I16: a named wait state",
)
DUE: Final = Check(
    id="I16.due",
    statement="no trade has been due for more than a minute without a worker",
    source="invariant I16: liveness",
)
LOOKS: Final = Check(
    id="I16.looks",
    statement="each attempt concluded absent is looked at again, none more than a minute too late",
    source="money rules, sections 3 and 5: a late fill is found; invariant I16: liveness",
)
EXPIRED_HOLD: Final = Check(
    id="I16.expired",
    statement="no hold has been over for more than a minute and is still held",
    source="invariant I16: liveness",
)

_ENDED: Final = texts(TERMINAL)
_FILLED: Final = texts((TradeState.FILLED, TradeState.SETTLED))
_WITHOUT_FILL: Final = texts(WITHOUT_FILL)
_TABLES: Final = rows(
    (machine, state, action, to)
    for machine, table in (("trade", TRADE_TRANSITIONS), ("attempt", ATTEMPT_TRANSITIONS))
    for (state, action), to in table.items()
)
RULES: Final = rules()

HOLDS: Final = SqlProbe(
    checks=(HOLD, OPEN_HOLD),
    counted=("trades",),
    sql=f"""
SELECT '{HOLD.id}' AS check_id, t.tenant_id, 'trades' AS in_table, t.id, '' AS part,
    CASE t.state
        WHEN 'settled' THEN 'posted by ' || {typeid(TransferId, "t.settlement_ids[1]")}
        WHEN 'rejected' THEN 'voided by ' || {typeid(TransferId, "t.release_id")}
        ELSE 'open' END AS expected,
    format('%s, and its hold is %s', t.state, CASE WHEN r.kind IS NULL THEN 'open'
        ELSE format('resolved: %s by %s', r.kind, {typeid(TransferId, "r.transfer_id")}) END)
        AS found
FROM core.trades AS t
LEFT JOIN core.resolutions AS r ON r.tenant_id = t.tenant_id AND r.pending_id = t.hold_id
WHERE NOT CASE t.state
    WHEN 'settled' THEN coalesce(r.kind = 'post' AND r.transfer_id = t.settlement_ids[1], false)
    WHEN 'rejected' THEN coalesce(r.kind = 'void' AND r.transfer_id = t.release_id, false)
    ELSE r.kind IS NULL END
UNION ALL
SELECT '{OPEN_HOLD.id}', p.tenant_id, 'transfers', p.id, '', 'the hold of a live trade',
    coalesce('the hold of a trade that is ' || t.state, 'no trade')
FROM core.transfers AS p
JOIN core.accounts AS c ON c.tenant_id = p.tenant_id AND c.id = p.credit_account_id
LEFT JOIN core.resolutions AS r ON r.tenant_id = p.tenant_id AND r.pending_id = p.id
LEFT JOIN core.trades AS t ON t.tenant_id = p.tenant_id AND t.hold_id = p.id
WHERE p.kind = 'pending' AND c.kind = 'trade_clearing' AND r.pending_id IS NULL
    AND (t.id IS NULL OR t.state IN {_ENDED})
""",
)

ATTEMPTS: Final = SqlProbe(
    checks=(ONE_FILL, UNKNOWN, BACKUP, ONE_TRADE),
    counted=("trades", "attempts"),
    sql=f"""
WITH counted AS (
    SELECT tenant_id, trade_id, count(*) FILTER (WHERE state = 'filled') AS filled,
        count(*) FILTER (WHERE state = 'unknown') AS unknown
    FROM core.attempts GROUP BY tenant_id, trade_id
), numbered AS (
    SELECT *, row_number() OVER w AS place, lead(number) OVER w AS next_number
    FROM core.attempts WINDOW w AS (PARTITION BY tenant_id, trade_id ORDER BY number)
), settled_by AS (
    SELECT *, count(*) OVER (PARTITION BY lp, venue_order_id) AS trades
    FROM core.attempts WHERE venue_order_id <> ''
)
SELECT v.check_id, t.tenant_id, 'trades' AS in_table, t.id, '' AS part, v.expected, v.found
FROM core.trades AS t
LEFT JOIN counted AS c ON c.tenant_id = t.tenant_id AND c.trade_id = t.id
CROSS JOIN LATERAL (VALUES
    ('{ONE_FILL.id}', coalesce(c.filled, 0) = CASE WHEN t.state IN {_FILLED} THEN 1 ELSE 0 END,
        format('%s filled attempts', CASE WHEN t.state IN {_FILLED} THEN 1 ELSE 0 END),
        format('%s, with %s filled attempts', t.state, coalesce(c.filled, 0))),
    ('{UNKNOWN.id}', (coalesce(c.unknown, 0) > 0) = (t.state = '{TradeState.OUTCOME_UNKNOWN}'),
        CASE WHEN c.unknown > 0 THEN '{TradeState.OUTCOME_UNKNOWN}' ELSE 'an unknown attempt' END,
        format('%s, with %s unknown attempts', t.state, coalesce(c.unknown, 0)))
) AS v (check_id, is_kept, expected, found)
WHERE NOT v.is_kept
UNION ALL
SELECT '{BACKUP.id}', tenant_id, 'attempts', id, '',
    format('attempt %s, the last one or proven without a fill', place),
    format('attempt %s, %s, before attempt %s', number, state,
        coalesce(next_number::text, 'none'))
FROM numbered
WHERE number <> place OR (next_number IS NOT NULL AND state NOT IN {_WITHOUT_FILL})
UNION ALL
SELECT '{ONE_TRADE.id}', tenant_id, 'attempts', id, '',
    format('no other trade settled by %s of %s', venue_order_id, lp),
    format('%s attempts settled by it', trades)
FROM settled_by WHERE trades > 1
""",
)

STEPS: Final = SqlProbe(
    checks=(LEGAL, CONTIGUOUS, FINAL_STATE, VERSIONS, EVIDENCE),
    counted=("trade_transitions",),
    sql=f"""
WITH tables (machine, from_state, action, to_state) AS ({_TABLES}
    UNION ALL SELECT 'attempt', '', 'prepare', '{AttemptState.PREPARED}'
), steps AS MATERIALIZED (
    SELECT tenant_id, trade_id, version, ordinal, attempt, from_state, to_state, action,
        lag(to_state) OVER w AS came_from, lead(version) OVER w IS NULL AS is_last,
        evidence <> '' AS is_evident
    FROM core.trade_transitions
    WINDOW w AS (PARTITION BY tenant_id, trade_id, attempt ORDER BY version, ordinal)
), judged AS (
    SELECT s.*, l.action IS NOT NULL AS is_legal,
        coalesce(s.came_from, CASE s.attempt WHEN 0 THEN '{TradeState.PENDING}' ELSE '' END)
            AS begins,
        s.from_state NOT IN ('{AttemptState.UNKNOWN}', '{TradeState.OUTCOME_UNKNOWN}')
            OR s.is_evident AS has_evidence
    FROM steps AS s
    LEFT JOIN tables AS l
        ON l.machine = CASE s.attempt WHEN 0 THEN 'trade' ELSE 'attempt' END
        AND l.from_state = s.from_state AND l.action = s.action AND l.to_state = s.to_state
), totals AS (
    SELECT tenant_id, trade_id, min(version) AS first,
        count(*) FILTER (WHERE ordinal = 1) AS versions,
        count(*) FILTER (WHERE attempt > 0 AND action = 'lose') AS losses
    FROM steps GROUP BY tenant_id, trade_id
), checked AS (
    SELECT tenant_id, trade_id, sum(checks) AS checks FROM core.attempts
    GROUP BY tenant_id, trade_id
)
SELECT v.check_id, j.tenant_id, 'trade_transitions' AS in_table, j.trade_id AS id,
    format('version %s, step %s, %s', j.version, j.ordinal,
        CASE j.attempt WHEN 0 THEN 'the trade' ELSE 'attempt ' || j.attempt END) AS part,
    v.expected, v.found
FROM judged AS j
CROSS JOIN LATERAL (VALUES
    ('{LEGAL.id}', j.is_legal, 'a transition of the table',
        format('%s by %s to %s', j.from_state, j.action, j.to_state)),
    ('{CONTIGUOUS.id}', j.from_state = j.begins, format('from %s', j.begins),
        format('from %s', j.from_state)),
    ('{EVIDENCE.id}', j.has_evidence, 'evidence', 'none')
) AS v (check_id, is_kept, expected, found)
WHERE NOT (j.is_legal AND j.from_state = j.begins AND j.has_evidence) AND NOT v.is_kept
UNION ALL
SELECT '{FINAL_STATE.id}', coalesce(a.tenant_id, s.tenant_id),
    CASE WHEN a.id IS NULL THEN 'trade_transitions' ELSE 'attempts' END,
    coalesce(a.id, s.trade_id), CASE WHEN a.id IS NULL THEN 'attempt ' || s.attempt ELSE '' END,
    coalesce(s.to_state, 'a transition'), coalesce(a.state, 'no such attempt')
FROM core.attempts AS a
FULL JOIN (SELECT * FROM steps WHERE is_last AND attempt > 0) AS s
    ON s.tenant_id = a.tenant_id AND s.trade_id = a.trade_id AND s.attempt = a.number
WHERE a.state IS DISTINCT FROM s.to_state
UNION ALL
SELECT '{FINAL_STATE.id}', t.tenant_id, 'trades', t.id, '',
    coalesce(s.to_state, '{TradeState.PENDING}'), t.state
FROM core.trades AS t
LEFT JOIN (SELECT * FROM steps WHERE is_last AND attempt = 0) AS s
    ON s.tenant_id = t.tenant_id AND s.trade_id = t.id
WHERE t.state <> coalesce(s.to_state, '{TradeState.PENDING}')
UNION ALL
SELECT '{VERSIONS.id}', t.tenant_id, 'trades', t.id, '',
    format('version %s, from version 1', s.versions + c.checks - s.losses),
    format('version %s, from version %s', t.version, s.first)
FROM core.trades AS t
LEFT JOIN totals AS s ON s.tenant_id = t.tenant_id AND s.trade_id = t.id
LEFT JOIN checked AS c ON c.tenant_id = t.tenant_id AND c.trade_id = t.id
WHERE s.first IS DISTINCT FROM 1 OR t.version IS DISTINCT FROM s.versions + c.checks - s.losses
""",
)

RESOLUTIONS: Final = SqlProbe(
    checks=(TWO_KEYS,),
    counted=("trade_resolutions",),
    sql=f"""
WITH named AS (
    SELECT r.*, {typeid(ResolutionId, "r.id")} AS name, a.state,
        a.venue_order_id AS filled_by, a.filled_units AS filled_for
    FROM core.trade_resolutions AS r
    LEFT JOIN core.attempts AS a ON a.tenant_id = r.tenant_id AND a.trade_id = r.trade_id
        AND a.number = r.attempt
)
SELECT '{TWO_KEYS.id}' AS check_id, r.tenant_id, 'trade_resolutions' AS in_table, r.id,
    '' AS part, 'two keys of the house' AS expected,
    format('proposed by %s, approved by %s', {typeid(ApiKeyId, "r.proposed_by")},
        {typeid(ApiKeyId, "r.approved_by")}) AS found
FROM named AS r
LEFT JOIN core.api_keys AS p ON p.tenant_id = :house AND p.id = r.proposed_by
LEFT JOIN core.api_keys AS a ON a.tenant_id = :house AND a.id = r.approved_by
WHERE p.id IS NULL
    OR (r.approved_by IS NOT NULL AND (a.id IS NULL OR r.approved_by = r.proposed_by))
UNION ALL
SELECT '{TWO_KEYS.id}', r.tenant_id, 'trade_resolutions', r.id, '',
    CASE r.verdict WHEN 'filled' THEN format('filled by %s for %s units', r.venue_order_id,
        r.filled_units) ELSE 'absent' END,
    format('attempt %s is %s%s', r.attempt, coalesce(r.state, 'missing'),
        ', filled by ' || r.filled_by || ' for ' || r.filled_for || ' units')
FROM named AS r
WHERE r.approved_by IS NOT NULL AND r.state IS DISTINCT FROM 'unknown'
    AND NOT coalesce(CASE r.verdict WHEN 'filled' THEN r.state = 'filled'
        AND r.filled_by = r.venue_order_id AND r.filled_for = r.filled_units
        ELSE r.state = 'absent' END, false)
UNION ALL
SELECT '{TWO_KEYS.id}', s.tenant_id, 'trade_transitions', s.trade_id,
    format('version %s, step %s', s.version, s.ordinal), 'an approved resolution',
    coalesce('a resolution that nobody approved', 'no such resolution')
FROM core.trade_transitions AS s
LEFT JOIN named AS r ON r.tenant_id = s.tenant_id AND r.trade_id = s.trade_id
    AND r.name = split_part(s.evidence, ',', 1)
WHERE s.evidence LIKE '{ResolutionId.prefix}\\_%' AND r.approved_by IS NULL
""",
)

_PARTS: Final = ("base_units", "quote_units", "lp_units", "fee_units", "markup_units")


def _kind(leg: str) -> str:
    return f"CASE r.{leg} WHEN '{Role.PARTY}' THEN p.party_kind ELSE r.{leg} END"


def _owner(leg: str) -> str:
    return (
        f"CASE r.{leg} WHEN '{Role.PARTY}' THEN p.party_owner WHEN '{Role.LP}' THEN p.lp "
        "ELSE '' END"
    )


def _units(part: str) -> str:
    columns = " ".join(f"WHEN '{column}' THEN p.{column}" for column in _PARTS)
    return f"CASE {part} {columns} WHEN 'gain' THEN p.gain WHEN 'loss' THEN -p.gain END"


def _due(entry: str) -> str:
    """Return SQL for how many transfers an entry of a trade has, and for which purposes."""
    is_moved = {rule.part: f"({rule.part} > 0)::int" for rule in RULES if rule.part in _PARTS}
    is_moved |= {"gain": "(gain > 0)::int", "loss": "(gain < 0)::int"}
    moved = {
        side: [rule for rule in RULES if rule.side == side and rule.entry == entry]
        for side in sorted({rule.side for rule in RULES})
    }
    count = " ".join(
        f"WHEN '{side}' THEN {' + '.join(is_moved[rule.part] for rule in rules)}"
        for side, rules in moved.items()
    )
    purposes = " ".join(
        f"WHEN '{side}' THEN "
        + " + ".join(
            f"{is_moved[rule.part]} * hashtext('{rule.purpose}')::bigint" for rule in rules
        )
        for side, rules in moved.items()
    )
    return f"CASE side {count} END AS transfers, CASE side {purposes} END AS purposes"


# A transfer's purpose names its rule, and the rule says all the rest of it. That none is missing
# and none is there twice is seen from their number and the sum of their purposes' hashes.
TRADE_POSTINGS: Final = SqlProbe(
    checks=(POSTINGS,),
    counted=("trades", "transfers"),
    sql=f"""
WITH rules (side, entry, place, kind, debit, credit, part, asset, purpose) AS ({
        rows(
            (r.side, r.entry, r.place, r.kind, r.debit, r.credit, r.part, r.asset, r.purpose)
            for r in RULES
        )
    }),
filled AS (
    SELECT tenant_id, trade_id, min(lp) AS lp, min(filled_units) AS units FROM core.attempts
    WHERE state = 'filled' GROUP BY tenant_id, trade_id
), customers AS MATERIALIZED (
    SELECT tenant_id, id, {typeid(CustomerId, "id")} AS name FROM core.customers
), terms AS MATERIALIZED (
    SELECT t.tenant_id, t.id, {typeid(TradeId, "t.id")} AS name, t.state, t.side, i.base_asset,
        i.quote_asset, {", ".join(f"t.{part}" for part in _PARTS)}, coalesce(f.lp, '') AS lp,
        coalesce(CASE t.side WHEN 'buy' THEN t.lp_units - f.units ELSE f.units - t.lp_units END, 0)
            AS gain,
        CASE WHEN t.customer_id IS NULL THEN 'treasury' ELSE 'customer' END AS party_kind,
        coalesce(c.name, t.customer_id::text, '') AS party_owner, t.hold_id, t.hold_entry_id,
        t.settlement_ids, t.settlement_entry_id, t.release_id, t.release_entry_id
    FROM core.trades AS t
    JOIN core.instruments AS i ON i.code = t.instrument
    LEFT JOIN filled AS f ON f.tenant_id = t.tenant_id AND f.trade_id = t.id
    LEFT JOIN customers AS c ON c.tenant_id = t.tenant_id AND c.id = t.customer_id
), due AS (
    SELECT tenant_id, id, 'hold' AS entry, hold_entry_id AS entry_id, {_due("hold")} FROM terms
    UNION ALL
    SELECT tenant_id, id, 'settlement', settlement_entry_id, {_due("settlement")} FROM terms
    WHERE state = '{TradeState.SETTLED}'
    UNION ALL
    SELECT tenant_id, id, 'release', release_entry_id, {_due("release")} FROM terms
    WHERE state = '{TradeState.REJECTED}'
), present AS (
    SELECT tenant_id, entry_id, count(*) AS transfers, sum(hashtext(purpose)) AS purposes
    FROM core.transfers GROUP BY tenant_id, entry_id
), found AS (
    SELECT t.tenant_id, t.id, t.entry_id, t.ordinal, t.kind, t.purpose, t.units, t.asset,
        t.pending_id, e.reference, d.kind AS debit_kind, d.owner AS debit_owner,
        c.kind AS credit_kind, c.owner AS credit_owner
    FROM core.transfers AS t
    JOIN core.entries AS e ON e.tenant_id = t.tenant_id AND e.id = t.entry_id
    LEFT JOIN core.accounts AS d ON d.tenant_id = t.tenant_id AND d.id = t.debit_account_id
    LEFT JOIN core.accounts AS c ON c.tenant_id = t.tenant_id AND c.id = t.credit_account_id
    -- What the house's book mirrors is against an external account, which no trade touches.
    WHERE e.source = 'trade'
        AND NOT (t.tenant_id = :house AND 'external' IN (d.kind, c.kind))
), matched AS (
    SELECT f.*, r.place, r.kind AS due_kind,
        {_kind("debit")} AS due_debit_kind, {_owner("debit")} AS due_debit_owner,
        {_kind("credit")} AS due_credit_kind, {_owner("credit")} AS due_credit_owner,
        CASE r.asset WHEN 'base_asset' THEN p.base_asset ELSE p.quote_asset END AS due_asset,
        {_units("r.part")} AS due_units,
        CASE r.entry WHEN 'hold' THEN p.hold_id WHEN 'release' THEN p.release_id
            ELSE p.settlement_ids[f.ordinal] END AS due_id,
        CASE WHEN r.kind IN ('post', 'void') THEN p.hold_id END AS due_pending_id
    FROM found AS f
    LEFT JOIN terms AS p ON p.tenant_id = f.tenant_id AND p.name = f.reference
    LEFT JOIN rules AS r ON r.side = p.side AND r.purpose = f.purpose
        AND r.entry = CASE f.entry_id WHEN p.hold_entry_id THEN 'hold'
            WHEN CASE p.state WHEN '{TradeState.SETTLED}' THEN p.settlement_entry_id END
                THEN 'settlement'
            WHEN CASE p.state WHEN '{TradeState.REJECTED}' THEN p.release_entry_id END
                THEN 'release' END
        AND CASE r.part WHEN 'gain' THEN p.gain >= 0 WHEN 'loss' THEN p.gain < 0 ELSE true END
)
SELECT '{POSTINGS.id}' AS check_id, tenant_id, 'transfers' AS in_table, id, '' AS part,
    CASE WHEN place IS NULL THEN 'no such transfer of a trade' ELSE format(
        '%s of %s units of %s from %s to %s', due_kind, due_units, due_asset,
        concat_ws(' ', due_debit_kind, nullif(due_debit_owner, '')),
        concat_ws(' ', due_credit_kind, nullif(due_credit_owner, ''))) END AS expected,
    format('%s of %s units of %s from %s to %s for the %s of %s%s', kind, units, asset,
        concat_ws(' ', debit_kind, nullif(debit_owner, '')),
        concat_ws(' ', credit_kind, nullif(credit_owner, '')), purpose, reference,
        CASE WHEN id = due_id THEN '' ELSE ', under another id' END) AS found
FROM matched
WHERE (kind = due_kind AND id = due_id AND units = due_units AND asset = due_asset
    AND debit_kind = due_debit_kind AND debit_owner = due_debit_owner
    AND credit_kind = due_credit_kind AND credit_owner = due_credit_owner
    AND pending_id IS NOT DISTINCT FROM due_pending_id) IS NOT TRUE
UNION ALL
SELECT '{POSTINGS.id}', d.tenant_id, 'trades', d.id, d.entry,
    format('%s different transfers', d.transfers),
    format('%s transfers', coalesce(p.transfers, 0))
FROM due AS d LEFT JOIN present AS p ON p.tenant_id = d.tenant_id AND p.entry_id = d.entry_id
WHERE (p.transfers = d.transfers AND p.purposes = d.purposes) IS NOT TRUE
""",
)

CLEARING_ACCOUNTS: Final = SqlProbe(
    checks=(CLEARING,),
    counted=("trades",),
    sql=f"""
WITH live AS (
    SELECT t.tenant_id,
        CASE t.side WHEN 'buy' THEN i.quote_asset ELSE i.base_asset END AS asset,
        sum(CASE t.side WHEN 'buy' THEN t.quote_units ELSE t.base_units END) AS held
    FROM core.trades AS t JOIN core.instruments AS i ON i.code = t.instrument
    WHERE t.state NOT IN {_ENDED} GROUP BY 1, 2
), clearing AS (
    SELECT * FROM core.accounts WHERE kind = 'trade_clearing'
)
SELECT '{CLEARING.id}' AS check_id, coalesce(a.tenant_id, l.tenant_id) AS tenant_id,
    CASE WHEN a.id IS NULL THEN 'tenants' ELSE 'accounts' END AS in_table,
    coalesce(a.id, l.tenant_id) AS id, CASE WHEN a.id IS NULL THEN l.asset ELSE '' END AS part,
    format('0 posted, %s held of %s', coalesce(l.held, 0), coalesce(a.asset, l.asset)) AS expected,
    CASE WHEN a.id IS NULL THEN 'no account' ELSE format('%s posted, %s held, %s owed',
        a.credits_posted - a.debits_posted, a.credits_pending, a.debits_pending) END AS found
FROM clearing AS a FULL JOIN live AS l ON l.tenant_id = a.tenant_id AND l.asset = a.asset
WHERE a.id IS NULL OR a.credits_posted <> a.debits_posted OR a.debits_pending <> 0
    OR a.credits_pending <> coalesce(l.held, 0)
""",
)

QUEUE: Final = SqlProbe(
    checks=(QUEUED, DUE, EXPIRED_HOLD),
    counted=("trades", "expiring_holds"),
    sql=f"""
SELECT '{QUEUED.id}' AS check_id, coalesce(t.tenant_id, q.tenant_id) AS tenant_id,
    CASE WHEN t.id IS NULL THEN 'trade_queue' ELSE 'trades' END AS in_table,
    coalesce(t.id, q.trade_id) AS id, '' AS part,
    CASE WHEN t.id IS NULL THEN 'a trade' WHEN q.trade_id IS NULL THEN 'queued'
        ELSE 'not queued' END AS expected,
    format('%s, %s', coalesce(t.state, 'no trade'),
        CASE WHEN q.trade_id IS NULL THEN 'not queued' ELSE 'queued' END) AS found
FROM core.trades AS t
FULL JOIN core.trade_queue AS q ON q.tenant_id = t.tenant_id AND q.trade_id = t.id
WHERE t.id IS NULL OR (t.state IN {_ENDED}) <> (q.trade_id IS NULL)
UNION ALL
SELECT '{DUE.id}', tenant_id, 'trade_queue', trade_id, '', 'taken by a worker within a minute',
    format('due at %s, leased until %s', due_at, leased_until)
FROM core.trade_queue WHERE greatest(due_at, leased_until) < :now - interval '1 minute'
UNION ALL
SELECT '{EXPIRED_HOLD.id}', tenant_id, 'expiring_holds', transfer_id, '',
    'released within a minute', format('over since %s', expires_at)
FROM core.expiring_holds WHERE expires_at < :now - interval '1 minute'
""",
)

# Nobody is done who has not looked once.
LATE_CHECKS: Final = SqlProbe(
    checks=(LOOKS,),
    counted=("late_checks",),
    sql=f"""
SELECT '{LOOKS.id}' AS check_id, coalesce(a.tenant_id, c.tenant_id) AS tenant_id,
    CASE WHEN a.id IS NULL THEN 'late_checks' ELSE 'attempts' END AS in_table,
    coalesce(a.id, c.trade_id) AS id, CASE WHEN a.id IS NULL THEN 'attempt ' || c.attempt ELSE ''
        END AS part,
    CASE WHEN a.id IS NULL THEN 'an attempt that is absent'
        ELSE 'looked at again, or going to be' END AS expected,
    CASE WHEN a.id IS NULL THEN 'none' WHEN c.trade_id IS NULL THEN 'nobody will look'
        ELSE format('%s looks, the next one at %s', c.looks, coalesce(c.due_at::text, 'no time'))
        END AS found
FROM (SELECT * FROM core.attempts WHERE state = '{AttemptState.ABSENT}') AS a
FULL JOIN core.late_checks AS c ON c.tenant_id = a.tenant_id AND c.trade_id = a.trade_id
    AND c.attempt = a.number
WHERE a.id IS NULL OR c.trade_id IS NULL OR (c.due_at IS NULL AND c.looks = 0)
    OR greatest(c.due_at, c.leased_until) < :now - interval '1 minute' AND c.due_at IS NOT NULL
""",
)

PROBES: Final = (
    HOLDS,
    RESOLUTIONS,
    ATTEMPTS,
    STEPS,
    TRADE_POSTINGS,
    CLEARING_ACCOUNTS,
    QUEUE,
    LATE_CHECKS,
)
