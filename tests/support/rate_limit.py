"""Limits that no test reaches unless it wants to."""

from collections.abc import Sequence
from typing import Final

from adapters.system.clock import SystemClock
from app.rpc.rate_limit import RateLimiter
from app.rpc.signature import RequestSignatures
from domain.ids import RequestSigningKeyId, TenantId
from domain.tenant.rate_limit import CostClass
from domain.tenant.request_signing import RequestSigningKey
from domain.tenant.tenant import Tenant
from ports.rate_limit import LeaseRequest, TokenBuckets, TokenLease
from ports.request_signing import RequestVerifier, RequestVerifierStore, SeenNonces
from ports.tenant import SettingsStore
from reli.auth.v1 import access_pb2
from reli.tenant.v1 import tenant_pb2

GENEROUS: Final = [
    tenant_pb2.RateLimit(
        cost_class=cost_class, per_second=100_000, burst=1_000_000, key_percent=100
    )
    for cost_class in access_pb2.CostClass.keys()[1:]
]


class FullBuckets(TokenBuckets):
    """Leases whatever is wanted."""

    async def lease(
        self, tenant_id: TenantId, cost_class: CostClass, requests: Sequence[LeaseRequest]
    ) -> Sequence[TokenLease]:
        return [
            TokenLease(tokens=request.wanted, available=request.limit.burst, wait_s=0)
            for request in requests
        ]


class AnyTenant(SettingsStore):
    """Every tenant has the limits that hold for all."""

    async def get(self, tenant_id: TenantId) -> Tenant:
        return Tenant(id=tenant_id, slug="any", display_name="Any")


def a_lenient_limiter() -> RateLimiter:
    return RateLimiter(FullBuckets(), AnyTenant(), SystemClock())


class NoKeys(RequestVerifierStore):
    """Nobody can sign."""

    async def find(
        self, tenant_id: TenantId, key_id: RequestSigningKeyId
    ) -> RequestVerifier | None:
        return None


class NoNonces(SeenNonces):
    """Nothing was seen before."""

    async def note(self, key: RequestSigningKey, nonce: str) -> bool:
        return True

    async def drain(self) -> None:
        """Nothing is under way."""


def no_signatures() -> RequestSignatures:
    return RequestSignatures(NoKeys(), NoNonces(), AnyTenant(), SystemClock())
