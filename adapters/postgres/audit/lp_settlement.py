"""Settlements with LPs: agreed on by two keys, booked once, and no position paid twice."""

from typing import Final

from adapters.postgres.audit.probe import SqlProbe
from domain.ledger.account import AccountKind
from domain.liquidity.lp_settlement import LpSettlementState
from ports.audit import Check

BOOKED: Final = Check(
    id="I20.settlement",
    statement="each settled settlement moved exactly its legs between the LP's account and the "
    "rail's, and no other moved anything",
    source="money rules, section 1: position at each LP; settled once",
)
AGREED: Final = Check(
    id="I20.agreed",
    statement="two keys decided each settlement, and it counts nothing that was paid before",
    source="money rules, section 6: two persons means two keys",
)

SETTLEMENTS: Final = SqlProbe(
    checks=(BOOKED, AGREED),
    counted=("lp_settlements", "lp_settlement_legs"),
    sql=f"""
WITH expected AS MATERIALIZED (
    SELECT s.tenant_id, s.id, s.state, s.lp, s.rail, l.asset, l.units, l.entry_id
    FROM core.lp_settlements AS s
    LEFT JOIN core.lp_settlement_legs AS l ON l.tenant_id = s.tenant_id AND l.settlement_id = s.id
), moved AS MATERIALIZED (
    SELECT t.tenant_id, t.entry_id, count(*) AS transfers, bool_and(
        t.kind = 'regular' AND t.asset = x.asset AND t.units = abs(x.units)
        AND p.kind = '{AccountKind.LP}' AND p.owner = x.lp
        AND r.kind = '{AccountKind.EXTERNAL}' AND r.owner = x.rail) AS is_right
    FROM expected AS x
    JOIN core.transfers AS t ON t.tenant_id = x.tenant_id AND t.entry_id = x.entry_id
    JOIN core.accounts AS p ON p.tenant_id = t.tenant_id
        AND p.id = CASE WHEN x.units > 0 THEN t.credit_account_id ELSE t.debit_account_id END
    JOIN core.accounts AS r ON r.tenant_id = t.tenant_id
        AND r.id = CASE WHEN x.units > 0 THEN t.debit_account_id ELSE t.credit_account_id END
    GROUP BY t.tenant_id, t.entry_id
), ended AS (
    SELECT tenant_id, id, as_of, lag(ended_at) OVER (
        PARTITION BY tenant_id, lp ORDER BY ended_at, id) AS paid_before
    FROM core.lp_settlements WHERE state = '{LpSettlementState.SETTLED}'
)
SELECT '{BOOKED.id}' AS check_id, x.tenant_id, 'lp_settlements' AS in_table, x.id,
    x.asset AS part,
    CASE WHEN x.units IS NULL THEN 'a leg'
        WHEN x.state = '{LpSettlementState.SETTLED}'
        THEN format('%s units from %s', x.units, x.lp) ELSE 'no entry' END AS expected,
    CASE WHEN x.entry_id IS NULL THEN 'none'
        ELSE format('%s transfers in %s', coalesce(m.transfers, 0), x.entry_id) END AS found
FROM expected AS x
LEFT JOIN moved AS m ON m.tenant_id = x.tenant_id AND m.entry_id = x.entry_id
WHERE x.units IS NULL OR CASE x.state WHEN '{LpSettlementState.SETTLED}'
    THEN m.transfers IS DISTINCT FROM 1 OR NOT m.is_right ELSE x.entry_id IS NOT NULL END
UNION ALL
SELECT '{AGREED.id}', tenant_id, 'lp_settlements', id, 'approved_by', 'another key',
    coalesce(approved_by::text, 'none')
FROM core.lp_settlements
WHERE state IN ('{LpSettlementState.APPROVED}', '{LpSettlementState.SETTLED}')
    AND (approved_by IS NULL OR approved_by = proposed_by)
UNION ALL
SELECT '{AGREED.id}', tenant_id, 'lp_settlements', id, 'as_of',
    format('%s or later', paid_before), as_of::text
FROM ended WHERE as_of < paid_before
""",
)

PROBES: Final = (SETTLEMENTS,)
