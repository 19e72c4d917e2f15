"""Quotes: what they promised, and the trades that they became."""

from typing import Final

from adapters.postgres.audit.probe import SqlProbe, typeid
from domain.ids import QuoteId, TradeId
from ports.audit import Check

ONE_TRADE: Final = Check(
    id="I4.quote",
    statement="no quote became two trades",
    source="money rules, section 3; invariants I4 and I13",
)
TERMS: Final = Check(
    id="I13.terms",
    statement="each trade has the terms of its quote, which names it as its trade",
    source="money rules, section 3: the customer's amounts never change; invariant I13",
)
IN_TIME: Final = Check(
    id="I13.time",
    statement="each trade was accepted strictly before its quote expired",
    source="money rules, section 3; invariant I13",
)
WATERFALL: Final = Check(
    id="I21.waterfall",
    statement="LP, fee and markup add up exactly to what the party pays or receives",
    source="money rules, section 2; invariant I21",
)
ANSWER: Final = Check(
    id="I21.answer",
    statement="each quote prices exactly one LP's answer, at the amounts of that answer",
    source="money rules, section 2: base passes through unchanged; invariant I21",
)

_SAME: Final = (
    "customer_id",
    "side",
    "instrument",
    "base_units",
    "quote_units",
    "lp_units",
    "fee_units",
    "markup_units",
    "lp_order",
    "tolerance_bps",
)


def _terms(alias: str) -> str:
    return ", ".join(f"{alias}.{column}" for column in _SAME)


TRADES: Final = SqlProbe(
    checks=(TERMS, IN_TIME, ONE_TRADE),
    counted=("trades",),
    sql=f"""
WITH told AS (
    SELECT v.check_id, t.tenant_id, t.id, v.expected, v.found
    FROM core.trades AS t
    JOIN core.quotes AS q ON q.tenant_id = t.tenant_id AND q.id = t.quote_id
    CROSS JOIN LATERAL (VALUES
        ('{TERMS.id}', ({_terms("t")}, t.id) IS NOT DISTINCT FROM ({_terms("q")}, q.trade_id)
            AND q.state = 'accepted',
            format('an accepted quote: %s by %s', ({_terms("t")}),
                {typeid(TradeId, "t.id")}),
            format('%s %s: %s by %s', q.state, {typeid(QuoteId, "q.id")}, ({_terms("q")}),
                {typeid(TradeId, "q.trade_id")})),
        ('{IN_TIME.id}', t.accepted_at < q.expires_at, 'before ' || q.expires_at,
            'accepted at ' || t.accepted_at)
    ) AS v (check_id, is_kept, expected, found)
    WHERE NOT (({_terms("t")}, t.id) IS NOT DISTINCT FROM ({_terms("q")}, q.trade_id)
        AND q.state = 'accepted' AND t.accepted_at < q.expires_at) AND NOT v.is_kept
)
SELECT check_id, tenant_id, 'trades' AS in_table, id, '' AS part, expected, found FROM told
UNION ALL
SELECT '{ONE_TRADE.id}', tenant_id, 'quotes', quote_id, '', 'one trade',
    format('%s trades', count(*))
FROM core.trades GROUP BY tenant_id, quote_id HAVING count(*) > 1
""",
)

WATERFALLS: Final = SqlProbe(
    checks=(WATERFALL,),
    counted=("quotes", "trades"),
    sql=f"""
SELECT '{WATERFALL.id}' AS check_id, tenant_id, in_table, id, '' AS part,
    'parts of 0 or more that add up' AS expected,
    format('%s %s, of it lp %s, fee %s, markup %s', side, quote_units, lp_units, fee_units,
        markup_units) AS found
FROM (
    SELECT 'quotes' AS in_table, tenant_id, id, side, base_units, quote_units, lp_units,
        fee_units, markup_units FROM core.quotes
    UNION ALL
    SELECT 'trades', tenant_id, id, side, base_units, quote_units, lp_units, fee_units,
        markup_units FROM core.trades
) AS p
WHERE quote_units <> lp_units
        + CASE side WHEN 'buy' THEN fee_units + markup_units ELSE -(fee_units + markup_units) END
    OR least(base_units, quote_units, lp_units) <= 0 OR least(fee_units, markup_units) < 0
""",
)

ANSWERS: Final = SqlProbe(
    checks=(ANSWER,),
    counted=("quotes", "lp_answers"),
    sql=f"""
WITH used AS (
    SELECT tenant_id, quote_id, count(*) AS answers, min(lp) AS lp, min(reference) AS reference,
        min(base_units) AS base_units, min(quote_units) AS quote_units
    FROM core.lp_answers WHERE verdict = 'used' GROUP BY tenant_id, quote_id
)
SELECT '{ANSWER.id}' AS check_id, q.tenant_id, 'quotes' AS in_table, q.id, '' AS part,
    format('one answer: %s %s, base %s, quote %s', q.lp, q.lp_reference, q.base_units, q.lp_units)
        AS expected,
    CASE WHEN u.quote_id IS NULL THEN 'none' ELSE format('%s: %s %s, base %s, quote %s', u.answers,
        u.lp, u.reference, u.base_units, u.quote_units) END AS found
FROM core.quotes AS q
LEFT JOIN used AS u ON u.tenant_id = q.tenant_id AND u.quote_id = q.id
WHERE (1::bigint, q.lp, q.lp_reference, q.base_units, q.lp_units)
    IS DISTINCT FROM (u.answers, u.lp, u.reference, u.base_units, u.quote_units)
""",
)

PROBES: Final = (TRADES, WATERFALLS, ANSWERS)
