"""Requests: one effect each, and that effect is there."""

from typing import Final

from adapters.postgres.audit.probe import SqlProbe, rows
from ports.audit import Check

RESOURCE: Final = Check(
    id="I4.request",
    statement="each request has either a refusal or the resource that its RPC makes or changes",
    source="money rules, section 6; invariant I4",
)
UNIQUE: Final = Check(
    id="I4.once",
    statement="no request id was used twice, and nothing was made by two requests",
    source="money rules, section 6: scope (tenant, rpc), kept for ever; invariant I4",
)

MAKES: Final = {
    "reli.liquidity.v1.LiquidityAdminService/SetLpTradingState": "trading_state_changes",
    "reli.market.v1.MarketAdminService/SetInstrumentTradingState": "trading_state_changes",
    "reli.quote.v1.QuoteService/CreateQuote": "quotes",
    "reli.quote.v1.QuoteService/AcceptQuote": "trades",
    "reli.ledger.v1.LedgerAdminService/ReverseEntry": "entries",
    "reli.liquidity.v1.LpSettlementAdminService/ProposeLpSettlement": "lp_settlements",
    "reli.sandbox.v1.SandboxService/CreateDeposit": "sandbox_deposits",
    "reli.tenant.v1.ApiKeyService/CreateApiKey": "api_keys",
    "reli.tenant.v1.ApiKeyService/RotateApiKey": "api_keys",
    "reli.tenant.v1.CustomerService/CreateCustomer": "customers",
    "reli.tenant.v1.RequestSigningKeyService/CreateRequestSigningKey": "request_signing_keys",
    "reli.tenant.v1.TenantAdminService/CreateTenant": "tenants",
    "reli.tenant.v1.TenantAdminService/CreateTenantApiKey": "api_keys",
    "reli.tenant.v1.TenantAdminService/RotateTenantApiKey": "api_keys",
    "reli.tenant.v1.TenantAdminService/SetTenantTradingState": "trading_state_changes",
    "reli.trade.v1.TradeAdminService/ProposeResolution": "trade_resolutions",
    "reli.webhook.v1.WebhookService/CreateWebhookEndpoint": "webhook_endpoints",
}
"""The table of what an RPC makes: a new row for each request."""

CHANGES: Final = {
    "reli.event.v1.EventAdminService/ReplayDeadLetter": "dead_letters",
    "reli.ledger.v1.LedgerAdminService/SetOverdraftLimit": "accounts",
    "reli.liquidity.v1.LpSettlementAdminService/ApproveLpSettlement": "lp_settlements",
    "reli.liquidity.v1.LpSettlementAdminService/CancelLpSettlement": "lp_settlements",
    "reli.liquidity.v1.LpSettlementAdminService/SettleLpSettlement": "lp_settlements",
    "reli.quote.v1.QuoteService/CancelQuote": "quotes",
    "reli.reconciliation.v1.ReconciliationAdminService/ApproveBreakResolution": "break_resolutions",
    "reli.reconciliation.v1.ReconciliationAdminService/ResolveBreak": "breaks",
    "reli.tenant.v1.ApiKeyService/RevokeApiKey": "api_keys",
    "reli.tenant.v1.CustomerService/ActivateCustomer": "customers",
    "reli.tenant.v1.CustomerService/CloseCustomer": "customers",
    "reli.tenant.v1.CustomerService/SuspendCustomer": "customers",
    "reli.tenant.v1.RequestSigningKeyService/RevokeRequestSigningKey": "request_signing_keys",
    "reli.tenant.v1.TenantAdminService/ActivateTenant": "tenants",
    "reli.tenant.v1.TenantAdminService/CloseTenant": "tenants",
    "reli.tenant.v1.TenantAdminService/RevokeTenantApiKey": "api_keys",
    "reli.tenant.v1.TenantAdminService/SuspendTenant": "tenants",
    "reli.tenant.v1.TenantAdminService/UpdateTenantTerms": "tenants",
    "reli.tenant.v1.TenantService/UpdateCurrentTenant": "tenants",
    "reli.trade.v1.TradeAdminService/ApproveResolution": "trade_resolutions",
    "reli.webhook.v1.WebhookService/DeleteWebhookEndpoint": "webhook_endpoints",
    "reli.webhook.v1.WebhookService/DisableWebhookEndpoint": "webhook_endpoints",
    "reli.webhook.v1.WebhookService/EnableWebhookEndpoint": "webhook_endpoints",
    "reli.webhook.v1.WebhookService/ReplayWebhookDeliveries": "webhook_endpoints",
    "reli.webhook.v1.WebhookService/ReplayWebhookEvents": "webhook_endpoints",
    "reli.webhook.v1.WebhookService/RotateWebhookSecret": "webhook_endpoints",
    "reli.webhook.v1.WebhookService/SendTestEvent": "webhook_endpoints",
    "reli.webhook.v1.WebhookService/UpdateWebhookEndpoint": "webhook_endpoints",
    "reli.webhook.v1.WebhookService/ReplayWebhookDelivery": "webhook_deliveries",
    # The caller chooses the entry's id, so the same entry may be asked for under two request ids.
    "reli.ledger.v1.LedgerAdminService/CreateEntry": "entries",
}
"""The table of what an RPC changes: several requests may change the same row."""

