"""An API key is a credential of one tenant; only the hash of its secret is kept."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from domain.errors import InvalidArgument
from domain.ids import ApiKeyId, TenantId
from domain.tenant.errors import ApiKeyNotLive
from domain.tenant.ip_range import IpRange


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

MAX_OVERLAP: Final = timedelta(days=7)
"""How long a key may live on beside its successor."""

_HINT_LENGTH: Final = 10


def hint_of(secret: str) -> str:
    """Return the part of a secret that may be shown."""
    return secret[:_HINT_LENGTH]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Attributes:
    name: what people call it, such as `backend`.
    hint: the first characters of the secret, enough to recognize it.
    expires_at: from when on it is refused; absent where it does not expire.
    allowed_ip_ranges: from where alone it may be used; empty where from anywhere.
    last_used_at: up to a minute behind.
    rotated_from_id: the key that this one succeeds.
    methods: full names of the RPCs that alone it may call, which makes it a service token; empty
        where it may call all that its scopes allow.
    """

    id: ApiKeyId
    tenant_id: TenantId
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    allowed_ip_ranges: tuple[IpRange, ...] = ()
    last_used_at: datetime | None = None
    rotated_from_id: ApiKeyId | None = None
    methods: tuple[str, ...] = ()

    def revoke(self, *, now: datetime) -> "ApiKey":
        """Return the revoked key; revoking twice keeps the first instant."""
        return self if self.revoked_at else replace(self, revoked_at=now)

    def rotate(
        self,
        successor_id: ApiKeyId,
        *,
        hint: str,
        overlap: timedelta,
        expires_at: datetime | None,
        now: datetime,
    ) -> "tuple[ApiKey, ApiKey]":
        """Return the key, which ends when the overlap is over, and its successor.

        No overlap lets a key live longer than it would have. Raises `ApiKeyNotLive`, or
        `InvalidArgument` for a successor that would never live.
        """
        if self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now):
            raise ApiKeyNotLive("the key was revoked or has expired", api_key_id=self.id)
        require_future(expires_at, now=now)
        ends_at = now + overlap
        ending = replace(self, expires_at=min(ends_at, self.expires_at or ends_at))
        successor = replace(
            self,
            id=successor_id,
            hint=hint,
            created_at=now,
            expires_at=expires_at,
            last_used_at=None,
            rotated_from_id=self.id,
        )
        return ending, successor


def require_future(expires_at: datetime | None, *, now: datetime) -> None:
    """Refuse a key that would have expired before anybody could use it."""
    if expires_at is not None and expires_at <= now:
        raise InvalidArgument("expire_time must be in the future", field="expire_time")
