"""Where tenants, customers and keys are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.ids import ApiKeyId, CustomerId, TenantId
from domain.party import Party
from domain.tenant.acting import Acting
from domain.tenant.api_key import ApiKey, Scope
from domain.tenant.customer import Customer
from domain.tenant.ip_range import IpRange
from domain.tenant.tenant import Tenant, TenantState
from ports.page import Page, PageRequest


class TenantRepository(Protocol):
    """The one tenant of the unit of work."""

    async def get(self, *, lock: bool = False) -> Tenant:
        """Return the tenant, locked until commit if asked, or raise `TenantNotFound`."""
        ...

    async def acting(self, party: Party) -> Acting:
        """Return who acts, and the database's clock; neither can be closed before the commit.

        Raises `TenantNotFound` or `CustomerNotFound`.
        """
        ...

    async def require_active(self, party: Party) -> None:
        """Let the unit of work hold only if the party may act when it is written.

        Nothing keeps it from being closed right after. Raises `TenantNotFound`, `TenantSuspended`,
        `TenantClosed`, `CustomerNotFound`, `CustomerSuspended` or `CustomerClosed`, here or at the
        end.
        """
        ...

    async def wait_until_alone(self) -> None:
        """Wait until no other unit of work of the tenant is open, and keep new ones waiting."""
        ...

    async def add(self, tenant: Tenant) -> None:
        """Store a new tenant, or raise `TenantExists` for a slug that is taken."""
        ...

    async def save(self, tenant: Tenant) -> None:
        """Replace version `tenant.version - 1`, or raise `VersionConflict`."""
        ...


class CustomerRepository(Protocol):
    """Customers of one tenant."""

    async def get(self, customer_id: CustomerId, *, lock: bool = False) -> Customer:
        """Return the customer, locked until commit if asked, or raise `CustomerNotFound`."""
        ...

    async def add(self, customer: Customer) -> None:
        """Store a new customer, or raise `CustomerExists` for an external id that is taken."""
        ...

    async def save(self, customer: Customer) -> None:
        """Replace version `customer.version - 1`, or raise `VersionConflict`."""
        ...

    async def list(self, page: PageRequest) -> Page[Customer]:
        """Return a page of customers, the newest first."""
        ...


class ApiKeyRepository(Protocol):
    """Keys of one tenant."""

    async def get(self, api_key_id: ApiKeyId) -> ApiKey:
        """Return the key, locked until commit, or raise `ApiKeyNotFound`."""
        ...

    async def find_twin(self, api_key: ApiKey, *, now: datetime) -> ApiKeyId | None:
        """Return the key that this one was rotated to or from, if that one lives."""
        ...

    async def add(self, api_key: ApiKey, *, secret_hash: bytes) -> None:
        """Store a new key by the hash of its secret."""
        ...

    async def save(self, api_key: ApiKey) -> None:
        """Store when the key was revoked and when it expires."""
        ...

    async def note_uses(self, api_key_ids: Sequence[ApiKeyId]) -> None:
        """Note that the keys were used just now, unless that was noted within the last minute.

        A key whose row somebody else has locked is left out.
        """
        ...

    async def list(self, page: PageRequest) -> Page[ApiKey]:
        """Return a page of keys, the newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a secret stands for, read before any tenant is known.

    Attributes:
        allowed_ip_ranges: from where alone it may be used; empty where from anywhere.
        methods: the RPCs that alone a service token may call; empty for every other key.
    """

    api_key_id: ApiKeyId
    tenant_id: TenantId
    tenant_state: TenantState
    scopes: frozenset[Scope]
    is_revoked: bool
    is_expired: bool = False
    allowed_ip_ranges: tuple[IpRange, ...] = ()
    methods: frozenset[str] = frozenset()


class CredentialStore(Protocol):
    """The one place that is asked before the tenant is known."""

    async def find(self, secret_hash: bytes) -> Credential | None:
        """Return what the secret stands for, at most half a second old, and never older than the
        instant at which it expires."""
        ...


class SettingsStore(Protocol):
    """Tenants as pricing needs them, without a transaction."""

    async def get(self, tenant_id: TenantId) -> Tenant:
        """Return the tenant as it was at most a second ago, or raise `TenantNotFound`."""
        ...


class TenantDirectory(Protocol):
    """All tenants, for the operator."""

    @property
    def house_id(self) -> TenantId:
        """The operator's own tenant."""
        ...

    async def list(self, page: PageRequest) -> Page[Tenant]:
        """Return a page of tenants, the newest first."""
        ...
