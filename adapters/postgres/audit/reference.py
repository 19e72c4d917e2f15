"""References: every id that a row names is there, in the same tenant."""

from typing import Final

from adapters.postgres.audit.probe import SqlProbe, typeid
from domain.ids import CustomerId
from ports.audit import Check

SCOPE: Final = Check(
    id="I12.scope",
    statement="each id that a row names belongs to a row of the same tenant",
    source="money rules, section 1: a transfer never crosses books; invariant I12",
)

REFERENCES: Final = {
    ("account_lines", "account_id"): "accounts",
    ("accounts", "tenant_id"): "tenants",
    ("api_keys", "rotated_from_id"): "api_keys",
    ("api_keys", "tenant_id"): "tenants",
    ("attempts", "trade_id"): "trades",
    ("audit_heads", "tenant_id"): "tenants",
    ("audit_records", "tenant_id"): "tenants",
    ("break_resolutions", "break_id"): "breaks",
    ("break_resolutions", "counter_account_id"): "accounts",
    ("breaks", "trade_id"): "trades",
    ("burned_ids", "tenant_id"): "tenants",
    ("customers", "tenant_id"): "tenants",
    ("daily_closes", "tenant_id"): "tenants",
    ("dated_lines", "account_id"): "accounts",
    ("dead_letters", "tenant_id"): "tenants",
    ("entries", "tenant_id"): "tenants",
    ("event_heads", "tenant_id"): "tenants",
    ("expiring_holds", "transfer_id"): "transfers",
    ("inbox", "tenant_id"): "tenants",
    ("late_checks", "trade_id"): "trades",
    ("lp_answers", "quote_id"): "quotes",
    ("lp_settlement_legs", "entry_id"): "entries",
    ("lp_settlement_legs", "settlement_id"): "lp_settlements",
    ("lp_settlements", "tenant_id"): "tenants",
    ("outbox", "tenant_id"): "tenants",
    ("quotes", "tenant_id"): "tenants",
    ("quotes", "customer_id"): "customers",
    ("quotes", "trade_id"): "trades",
    ("receipts", "trade_id"): "trades",
    ("reconciled_accounts", "account_id"): "accounts",
    ("reconciliation_lines", "account_id"): "accounts",
    ("reconciliation_lines", "break_id"): "breaks",
    ("reconciliation_lines", "entry_id"): "entries",
    ("reconciliation_lines", "statement_id"): "statements",
    ("request_signing_keys", "tenant_id"): "tenants",
    ("requests", "tenant_id"): "tenants",
    ("resolutions", "pending_id"): "transfers",
    ("resolutions", "transfer_id"): "transfers",
    ("reversals", "entry_id"): "entries",
    ("reversals", "reversal_id"): "entries",
    ("sandbox_deposits", "customer_id"): "customers",
    ("sandbox_deposits", "entry_id"): "entries",
    ("statement_balances", "statement_id"): "statements",
    ("statements", "tenant_id"): "tenants",
    ("trade_queue", "trade_id"): "trades",
    ("trade_resolutions", "trade_id"): "trades",
    ("trade_transitions", "trade_id"): "trades",
    ("trading_state_changes", "tenant_id"): "tenants",
    ("trades", "accepted_by"): "api_keys",
    ("trades", "customer_id"): "customers",
    ("trades", "hold_entry_id"): "entries",
    ("trades", "hold_id"): "transfers",
    ("trades", "quote_id"): "quotes",
    ("unlisted_lines", "tenant_id"): "tenants",
    ("webhook_attempts", "delivery_id"): "webhook_deliveries",
    ("webhook_deliveries", "endpoint_id"): "webhook_endpoints",
    ("webhook_endpoints", "tenant_id"): "tenants",
    ("webhook_queues", "endpoint_id"): "webhook_endpoints",
}
"""By table and column, the table whose id it is. Of tables whose other references lead to a tenant
the tenant itself is not listed. Transfers are looked into with the books. What may name another
tenant's row has checks of its own: who proposed a resolution, what a consumer has seen."""

_ID: Final = {
    "account_lines": "account_id",
    "audit_heads": "tenant_id",
    "daily_closes": None,
    "dated_lines": "account_id",
    "event_heads": "tenant_id",
    "expiring_holds": "transfer_id",
    "inbox": "event_id",
    "late_checks": "trade_id",
    "lp_settlement_legs": "settlement_id",
    "receipts": "trade_id",
    "reconciled_accounts": "account_id",
    "requests": None,
    "resolutions": "pending_id",
    "reversals": "entry_id",
    "statement_balances": "statement_id",
    "trade_queue": "trade_id",
    "trade_transitions": "trade_id",
    "unlisted_lines": None,
    "webhook_attempts": "delivery_id",
    "webhook_queues": "endpoint_id",
}


def _missing(table: str, column: str, parent: str) -> str:
    id = _ID.get(table, "id")
    row = f"c.{id}" if id else "NULL::uuid"
    parent_id = "tenant_id" if parent == "tenants" else "id"
    return f"""
SELECT '{SCOPE.id}' AS check_id, c.tenant_id, '{table}' AS in_table, {row} AS id,
    '{column}' AS part, format('%s in {parent} of the tenant', c.{column}) AS expected,
    'no such row' AS found
FROM core.{table} AS c
LEFT JOIN core.{parent} AS p ON p.tenant_id = c.tenant_id AND p.{parent_id} = c.{column}
WHERE c.{column} IS NOT NULL AND p.tenant_id IS NULL
"""


OWNERS: Final = f"""
SELECT '{SCOPE.id}' AS check_id, a.tenant_id, 'accounts' AS in_table, a.id, 'owner' AS part,
    format('%s in customers of the tenant', a.owner) AS expected, 'no such row' AS found
FROM core.accounts AS a
LEFT JOIN (SELECT tenant_id, {typeid(CustomerId, "id")} AS name FROM core.customers) AS c
    ON c.tenant_id = a.tenant_id AND c.name = a.owner
WHERE a.kind = 'customer' AND c.name IS NULL
"""

SCOPES: Final = SqlProbe(
    checks=(SCOPE,),
    counted=tuple(table for table, _ in REFERENCES),
    sql="UNION ALL".join(
        [*(_missing(*child, parent) for child, parent in REFERENCES.items()), OWNERS]
    ),
)

PROBES: Final = (SCOPES,)
