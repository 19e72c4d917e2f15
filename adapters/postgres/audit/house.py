"""The house's book against the books that it mirrors."""

from typing import Final

from adapters.postgres.audit.event import NOTED
from adapters.postgres.audit.probe import SqlProbe, texts, typeid
from domain.ids import TenantId
from domain.trade.house import HOUSE_ROLES
from ports.audit import Check

MIRRORED: Final = Check(
    id="I20.trade",
    statement="each settled trade that the house's book has seen is in it once, and no other is",
    source="money rules, section 1: mirrored once (inbox row); invariant I20",
)
SUM: Final = Check(
    id="I20.sum",
    statement="the house's LP, fee and slippage accounts are the sum over tenants, as far as seen",
    source="money rules, section 1: house = sum over tenants; invariant I20",
)

((CONSUMER, SETTLED),) = NOTED
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

PROBES: Final = (MIRROR,)
