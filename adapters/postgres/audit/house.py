"""The house's book against the books that it mirrors."""

from typing import Final

from adapters.postgres.audit.probe import SqlProbe, texts, typeid
from adapters.postgres.audit.trade import PLANNED
from domain.ids import TenantId
from domain.trade.house import HOUSE_ROLES
from ports.audit import Check

MIRRORED: Final = Check(
    id="I20.trade",
    statement="each settled trade that the house's book has seen is in it once, no other trade is",
    source="money rules, section 1: mirrored once (inbox row); invariant I20",
)
SUM: Final = Check(
    id="I20.sum",
    statement="the house's LP, fee and slippage accounts are the sum over tenants, as far as seen",
    source="money rules, section 1: house = sum over tenants; invariant I20",
)

_KINDS: Final = texts(HOUSE_ROLES)

_SEEN: Final = """
seen AS (
    SELECT o.tenant_id, o.subject AS name FROM core.outbox AS o
    JOIN core.consumer_positions AS p
        ON p.consumer = 'house_book' AND p.source_tenant_id = o.tenant_id
    WHERE o.type = 'trade.settled' AND o.sequence <= p.sequence
), mirror AS (
    SELECT e.id AS entry_id, e.reference AS name, m.of_tenant, m.account_id, m.kind, m.owner,
        t.asset, m.change
    FROM core.transfers AS t
    JOIN core.entries AS e ON e.tenant_id = t.tenant_id AND e.id = t.entry_id
    JOIN core.accounts AS d ON d.tenant_id = t.tenant_id AND d.id = t.debit_account_id
    JOIN core.accounts AS c ON c.tenant_id = t.tenant_id AND c.id = t.credit_account_id
    CROSS JOIN LATERAL (VALUES
        (d.kind, d.owner, c.id, c.kind, c.owner, t.units),
        (c.kind, c.owner, d.id, d.kind, d.owner, -t.units)
    ) AS m (outside, of_tenant, account_id, kind, owner, change)
    WHERE t.tenant_id = :house AND e.source = 'trade' AND m.outside = 'external'
)
"""

MIRROR: Final = SqlProbe(
    checks=(MIRRORED,),
    counted=("trades",),
    sql=f"""
WITH {PLANNED}, {_SEEN}, names AS MATERIALIZED (
    SELECT tenant_id, {typeid(TenantId, "tenant_id")} AS name FROM core.tenants
), changes AS (
    SELECT tenant_id, trade_id, name, debit_kind AS kind, debit_owner AS owner, asset,
        -units AS change
    FROM planned WHERE entry = 'settlement'
    UNION ALL
    SELECT tenant_id, trade_id, name, credit_kind, credit_owner, asset, units
    FROM planned WHERE entry = 'settlement'
), expected AS (
    SELECT c.tenant_id, c.trade_id, c.name, n.name AS of_tenant, c.kind, c.owner, c.asset,
        sum(c.change) AS change
    FROM changes AS c
    JOIN seen AS s ON s.tenant_id = c.tenant_id AND s.name = c.name
    JOIN names AS n ON n.tenant_id = c.tenant_id
    WHERE c.kind IN {_KINDS}
    GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING sum(c.change) <> 0
), found AS (
    SELECT name, of_tenant, kind, owner, asset, sum(change) AS change,
        count(DISTINCT entry_id) AS entries, (array_agg(entry_id))[1] AS entry_id
    FROM mirror GROUP BY name, of_tenant, kind, owner, asset
)
SELECT '{MIRRORED.id}' AS check_id, coalesce(x.tenant_id, :house) AS tenant_id,
    CASE WHEN x.name IS NULL THEN 'entries' ELSE 'trades' END AS in_table,
    coalesce(x.trade_id, f.entry_id) AS id,
    concat_ws(' ', coalesce(x.kind, f.kind), nullif(coalesce(x.owner, f.owner), '')) AS part,
    CASE WHEN x.name IS NULL THEN 'no entry for ' || f.name
        ELSE format('%s units of %s in one entry', x.change, x.asset) END AS expected,
    CASE WHEN f.name IS NULL THEN 'no entry'
        ELSE format('%s units of %s in %s entries', f.change, f.asset, f.entries) END AS found
FROM expected AS x
FULL JOIN found AS f ON f.name = x.name AND f.of_tenant = x.of_tenant AND f.kind = x.kind
    AND f.owner = x.owner AND f.asset = x.asset
WHERE x.change IS DISTINCT FROM f.change OR f.entries > 1
""",
)

SUMS: Final = SqlProbe(
    checks=(SUM,),
    counted=("accounts",),
    sql=f"""
WITH {_SEEN}, traded AS (
    SELECT t.tenant_id, t.debit_account_id, t.credit_account_id, t.units
    FROM core.transfers AS t
    JOIN core.entries AS e ON e.tenant_id = t.tenant_id AND e.id = t.entry_id
    JOIN seen AS s ON s.tenant_id = e.tenant_id AND s.name = e.reference
    WHERE e.source = 'trade' AND t.kind IN ('regular', 'post')
), of_tenants AS (
    SELECT a.kind, a.owner, a.asset, sum(l.change) AS change
    FROM (
        SELECT tenant_id, debit_account_id AS account_id, -units AS change FROM traded
        UNION ALL SELECT tenant_id, credit_account_id, units FROM traded
    ) AS l
    JOIN core.accounts AS a ON a.tenant_id = l.tenant_id AND a.id = l.account_id
    WHERE a.kind IN {_KINDS} GROUP BY a.kind, a.owner, a.asset
), of_house AS (
    SELECT kind, owner, asset, (array_agg(account_id))[1] AS id, sum(change) AS change
    FROM mirror GROUP BY kind, owner, asset
)
SELECT '{SUM.id}' AS check_id, :house AS tenant_id, 'accounts' AS in_table, h.id,
    concat_ws(' ', coalesce(h.kind, t.kind), nullif(coalesce(h.owner, t.owner), ''),
        coalesce(h.asset, t.asset)) AS part,
    format('%s over all tenants', coalesce(t.change, 0)) AS expected,
    format('%s mirrored', coalesce(h.change, 0)) AS found
FROM of_house AS h
FULL JOIN of_tenants AS t ON t.kind = h.kind AND t.owner = h.owner AND t.asset = h.asset
WHERE coalesce(h.change, 0) <> coalesce(t.change, 0)
""",
)

PROBES: Final = (MIRROR, SUMS)
