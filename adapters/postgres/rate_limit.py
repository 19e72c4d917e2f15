"""Buckets of tokens, in a table that no crash has to survive."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from domain.ids import TenantId
from domain.tenant.rate_limit import CostClass
from ports.rate_limit import LeaseRequest, TokenBuckets, TokenLease

_LEASE: Final = "SELECT granted, available, wait_us FROM core.lease_tokens($1, $2, $3, $4, $5, $6)"


class PostgresTokenBuckets(TokenBuckets):
    """Its engine connects as the app's role. One statement is one transaction, with nothing of it
    in the log that a commit would wait for."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def lease(
        self, tenant_id: TenantId, cost_class: CostClass, requests: Sequence[LeaseRequest]
    ) -> Sequence[TokenLease]:
        async with borrowed_driver(self._engine) as driver:
            rows = await driver.fetch(
                _LEASE,
                tenant_id.uuid,
                cost_class.value,
                [request.owner_id for request in requests],
                [request.limit.per_second for request in requests],
                [request.limit.burst for request in requests],
                [request.wanted for request in requests],
            )
        return [
            TokenLease(
                tokens=row["granted"],
                available=row["available"],
                wait_s=row["wait_us"] / 1_000_000,
            )
            for row in rows
        ]
