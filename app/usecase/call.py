"""Who calls, and what makes the call the same call when it comes again."""

from dataclasses import dataclass, replace

from domain.ids import ApiKeyId, TenantId
from domain.tenant.api_key import Scope
from ports.request import RequestKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Attributes:
    tenant_id: the tenant whose rows are meant: the key's own, or the one an operator names.
    key: None when the caller gave no request id.
    method: full name of the RPC.
    correlation_id: ties all effects of the call together.
    """

    tenant_id: TenantId
    api_key_id: ApiKeyId
    scopes: frozenset[Scope]
    method: str
    correlation_id: str
    key: RequestKey | None = None

    def on(self, tenant_id: TenantId) -> "Call":
        """Return the same call, made by an operator on that tenant."""
        return replace(self, tenant_id=tenant_id)
