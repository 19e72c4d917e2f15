"""Who is calling, set by the interceptor and seen by servicers only."""

from contextvars import ContextVar
from dataclasses import dataclass

from domain.ids import ApiKeyId, TenantId
from domain.tenant.api_key import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Attributes:
    rpc: full method name of this call.
    idempotency_key: the header of that name, empty if absent.
    """

    tenant_id: TenantId
    api_key_id: ApiKeyId
    scopes: frozenset[Scope]
    rpc: str
    idempotency_key: str
    correlation_id: str


CALLER: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    return CALLER.get()
