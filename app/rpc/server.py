"""The gRPC server: limits, keepalive, health, and reflection in the sandbox."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from app.rpc.interceptor import Interceptor
from reli.audit.v1 import audit_service_pb2, audit_service_pb2_grpc
from reli.event.v1 import event_service_pb2, event_service_pb2_grpc
from reli.ledger.v1 import (
    checkpoint_service_pb2,
    checkpoint_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    statement_service_pb2,
    statement_service_pb2_grpc,
)
from reli.liquidity.v1 import (
    liquidity_service_pb2,
    liquidity_service_pb2_grpc,
    lp_settlement_service_pb2,
    lp_settlement_service_pb2_grpc,
)
from reli.market.v1 import market_service_pb2, market_service_pb2_grpc
from reli.quote.v1 import quote_service_pb2, quote_service_pb2_grpc
from reli.reconciliation.v1 import (
    reconciliation_service_pb2,
    reconciliation_service_pb2_grpc,
)
from reli.sandbox.v1 import sandbox_service_pb2, sandbox_service_pb2_grpc
from reli.tenant.v1 import tenant_service_pb2, tenant_service_pb2_grpc
from reli.trade.v1 import trade_service_pb2, trade_service_pb2_grpc
from reli.webhook.v1 import webhook_service_pb2, webhook_service_pb2_grpc

MAX_MESSAGE_BYTES: Final = 4 << 20
"""A batch of entries; the front door lets less through."""
MAX_METADATA_BYTES: Final = 128 << 10
"""The largest REST body beside its call, and more headers than the front door lets through: what it
refuses itself, it refuses with a reason."""

OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    # Envoy's connections carry everybody's calls. A header that cannot be read would stay in their
    # tables, and whoever says its name after that would be refused for it (grpc/grpc#34721).
    ("grpc.http2.hpack_table_size.decoder", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
)

_ADD: Final[Mapping[str, Callable[[Any, grpc.aio.Server], None]]] = {
    "HealthServicer": health_pb2_grpc.add_HealthServicer_to_server,
    "TenantServicer": tenant_service_pb2_grpc.add_TenantServiceServicer_to_server,
    "ApiKeyServicer": tenant_service_pb2_grpc.add_ApiKeyServiceServicer_to_server,
    "RequestSigningKeyServicer": (
        tenant_service_pb2_grpc.add_RequestSigningKeyServiceServicer_to_server
    ),
    "CustomerServicer": tenant_service_pb2_grpc.add_CustomerServiceServicer_to_server,
    "TenantAdminServicer": tenant_service_pb2_grpc.add_TenantAdminServiceServicer_to_server,
    "MarketServicer": market_service_pb2_grpc.add_MarketServiceServicer_to_server,
    "MarketAdminServicer": market_service_pb2_grpc.add_MarketAdminServiceServicer_to_server,
    "LiquidityAdminServicer": (
        liquidity_service_pb2_grpc.add_LiquidityAdminServiceServicer_to_server
    ),
    "QuoteServicer": quote_service_pb2_grpc.add_QuoteServiceServicer_to_server,
    "TradeServicer": trade_service_pb2_grpc.add_TradeServiceServicer_to_server,
    "TradeAdminServicer": trade_service_pb2_grpc.add_TradeAdminServiceServicer_to_server,
    "LedgerServicer": ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server,
    "LedgerAdminServicer": ledger_service_pb2_grpc.add_LedgerAdminServiceServicer_to_server,
    "CheckpointServicer": checkpoint_service_pb2_grpc.add_CheckpointServiceServicer_to_server,
    "CheckpointAdminServicer": (
        checkpoint_service_pb2_grpc.add_CheckpointAdminServiceServicer_to_server
    ),
    "SigningKeyServicer": checkpoint_service_pb2_grpc.add_SigningKeyServiceServicer_to_server,
    "StatementServicer": statement_service_pb2_grpc.add_StatementServiceServicer_to_server,
    "StatementAdminServicer": (
        statement_service_pb2_grpc.add_StatementAdminServiceServicer_to_server
    ),
    "LpSettlementAdminServicer": (
        lp_settlement_service_pb2_grpc.add_LpSettlementAdminServiceServicer_to_server
    ),
    "EventServicer": event_service_pb2_grpc.add_EventServiceServicer_to_server,
    "EventAdminServicer": event_service_pb2_grpc.add_EventAdminServiceServicer_to_server,
    "ReconciliationServicer": (
        reconciliation_service_pb2_grpc.add_ReconciliationServiceServicer_to_server
    ),
    "ReconciliationAdminServicer": (
        reconciliation_service_pb2_grpc.add_ReconciliationAdminServiceServicer_to_server
    ),
    "SandboxServicer": sandbox_service_pb2_grpc.add_SandboxServiceServicer_to_server,
    "AuditServicer": audit_service_pb2_grpc.add_AuditServiceServicer_to_server,
    "WebhookServicer": webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server,
}


def services() -> Sequence[ServiceDescriptor]:
    """Return every service of ours."""
    return [
        service
        for file in (
            tenant_service_pb2,
            market_service_pb2,
            liquidity_service_pb2,
            quote_service_pb2,
            trade_service_pb2,
            ledger_service_pb2,
            checkpoint_service_pb2,
            statement_service_pb2,
            event_service_pb2,
            reconciliation_service_pb2,
            lp_settlement_service_pb2,
            sandbox_service_pb2,
            audit_service_pb2,
            webhook_service_pb2,
        )
        for service in file.DESCRIPTOR.services_by_name.values()
    ]


def make_server(interceptor: Interceptor, *, with_reflection: bool) -> grpc.aio.Server:
    """Return a server that knows its limits, and no servicer yet."""
    server = grpc.aio.server(interceptors=[interceptor], options=OPTIONS)
    if with_reflection:
        names = [service.full_name for service in services()]
        reflection.enable_server_reflection(
            [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
        )
    return server


def add_servicers(server: grpc.aio.Server, servicers: Iterable[Any]) -> None:
    """Register every servicer under the service of its name."""
    for servicer in servicers:
        _ADD[type(servicer).__name__](servicer, server)