_OUTLIVES: Final = (
    # A tenant's id is claimed in a unit of work of the house before the tenant's own begins.
    "reli.tenant.v1.TenantAdminService/CreateTenant",
    # A delivery is forgotten after a while.
    "reli.webhook.v1.WebhookService/ReplayWebhookDelivery",
)
"""RPCs whose requests may be there without what they name."""

_TABLES: Final = sorted({*MAKES.values(), *CHANGES.values()} - {"tenants"})

REQUESTS: Final = SqlProbe(
    checks=(RESOURCE, UNIQUE),
    counted=("requests",),
    sql=f"""
WITH rpcs (rpc, in_table, is_new) AS ({
        rows(
            (rpc, table, kind)
            for kind, tables in (("makes", MAKES), ("changes", CHANGES))
            for rpc, table in tables.items()
        )
    }), things AS (
    SELECT 'tenants' AS in_table, tenant_id, tenant_id AS id FROM core.tenants
    {" ".join(f"UNION ALL SELECT '{table}', tenant_id, id FROM core.{table}" for table in _TABLES)}
), asked AS (
    SELECT r.tenant_id, r.rpc, r.request_id, r.resource_id, r.refusal, k.in_table, k.is_new
    FROM core.requests AS r LEFT JOIN rpcs AS k ON k.rpc = r.rpc
)
SELECT '{RESOURCE.id}' AS check_id, a.tenant_id, 'requests' AS in_table, NULL::uuid AS id,
    format('%s %s', a.rpc, a.request_id) AS part,
    CASE WHEN a.in_table IS NULL THEN 'an RPC whose resource is known'
        ELSE 'a row of ' || a.in_table || ' or a refusal' END AS expected,
    CASE WHEN a.resource_id IS NULL THEN 'neither' WHEN a.refusal IS NOT NULL THEN 'both'
        ELSE format('%s, which is none', a.resource_id) END AS found
FROM asked AS a
LEFT JOIN things AS t
    ON t.in_table = a.in_table AND t.tenant_id = a.tenant_id AND t.id = a.resource_id
WHERE (a.resource_id IS NULL) = (a.refusal IS NULL)
    OR (a.resource_id IS NOT NULL AND t.id IS NULL
        AND a.rpc NOT IN {_OUTLIVES!r})
UNION ALL
SELECT '{UNIQUE.id}', tenant_id, 'requests', NULL, format('%s %s', rpc, request_id), 'one row',
    format('%s rows', count(*))
FROM core.requests GROUP BY tenant_id, rpc, request_id HAVING count(*) > 1
UNION ALL
SELECT '{UNIQUE.id}', tenant_id, in_table, resource_id, '', 'made by one request',
    'made by requests ' || string_agg(request_id, ', ' ORDER BY request_id)
FROM asked WHERE is_new = 'makes' AND resource_id IS NOT NULL
GROUP BY tenant_id, in_table, resource_id HAVING count(*) > 1
""",
)

PROBES: Final = (REQUESTS,)
