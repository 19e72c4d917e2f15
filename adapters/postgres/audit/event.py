"""Events: stamped without gaps, told of every trade, dealt with once by every consumer."""

from typing import Final

from adapters.postgres.audit.probe import SqlProbe, rows, typeid
from domain.dead_letter import DeadLetterState
from domain.ids import BreakId, TradeId
from domain.reconciliation.break_ import BreakKind
from domain.trade.trade import TradeState
from ports.audit import Check

SEQUENCE: Final = Check(
    id="I11.sequence",
    statement="each tenant's stamped events are numbered to its head without gaps, from 1 or from "
    "the first one that is kept",
    source="money rules, section 7: gapless; invariant I11",
)
PUBLISHED: Final = Check(
    id="I11.published",
    statement="no event was published before it was stamped",
    source="money rules, section 7: readers see stamped rows only",
)
TOLD: Final = Check(
    id="I11.trade",
    statement="each trade has one event of its accept and one of its end, in that order",
    source="money rules, section 7; invariant I11: no event lost, none without a commit",
)
BREAK_TOLD: Final = Check(
    id="I11.break",
    statement="each late fill has one event of its break, no break has two, and nothing else one",
    source="money rules, section 7; invariant I11: no event lost, none without a commit",
)
POSITION: Final = Check(
    id="I11.position",
    statement="no consumer is ahead of the events",
    source="money rules, section 7; invariant I11",
)
DEALT_WITH: Final = Check(
    id="I11.inbox",
    statement="each consumer noted each event of its effect up to its position, and no other; "
    "a dead letter's once it was replayed",
    source="money rules, section 7: an inbox row in the transaction of the effect",
)

NOTED: Final = (("house_book", "trade.settled"), ("house_book", "break.raised"))
"""Each consumer with the types of events that have an effect of its own, and so a row of inbox."""

OUTBOX: Final = SqlProbe(
    checks=(SEQUENCE, PUBLISHED),
    counted=("outbox",),
    sql=f"""
WITH numbered AS (
    SELECT o.tenant_id, o.id, o.sequence, lag(o.sequence, 1, coalesce(h.expired, 0::bigint))
        OVER (PARTITION BY o.tenant_id ORDER BY o.sequence) + 1 AS due
    FROM core.outbox AS o LEFT JOIN core.event_heads AS h USING (tenant_id)
    WHERE o.sequence > coalesce(h.expired, 0)
), latest AS (
    SELECT tenant_id, max(sequence) AS last FROM core.outbox
    WHERE sequence IS NOT NULL GROUP BY tenant_id
)
SELECT '{SEQUENCE.id}' AS check_id, tenant_id, 'outbox' AS in_table, id, '' AS part,
    'sequence ' || due AS expected, 'sequence ' || sequence AS found
FROM numbered WHERE sequence <> due
UNION ALL
SELECT '{SEQUENCE.id}', coalesce(h.tenant_id, l.tenant_id), 'event_heads',
    coalesce(h.tenant_id, l.tenant_id), '', 'last ' || coalesce(l.last::text, 'absent'),
    'last ' || coalesce(h.last::text, 'absent')
FROM core.event_heads AS h FULL JOIN latest AS l ON l.tenant_id = h.tenant_id
WHERE h.last IS DISTINCT FROM coalesce(l.last, nullif(h.expired, 0))
UNION ALL
SELECT '{PUBLISHED.id}', tenant_id, 'event_heads', tenant_id, '', 'at most ' || last,
    published || ' published'
FROM core.event_heads WHERE published > last OR published < 0
""",
)

TRADES: Final = SqlProbe(
    checks=(TOLD,),
    counted=("trades",),
    sql=f"""
WITH told AS (
    SELECT tenant_id, subject, (array_agg(id))[1] AS id,
        count(*) FILTER (WHERE type = 'trade.accepted') AS accepted,
        count(*) FILTER (WHERE type = 'trade.settled') AS settled,
        count(*) FILTER (WHERE type = 'trade.rejected') AS rejected,
        min(sequence) FILTER (WHERE type = 'trade.accepted') AS accepted_as,
        min(sequence) FILTER (WHERE type <> 'trade.accepted') AS ended_as
    FROM core.outbox WHERE type IN ('trade.accepted', 'trade.settled', 'trade.rejected')
    GROUP BY tenant_id, subject
), traded AS MATERIALIZED (
    SELECT tenant_id, id, state, {typeid(TradeId, "id")} AS name FROM core.trades
)
SELECT '{TOLD.id}' AS check_id, coalesce(t.tenant_id, e.tenant_id) AS tenant_id,
    CASE WHEN t.id IS NULL THEN 'outbox' ELSE 'trades' END AS in_table, coalesce(t.id, e.id) AS id,
    '' AS part,
    CASE WHEN t.id IS NULL THEN 'a trade ' || e.subject
        ELSE format('trade.accepted once, then what it is: %s', t.state) END AS expected,
    CASE WHEN t.id IS NULL THEN 'no such trade'
        ELSE format('%s accepted (sequence %s), %s settled, %s rejected (sequence %s)',
            coalesce(e.accepted, 0), e.accepted_as, coalesce(e.settled, 0),
            coalesce(e.rejected, 0), e.ended_as) END AS found
FROM traded AS t FULL JOIN told AS e ON e.tenant_id = t.tenant_id AND e.subject = t.name
WHERE t.id IS NULL OR e.id IS NULL OR e.accepted <> 1
    OR e.settled <> CASE t.state WHEN '{TradeState.SETTLED}' THEN 1 ELSE 0 END
    OR e.rejected <> CASE t.state WHEN '{TradeState.REJECTED}' THEN 1 ELSE 0 END
    OR (e.ended_as IS NOT NULL AND e.accepted_as IS NULL) OR e.ended_as < e.accepted_as
""",
)

