"""The house's book against the books that it mirrors."""

from typing import Final

from adapters.postgres.audit.event import NOTED
from adapters.postgres.audit.probe import SqlProbe, texts, typeid
from domain.ids import BreakId, TenantId
from domain.ledger.account import AccountKind
from domain.reconciliation.break_ import BreakKind
from domain.trade.house import HOUSE_ROLES
from ports.audit import Check

MIRRORED: Final = Check(
    id="I20.trade",
    statement="each settled trade that the house's book has seen is in it once, and no other is",
    source="money rules, section 1: mirrored once (inbox row); invariant I20",
)
SUM: Final = Check(
    id="I20.sum",
    statement="what the house's LP, fee and slippage accounts have of its tenants is the sum over "
    "them, as far as seen",
    source="money rules, section 1: house = sum over tenants; invariant I20",
)
INVENTORY: Final = Check(
    id="I20.inventory",
    statement="each late fill that the house's book has seen is in its inventory once, against the "
    "LP, and no other is",
    source="money rules, sections 1 and 3: a late or second fill is house inventory and a break",
)

((CONSUMER, SETTLED), (_, RAISED)) = NOTED
_KINDS: Final = texts(HOUSE_ROLES)

# The tenants' books are compared as they are: that they say what the trades say is a check of its
# own. A trade is named by the reference of its entries, which is the subject of its event too.
MIRROR: Final = SqlProbe(
    checks=(MIRRORED, SUM),
    counted=("trades", "accounts"),
    sql=f"""
WITH names AS MATERIALIZED (
    SELECT tenant_id, {typeid(TenantId, "tenant_id")} AS name FROM core.tenants
), mirrored_accounts AS MATERIALIZED (
    SELECT tenant_id, id, kind, owner, asset FROM core.accounts WHERE kind IN {_KINDS}
), seen AS (
    SELECT o.tenant_id, o.subject AS name FROM core.outbox AS o
    JOIN core.consumer_positions AS p
        ON p.consumer = '{CONSUMER}' AND p.source_tenant_id = o.tenant_id
    WHERE o.type = '{SETTLED}' AND o.sequence <= p.sequence
), entries AS MATERIALIZED (
    SELECT e.tenant_id, e.id, e.reference AS name FROM core.entries AS e
    JOIN seen AS s ON s.tenant_id = e.tenant_id AND s.name = e.reference
    WHERE e.source = 'trade'
), moved AS (
    SELECT l.tenant_id, l.entry_id, l.account_id, sum(l.change) AS change
    FROM (
        SELECT t.tenant_id, t.entry_id, a.id AS account_id, -t.units AS change
        FROM core.transfers AS t
        JOIN mirrored_accounts AS a ON a.tenant_id = t.tenant_id AND a.id = t.debit_account_id
        WHERE t.kind IN ('regular', 'post')
        UNION ALL
        SELECT t.tenant_id, t.entry_id, a.id, t.units
        FROM core.transfers AS t
        JOIN mirrored_accounts AS a ON a.tenant_id = t.tenant_id AND a.id = t.credit_account_id
        WHERE t.kind IN ('regular', 'post')
    ) AS l
    JOIN entries AS e ON e.tenant_id = l.tenant_id AND e.id = l.entry_id
    GROUP BY l.tenant_id, l.entry_id, l.account_id HAVING sum(l.change) <> 0
), expected AS MATERIALIZED (
    SELECT n.name AS of_tenant, e.name, a.kind, a.owner, a.asset, m.change
    FROM moved AS m
    JOIN entries AS e ON e.tenant_id = m.tenant_id AND e.id = m.entry_id
    JOIN mirrored_accounts AS a ON a.tenant_id = m.tenant_id AND a.id = m.account_id
    JOIN names AS n ON n.tenant_id = m.tenant_id
), house_accounts AS MATERIALIZED (
    SELECT id, kind, owner, asset FROM core.accounts WHERE tenant_id = :house
), lines AS (
    SELECT t.entry_id, d.id AS outside_id, c.id AS account_id, t.units AS change
    FROM core.transfers AS t
    JOIN house_accounts AS d ON d.id = t.debit_account_id AND d.kind = 'external'
    JOIN house_accounts AS c ON c.id = t.credit_account_id
    WHERE t.tenant_id = :house
    UNION ALL
    SELECT t.entry_id, c.id, d.id, -t.units
    FROM core.transfers AS t
    JOIN house_accounts AS c ON c.id = t.credit_account_id AND c.kind = 'external'
    JOIN house_accounts AS d ON d.id = t.debit_account_id
    WHERE t.tenant_id = :house
), found AS MATERIALIZED (
    SELECT o.owner AS of_tenant, e.reference AS name, a.kind, a.owner, a.asset, l.change,
        l.entry_id, l.account_id
    FROM (
        SELECT entry_id, outside_id, account_id, sum(change) AS change
        FROM lines GROUP BY entry_id, outside_id, account_id
    ) AS l
    JOIN core.entries AS e ON e.tenant_id = :house AND e.id = l.entry_id
    JOIN house_accounts AS o ON o.id = l.outside_id
    JOIN house_accounts AS a ON a.id = l.account_id
    WHERE e.source = 'trade'
), twice AS (
    SELECT name, count(*) AS entries
    FROM (SELECT DISTINCT name, entry_id FROM found) AS f GROUP BY name HAVING count(*) > 1
)
SELECT '{MIRRORED.id}' AS check_id, :house AS tenant_id,
    CASE WHEN f.name IS NULL THEN 'trades' ELSE 'entries' END AS in_table, f.entry_id AS id,
    concat_ws(' ', coalesce(x.name, f.name), coalesce(x.kind, f.kind),
        nullif(coalesce(x.owner, f.owner), '')) AS part,
    CASE WHEN x.name IS NULL THEN 'no entry for it'
        ELSE format('%s units of %s', x.change, x.asset) END AS expected,
    CASE WHEN f.name IS NULL THEN 'no entry'
        ELSE format('%s units of %s', f.change, f.asset) END AS found
FROM expected AS x
FULL JOIN found AS f ON f.name = x.name AND f.of_tenant = x.of_tenant AND f.kind = x.kind
    AND f.owner = x.owner AND f.asset = x.asset
WHERE x.change IS DISTINCT FROM f.change
UNION ALL
SELECT '{MIRRORED.id}', :house, 'trades', NULL, name, 'one entry', format('%s entries', entries)
FROM twice
UNION ALL
SELECT '{SUM.id}', :house, 'accounts', h.id,
    concat_ws(' ', coalesce(h.kind, t.kind), nullif(coalesce(h.owner, t.owner), ''),
        coalesce(h.asset, t.asset)),
    format('%s over all tenants', coalesce(t.change, 0)),
    format('%s mirrored', coalesce(h.change, 0))
FROM (
    SELECT kind, owner, asset, sum(change) AS change, (array_agg(account_id))[1] AS id
    FROM found GROUP BY kind, owner, asset
) AS h
FULL JOIN (
    SELECT kind, owner, asset, sum(change) AS change FROM expected GROUP BY kind, owner, asset
) AS t ON t.kind = h.kind AND t.owner = h.owner AND t.asset = h.asset
WHERE coalesce(h.change, 0) <> coalesce(t.change, 0)
""",
)

