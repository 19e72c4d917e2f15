"""The tenants' audit logs: numbered without gaps, and telling of every request."""

from typing import Final

from adapters.postgres.audit.probe import SqlProbe
from ports.audit import Check

SEQUENCE: Final = Check(
    id="I28.sequence",
    statement="the numbered records of each tenant's audit log go from 1 to its head without gaps",
    source="security checklist, section 6.3: an audit record in the transaction of the change",
)
REQUESTED: Final = Check(
    id="I28.request",
    statement="each request since the audit log began has one record of what became of it",
    source="security checklist, section 6.3: an audit record in the transaction of the change",
)

# The request of a new tenant is in the house's book, and the record in the tenant's own.
_ELSEWHERE: Final = "reli.tenant.v1.TenantAdminService/CreateTenant"

LOGS: Final = SqlProbe(
    checks=(SEQUENCE, REQUESTED),
    counted=("audit_records",),
    sql=f"""
WITH numbered AS (
    SELECT tenant_id, id, sequence, lag(sequence, 1, 0::bigint)
        OVER (PARTITION BY tenant_id ORDER BY sequence) + 1 AS due
    FROM core.audit_records WHERE sequence IS NOT NULL
), latest AS (
    SELECT tenant_id, max(sequence) AS last FROM core.audit_records
    WHERE sequence IS NOT NULL GROUP BY tenant_id
), recorded AS (
    SELECT tenant_id, method, request_id, count(*) AS records, (array_agg(id))[1] AS id,
        bool_or(refusal_reason = '') AS has_effect
    FROM core.audit_records WHERE request_id <> '' GROUP BY tenant_id, method, request_id
), requested AS (
    SELECT tenant_id, rpc, request_id, resource_id, refusal IS NULL AS has_effect
    FROM core.requests
    WHERE created_at >= (SELECT min(recorded_at) FROM core.audit_records) AND rpc <> '{_ELSEWHERE}'
)
SELECT '{SEQUENCE.id}' AS check_id, tenant_id, 'audit_records' AS in_table, id, '' AS part,
    'sequence ' || due AS expected, 'sequence ' || sequence AS found
FROM numbered WHERE sequence <> due
UNION ALL
SELECT '{SEQUENCE.id}', coalesce(h.tenant_id, l.tenant_id), 'audit_heads',
    coalesce(h.tenant_id, l.tenant_id), '', 'last ' || coalesce(l.last::text, 'absent'),
    'last ' || coalesce(h.last::text, 'absent')
FROM core.audit_heads AS h FULL JOIN latest AS l ON l.tenant_id = h.tenant_id
WHERE h.last IS DISTINCT FROM l.last
UNION ALL
SELECT '{REQUESTED.id}', q.tenant_id, 'audit_records', r.id, q.rpc || ' ' || q.request_id,
    CASE WHEN q.has_effect THEN 'one record of its effect' ELSE 'one record of its refusal' END,
    coalesce(r.records, 0) || ' records'
FROM requested AS q LEFT JOIN recorded AS r ON r.tenant_id = q.tenant_id AND r.method = q.rpc
    AND r.request_id = q.request_id
WHERE r.records IS DISTINCT FROM 1 OR r.has_effect <> q.has_effect
""",
)

PROBES: Final = (LOGS,)