# Fills beyond the tolerance were not told at first.
BREAKS: Final = SqlProbe(
    checks=(BREAK_TOLD,),
    counted=("breaks",),
    sql=f"""
WITH told AS (
    SELECT tenant_id, subject, (array_agg(id))[1] AS id, count(*) AS events
    FROM core.outbox WHERE type = 'break.raised' GROUP BY tenant_id, subject
), raised AS (
    SELECT tenant_id, id, kind, {typeid(BreakId, "id")} AS name FROM core.breaks
)
SELECT '{BREAK_TOLD.id}' AS check_id, coalesce(b.tenant_id, e.tenant_id) AS tenant_id,
    CASE WHEN b.id IS NULL THEN 'outbox' ELSE 'breaks' END AS in_table, coalesce(b.id, e.id) AS id,
    '' AS part, CASE WHEN b.id IS NULL THEN 'a break ' || e.subject ELSE 'one event' END
        AS expected,
    CASE WHEN b.id IS NULL THEN 'no such break' ELSE format('%s events', coalesce(e.events, 0)) END
        AS found
FROM raised AS b FULL JOIN told AS e ON e.tenant_id = b.tenant_id AND e.subject = b.name
WHERE b.id IS NULL OR e.events > 1
    OR (b.kind = '{BreakKind.LATE_FILL}' AND e.events IS DISTINCT FROM 1)
""",
)

CONSUMERS: Final = SqlProbe(
    checks=(POSITION, DEALT_WITH),
    counted=("consumer_positions", "inbox", "dead_letters"),
    sql=f"""
WITH noted (consumer, type) AS ({rows(NOTED)}), dealt_with AS (
    SELECT 'inbox' AS in_table, tenant_id, event_id AS id, consumer, event_id,
        NULL::uuid AS of_tenant
    FROM core.inbox
    UNION ALL
    SELECT 'dead_letters', tenant_id, id, consumer, event_id, source_tenant_id
    FROM core.dead_letters
)
SELECT '{POSITION.id}' AS check_id, p.source_tenant_id AS tenant_id,
    'consumer_positions' AS in_table, p.source_tenant_id AS id, p.consumer AS part,
    format('sequence 0 to %s', coalesce(h.last, 0)) AS expected, 'sequence ' || p.sequence AS found
FROM core.consumer_positions AS p
LEFT JOIN core.event_heads AS h ON h.tenant_id = p.source_tenant_id
WHERE p.sequence NOT BETWEEN 0 AND coalesce(h.last, 0)
UNION ALL
SELECT '{DEALT_WITH.id}', d.tenant_id, d.in_table, d.id, d.consumer,
    'an event up to the position of the consumer',
    CASE WHEN o.id IS NULL THEN 'no such event' ELSE format('sequence %s, the consumer is at %s',
        coalesce(o.sequence::text, 'absent'), coalesce(p.sequence, 0)) END
FROM dealt_with AS d
LEFT JOIN core.outbox AS o
    ON o.id = d.event_id AND o.tenant_id = coalesce(d.of_tenant, o.tenant_id)
LEFT JOIN core.consumer_positions AS p
    ON p.consumer = d.consumer AND p.source_tenant_id = o.tenant_id
WHERE o.id IS NULL OR o.sequence IS NULL OR o.sequence > coalesce(p.sequence, 0)
UNION ALL
SELECT '{DEALT_WITH.id}', o.tenant_id, 'outbox', o.id, p.consumer, 'noted, or a dead letter',
    'neither, and the consumer is at ' || p.sequence
FROM core.consumer_positions AS p
JOIN core.outbox AS o ON o.tenant_id = p.source_tenant_id AND o.sequence <= p.sequence
JOIN noted AS n ON n.consumer = p.consumer AND n.type = o.type
LEFT JOIN dealt_with AS d ON d.consumer = p.consumer AND d.event_id = o.id
WHERE d.event_id IS NULL
UNION ALL
SELECT '{DEALT_WITH.id}', l.tenant_id, 'dead_letters', l.id, l.consumer,
    CASE l.state WHEN '{DeadLetterState.REPLAYED}' THEN 'noted, being replayed'
        ELSE 'not noted, being ' || l.state END,
    CASE WHEN i.event_id IS NULL THEN 'not noted' ELSE 'noted' END
FROM core.dead_letters AS l
LEFT JOIN core.inbox AS i
    ON i.tenant_id = l.tenant_id AND i.consumer = l.consumer AND i.event_id = l.event_id
WHERE (l.state = '{DeadLetterState.REPLAYED}') <> (i.event_id IS NOT NULL)
""",
)

PROBES: Final = (OUTBOX, TRADES, BREAKS, CONSUMERS)