# In base and in quote: what the LP's account lost, the inventory gained.
LATE_FILLS: Final = SqlProbe(
    checks=(INVENTORY,),
    counted=("breaks",),
    sql=f"""
WITH fills AS (
    SELECT {typeid(BreakId, "b.id")} AS name, b.tenant_id, b.id, a.lp, i.base_asset, i.quote_asset,
        CASE t.side WHEN 'buy' THEN 1 ELSE -1 END AS sign, b.base_units, b.units AS quote_units
    FROM core.breaks AS b
    JOIN core.trades AS t ON t.tenant_id = b.tenant_id AND t.id = b.trade_id
    JOIN core.instruments AS i ON i.code = t.instrument
    JOIN core.attempts AS a ON a.tenant_id = b.tenant_id AND a.trade_id = b.trade_id
        AND a.number = b.attempt
    WHERE b.kind = '{BreakKind.LATE_FILL}'
), seen AS MATERIALIZED (
    SELECT f.* FROM fills AS f
    JOIN core.outbox AS o ON o.tenant_id = f.tenant_id AND o.subject = f.name
        AND o.type = '{RAISED}'
    JOIN core.consumer_positions AS p
        ON p.consumer = '{CONSUMER}' AND p.source_tenant_id = o.tenant_id
    WHERE o.sequence <= p.sequence
), expected AS (
    SELECT s.name, s.tenant_id, s.id, l.kind, l.owner, l.asset, l.change
    FROM seen AS s
    CROSS JOIN LATERAL (VALUES
        ('{AccountKind.INVENTORY}', '', s.base_asset, s.sign * s.base_units),
        ('{AccountKind.LP}', s.lp, s.base_asset, -s.sign * s.base_units),
        ('{AccountKind.INVENTORY}', '', s.quote_asset, -s.sign * s.quote_units),
        ('{AccountKind.LP}', s.lp, s.quote_asset, s.sign * s.quote_units)
    ) AS l (kind, owner, asset, change)
), entries AS MATERIALIZED (
    SELECT tenant_id, id, reference AS name FROM core.entries WHERE source = 'break'
), found AS (
    SELECT l.name, l.tenant_id, l.id, a.kind, a.owner, a.asset, sum(l.change) AS change
    FROM (
        SELECT e.name, e.tenant_id, e.id, t.debit_account_id AS account_id, -t.units AS change
        FROM entries AS e
        JOIN core.transfers AS t ON t.tenant_id = e.tenant_id AND t.entry_id = e.id
        WHERE t.kind = 'regular'
        UNION ALL
        SELECT e.name, e.tenant_id, e.id, t.credit_account_id, t.units
        FROM entries AS e
        JOIN core.transfers AS t ON t.tenant_id = e.tenant_id AND t.entry_id = e.id
        WHERE t.kind = 'regular'
    ) AS l
    LEFT JOIN core.accounts AS a ON a.tenant_id = l.tenant_id AND a.id = l.account_id
        AND a.tenant_id = :house
    GROUP BY l.name, l.tenant_id, l.id, a.kind, a.owner, a.asset
)
SELECT '{INVENTORY.id}' AS check_id, coalesce(x.tenant_id, f.tenant_id) AS tenant_id,
    CASE WHEN x.id IS NULL THEN 'entries' ELSE 'breaks' END AS in_table,
    coalesce(x.id, f.id) AS id,
    concat_ws(' ', coalesce(x.kind, f.kind), nullif(coalesce(x.owner, f.owner), '')) AS part,
    CASE WHEN x.id IS NULL THEN 'no such line of the house''s book'
        ELSE format('%s units of %s', x.change, x.asset) END AS expected,
    CASE WHEN f.id IS NULL THEN 'no such line'
        ELSE format('%s units of %s for %s', f.change, f.asset, f.name) END AS found
FROM expected AS x
FULL JOIN found AS f
    ON f.name = x.name AND f.kind = x.kind AND f.owner = x.owner AND f.asset = x.asset
WHERE x.change IS DISTINCT FROM f.change
UNION ALL
SELECT '{INVENTORY.id}', s.tenant_id, 'breaks', s.id, '', 'one entry',
    format('%s entries', count(*))
FROM seen AS s JOIN entries AS e ON e.name = s.name
GROUP BY s.tenant_id, s.id HAVING count(*) > 1
""",
)

PROBES: Final = (MIRROR, LATE_FILLS)
