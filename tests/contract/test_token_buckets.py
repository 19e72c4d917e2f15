"""The buckets that servers lease tokens of, on the real database and with its time in our hands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.postgres.engine import make_engine
from adapters.postgres.rate_limit import PostgresTokenBuckets
from domain.ids import ApiKeyId, TenantId
from domain.tenant.rate_limit import CostClass, RateLimit
from ports.rate_limit import LEASE_S, LeaseRequest
from tests.support.builders import an_id

START: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

_LEASE: Final = "SELECT * FROM core.lease_tokens($1, 'quote', $2, $3, $4, $5, $6)"


@dataclass
class Server:
    """Holds what it leased until it uses it or the lease is over."""

    tokens: int = 0
    good_until: float = 0.0

    def use_all(self, at: float) -> int:
        used = self.tokens if at < self.good_until else 0
        self.tokens -= used
        return used


@dataclass
class Bucket:
    """One bucket of a new tenant; `at` is in seconds since the start of the story."""

    owner: Any
    tenant_id: UUID
    per_second: int
    burst: int
    granted: list[tuple[float, int]] = field(default_factory=list)

    async def lease(self, at: float, wanted: int) -> tuple[int, int, float]:
        row = await self.owner.fetchrow(
            _LEASE,
            self.tenant_id,
            [self.tenant_id],
            [self.per_second],
            [self.burst],
            [wanted],
            START + timedelta(seconds=at),
        )
        return row["granted"], row["available"], row["wait_us"] / 1e6


@pytest.fixture(scope="module")
async def owner(app_database_url: str) -> Any:
    connection = await asyncpg.connect(app_database_url)
    yield connection
    await connection.close()


async def a_bucket(database_url: str, owner: Any, per_second: int, burst: int) -> Bucket:
    tenant_id = an_id(TenantId).uuid
    superuser = await asyncpg.connect(database_url)
    await superuser.execute(
        "INSERT INTO core.tenants (tenant_id, slug, display_name, quote_ttl_ms, platform_fee_bps,"
        " state, created_at) VALUES ($1, $2, 'Bucket', 30000, 0, 'active', core.now())",
        tenant_id,
        f"bucket-{tenant_id}",
    )
    await superuser.close()
    return Bucket(owner, tenant_id, per_second, burst)


async def test_a_new_bucket_is_full_and_half_of_it_can_be_leased_at_once(
    database_url: str, owner: Any
) -> None:
    bucket = await a_bucket(database_url, owner, per_second=10, burst=20)

    assert await bucket.lease(0, wanted=100) == (10, 10, 0)
    assert await bucket.lease(0, wanted=3) == (3, 7, 0)


async def test_an_empty_bucket_says_when_it_has_a_token_again(
    database_url: str, owner: Any
) -> None:
    bucket = await a_bucket(database_url, owner, per_second=10, burst=10)
    while (await bucket.lease(0, wanted=10))[0]:
        pass

    # What is leased and may be in use is part of the burst: the bucket fills up when that is over.
    assert await bucket.lease(0.05, wanted=1) == (0, 0, 0.1)
    assert await bucket.lease(0.55, wanted=10) == (1, 1, 0)


async def test_a_bucket_fills_again_after_the_clock_was_ahead_for_a_moment(
    database_url: str, owner: Any
) -> None:
    bucket = await a_bucket(database_url, owner, per_second=10, burst=20)
    await bucket.lease(3_600, wanted=20)

    granted = [(await bucket.lease(seconds, wanted=20))[0] for seconds in range(10)]

    assert granted[-1] == 9


async def test_a_bucket_of_another_size_holds_no_more_than_that(
    database_url: str, owner: Any
) -> None:
    bucket = await a_bucket(database_url, owner, per_second=100, burst=1_000)
    await bucket.lease(0, wanted=1)

    bucket.per_second, bucket.burst = 1, 4

    assert await bucket.lease(60, wanted=100) == (2, 2, 0)


async def test_a_tenant_and_a_key_are_leased_for_together_and_apart(
    database_url: str, app_database_url: str, owner: Any
) -> None:
    bucket = await a_bucket(database_url, owner, 1, 1)
    tenant_id, api_key_id = TenantId(bucket.tenant_id), an_id(ApiKeyId)
    engine = make_engine(app_database_url, pool_size=1)
    buckets = PostgresTokenBuckets(engine)
    limit = RateLimit(per_second=5, burst=10)
    requests = [
        LeaseRequest(owner_id=owner_id, limit=one, wanted=4)
        for owner_id, one in ((tenant_id.uuid, limit), (api_key_id.uuid, limit.of_key()))
    ]

    of_tenant, of_key = await buckets.lease(tenant_id, CostClass.READ, requests)
    (of_other_class,) = await buckets.lease(tenant_id, CostClass.BULK, requests[:1])
    await engine.dispose()

    assert (of_tenant.tokens, of_tenant.available) == (4, 6)
    assert (of_key.tokens, of_key.available) == (4, 4)
    assert (of_other_class.tokens, of_other_class.available) == (4, 6)


Step = tuple[int, float, int, bool]
"""Which server acts, after how many seconds, how much it wants, and whether it uses it at once."""

STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from([0.0, 0.001, 0.02, 0.1, 0.24, 0.26, 0.5, 1.3]),
        st.integers(1, 60),
        st.booleans(),
    ),
    min_size=5,
    max_size=40,
)


@given(st.integers(1, 40), st.integers(1, 5), STEPS)
@settings(max_examples=40, deadline=None)
async def test_servers_together_never_use_more_than_the_limit_whatever_they_hold(
    database_url: str, owner: Any, per_second: int, seconds: int, steps: Sequence[Step]
) -> None:
    bucket = await a_bucket(database_url, owner, per_second, per_second * seconds)
    servers = [Server() for _ in range(4)]
    used: list[tuple[float, int]] = []
    at = 0.0
    for number, passes, wanted, at_once in steps:
        at += passes
        server = servers[number]
        used.append((at, server.use_all(at)))
        granted, _, _ = await bucket.lease(at, wanted)
        server.tokens, server.good_until = granted, at + LEASE_S
        if at_once:
            used.append((at, server.use_all(at)))

    for begin, (since, _) in enumerate(used):
        total = 0
        for until, number in used[begin:]:
            total += number
            allowed = bucket.burst + ceil((until - since) * per_second)
            assert total <= allowed, (since, until)


@given(st.integers(1, 50), st.lists(st.integers(0, 2), min_size=60, max_size=60))
@settings(max_examples=20, deadline=None)
async def test_who_asks_again_and_again_gets_what_the_limit_allows(
    database_url: str, owner: Any, per_second: int, order: Sequence[int]
) -> None:
    """Nobody starves: three servers that ask every tenth of a second have nearly all of it."""
    bucket = await a_bucket(database_url, owner, per_second, max(2, per_second))
    got = [0, 0, 0]
    for step, server in enumerate(order):
        got[server] += (await bucket.lease(step / 10, wanted=per_second))[0]

    # The bucket is drained at once, and does not fill while all of it may still be in use.
    assert sum(got) >= per_second * 5
    assert sum(got) <= bucket.burst + per_second * 6
