"""Buckets of tokens that every server takes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from domain.ids import TenantId
from domain.tenant.rate_limit import CostClass, RateLimit

LEASE_S: Final = 0.25
"""For how long, from before it was asked for, a lease may be used; what is left is lost then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """Attributes:
    owner_id: whose bucket it is, the tenant's or a key's.
    limit: what the bucket holds, and how fast it fills.
    wanted: how many tokens to lease, one at least.
    """

    owner_id: UUID
    limit: RateLimit
    wanted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLease:
    """Attributes:
    tokens: how many may be used until `LEASE_S` have passed; 0 where the bucket is empty.
    available: how many are left in the bucket.
    wait_s: in how many seconds there is a token again; 0 where there is one.
    """

    tokens: int
    available: int
    wait_s: float


class TokenBuckets(Protocol):
    """The buckets of all tenants and keys."""

    async def lease(
        self, tenant_id: TenantId, cost_class: CostClass, requests: Sequence[LeaseRequest]
    ) -> Sequence[TokenLease]:
        """Take tokens out of buckets of one tenant and class, all at once.

        What is leased and what is left in a bucket together never exceed its burst.
        """
        ...
