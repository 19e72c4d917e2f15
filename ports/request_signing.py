"""Keys that tenants sign their requests with, and the nonces that were used."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from domain.ids import RequestSigningKeyId, TenantId
from domain.tenant.request_signing import RequestSigningKey
from ports.page import Page, PageRequest


@dataclass(frozen=True, slots=True)
class RequestVerifier:
    """A key, and what checks signatures with it.

    Attributes:
        is_signed: says whether the second bytes are the key's signature over the first.
    """

    key: RequestSigningKey
    is_signed: Callable[[bytes, bytes], bool]


class RequestSigningKeyRepository(Protocol):
    """Keys of one tenant."""

    async def get(self, key_id: RequestSigningKeyId) -> RequestSigningKey:
        """Return the key, locked until commit, or raise `RequestSigningKeyNotFound`."""
        ...

    async def find_live(
        self, key_id: RequestSigningKeyId
    ) -> tuple[RequestSigningKey, bytes | None] | None:
        """Return a key that is not revoked, with its sealed secret if it has one.

        It is not locked.
        """
        ...

    async def add(self, key: RequestSigningKey, *, sealed_secret: bytes | None) -> None:
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


class RequestVerifierStore(Protocol):
    """The same keys, for the check of every signed call."""

    async def find(
        self, tenant_id: TenantId, key_id: RequestSigningKeyId
    ) -> RequestVerifier | None:
        """Return what checks the signatures of a key that is the tenant's, and that was live half a
        second ago at most.

        Raises `SecretUnreadable` for a shared secret that this process cannot open.
        """
        ...


class SeenNonces(Protocol):
    """The nonces of requests whose time is not over, of all servers."""

    async def note(self, key: RequestSigningKey, nonce: str) -> bool:
        """Remember a nonce for as long as a request with it could be fresh.

        Returns whether it is seen for the first time.
        """
        ...

    async def drain(self) -> None:
        """Wait until nothing is under way any more; nobody may note anything after that."""
        ...
