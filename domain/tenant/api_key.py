"""An API key is a credential of one tenant; only the hash of its secret is kept."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from domain.ids import ApiKeyId, TenantId


class Scope(StrEnum):
    """What a key may do; every method of the API names the one it needs."""

    READ = "read"
    CUSTOMERS = "customers"
    QUOTES = "quotes"
    TRADES = "trades"
    SETTINGS = "settings"
    KEYS = "keys"
    SANDBOX = "sandbox"
    OPERATOR = "operator"


TENANT_SCOPES = tuple(scope for scope in Scope if scope is not Scope.OPERATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Attributes:
    name: what people call it, such as `backend`.
    hint: the first characters of the secret, enough to recognize it.
    """

    id: ApiKeyId
    tenant_id: TenantId
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    revoked_at: datetime | None = None

    def revoke(self, *, now: datetime) -> "ApiKey":
        """Return the revoked key; revoking twice keeps the first instant."""
        return self if self.revoked_at else replace(self, revoked_at=now)
