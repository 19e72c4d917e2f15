"""Keys that tenants sign their requests with, and the nonces that were used."""

from typing import Protocol

from domain.ids import RequestSigningKeyId, TenantId
from domain.tenant.request_signing import RequestSigningKey
from ports.page import Page, PageRequest


class RequestSigningKeyRepository(Protocol):
    """Keys of one tenant."""

    async def get(self, key_id: RequestSigningKeyId) -> RequestSigningKey:
        """Return the key, locked until commit, or raise `RequestSigningKeyNotFound`."""
        ...

    async def find(self, key_id: RequestSigningKeyId) -> RequestSigningKey | None:
        """Return the key as it is, without a lock, if there is one."""
        ...

    async def add(self, key: RequestSigningKey) -> None:
        """Store a new key, or raise `TooManyRequestSigningKeys`."""
        ...

    async def save(self, key: RequestSigningKey) -> None:
        """Store a revocation."""
        ...

    async def has_live_key(self) -> bool:
        """Say whether the tenant can sign."""
        ...

    async def list(self, page: PageRequest) -> Page[RequestSigningKey]:
        """Return a page of keys, the newest first."""
        ...


class RequestSigningKeyStore(Protocol):
    """The same keys, for the check of every signed call."""

    async def find(
        self, tenant_id: TenantId, key_id: RequestSigningKeyId
    ) -> RequestSigningKey | None:
        """Return the key as it was half a second ago at most, if it is the tenant's."""
        ...


class SeenNonces(Protocol):
    """The nonces of requests whose time is not over, of all servers."""

    async def note(self, key: RequestSigningKey, nonce: str) -> bool:
        """Remember a nonce for as long as a request with it could be fresh.

        Returns whether it is seen for the first time.
        """
        ...
