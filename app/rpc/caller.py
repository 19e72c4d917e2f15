"""Who is calling, set by the interceptor and seen by servicers only."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from domain.ids import ApiKeyId, TenantId
from domain.tenant.api_key import Scope

LAST_EVENT_ID: Final = "last-event-id"
"""The header with which a reader of server-sent events says how far he has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Attributes:
    rpc: full method name of this call.
    idempotency_key: the header of that name, empty if absent.
    last_event_id: the header `LAST_EVENT_ID`, empty if absent.
    """

    tenant_id: TenantId
    api_key_id: ApiKeyId
    scopes: frozenset[Scope]
    rpc: str
    idempotency_key: str
    correlation_id: str
    last_event_id: str = ""


CALLER: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    return CALLER.get()
