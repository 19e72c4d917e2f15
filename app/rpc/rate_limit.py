"""How often callers may call: a few tokens at a time are leased for a tenant and for a key.

While there are tokens left of a lease, a call costs no more than a look-up in memory. Where there
are plenty, the next lease is asked for while the last one still lasts, so that who calls steadily
never waits for one. Who is told to wait is told from memory too, so that a tenant at its limit
costs the others nothing.

A call is judged by when it came, as if the database had answered at once: it may use a lease that
was not over by then, however late the answer. So each call that is let in took its token at an
instant at which the lease was good, and at which it was waiting.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final
from uuid import UUID

from app.rpc.errors import RateLimited
from domain.errors import DomainError
from domain.ids import ApiKeyId, TenantId
from domain.tenant.rate_limit import CostClass, RateLimit
from ports.clock import Clock
from ports.rate_limit import LEASE_S, LeaseRequest, TokenBuckets, TokenLease
from ports.tenant import SettingsStore

PAUSE_S: Final = 0.05
"""How long a bucket that has less than is wanted is not asked again; it fills meanwhile."""
AHEAD_S: Final = LEASE_S / 2
"""For how long the tokens of a lease are to do; none is lost while calls come half as fast."""
MAX_BUCKETS: Final = 20_000

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Bucket:
    """What this process knows of one bucket.

    Attributes:
        owner: whether it is the tenant's or a key's.
        tokens: how many this process may use, until `good_until`.
        used: how many it used of this lease, which it asked for at `leased_at`.
        available: how many the lease left in the bucket.
        paused_until: until then there is no sense in asking for more.
        policy: the limit, as the field RateLimit-Policy has it.
    """

    owner: str
    owner_id: UUID
    cost_class: CostClass
    limit: RateLimit = field(init=False)
    tokens: int = 0
    good_until: float = 0.0
    used: int = 0
    leased_at: float = 0.0
    available: int = 0
    paused_until: float = 0.0
    policy: str = ""

    @property
    def name(self) -> str:
        return f"{self.cost_class}-{self.owner}"

    @property
    def remaining(self) -> int:
        return self.tokens + self.available

    def may_use(self, now: float) -> bool:
        return self.tokens > 0 and now < self.good_until

    def is_worn(self, now: float) -> bool:
        """Tell whether it is time for the next lease; none is changed for tokens that are dear."""
        if not self._has_plenty(self.limit):
            return False
        is_old = now >= self.good_until - AHEAD_S
        return is_old or (self.used > 1 and 4 * self.tokens <= self.used)

    def _has_plenty(self, limit: RateLimit) -> bool:
        return 2 * self.available >= limit.burst

    def use(self) -> None:
        self.tokens -= 1
        self.used += 1

    def ask(self, limit: RateLimit, now: float, waiting: int) -> LeaseRequest:
        """Ask for what is used in such a time, but for twice the last lease at most.

        Of plenty, one more than is used at once: by the second call it is seen that there are more.
        """
        lately = self.used * AHEAD_S / max(now - self.leased_at, 0.001)
        wanted = min(int(lately), 2 * self.used) + waiting
        least = 2 if self._has_plenty(limit) else 1
        request = LeaseRequest(
            owner_id=self.owner_id,
            limit=limit,
            wanted=max(least, min(wanted, limit.burst)),
        )
        self.limit = limit
        if not self.may_use(now):
            self.tokens = 0
        self.policy = f'"{self.name}";q={limit.burst};w={-(-limit.burst // limit.per_second)}'
        return request

    def take(self, lease: TokenLease, request: LeaseRequest, asked_at: float) -> None:
        self.available = lease.available
        if lease.tokens:
            self.tokens, self.used = lease.tokens, 0
            self.leased_at, self.good_until = asked_at, asked_at + LEASE_S
        if lease.tokens + lease.available < request.wanted:
            self.paused_until = asked_at + max(lease.wait_s, PAUSE_S)

    def state(self, remaining: int) -> Headers:
        """Return what is left and when the bucket is full again, in the words of
        draft-ietf-httpapi-ratelimit-headers and in those that were used before it."""
        limit = self.limit
        full_in_s = max(0, -((remaining - limit.burst) // limit.per_second))
        return (
            ("ratelimit", f'"{self.name}";r={remaining};t={full_in_s}'),
            ("ratelimit-limit", str(limit.burst)),
            ("ratelimit-remaining", str(remaining)),
            ("ratelimit-reset", str(full_in_s)),
        )


@dataclass(slots=True)
class Question:
    """What is asked of the database for all who wait, whoever of them gives up.

    Attributes:
        error: why there is no answer.
    """

    answered: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None


@dataclass(slots=True)
class TenantBucket(Bucket):
    """A tenant's bucket, and who waits for tokens of it or of its keys.

    Attributes:
        question: the one that is asked now; there is one at a time.
    """

    question: Question | None = None
    waiting: int = 0


@dataclass(slots=True)
class Buckets:
    """The two that a call takes from."""

    tenants: TenantBucket
    keys: Bucket

    def use(self) -> Headers:
        """Take a token of each, and tell what is left of the one that is nearer its end."""
        self.tenants.use()
        self.keys.use()
        tighter = self.keys if self.keys.remaining < self.tenants.remaining else self.tenants
        return (self._policy(), *tighter.state(tighter.remaining))

    def worn(self, now: float) -> Sequence[Bucket]:
        return [bucket for bucket in (self.tenants, self.keys) if bucket.is_worn(now)]

    def lacking(self, came_at: float) -> Sequence[Bucket]:
        return [bucket for bucket in (self.tenants, self.keys) if not bucket.may_use(came_at)]

    def refusal(self, empty: Bucket, wait_s: float) -> tuple[RateLimited, Headers]:
        limit = empty.limit
        error = RateLimited(
            f"the {empty.owner} may make {limit.per_second} calls of the class "
            f"{empty.cost_class} a second, {limit.burst} at once",
            retry_after_ms=max(1, ceil(wait_s * 1000)),
            cost_class=empty.cost_class,
            limited=empty.owner,
            per_second=limit.per_second,
            burst=limit.burst,
        )
        retry_after = ("retry-after", str(max(1, ceil(wait_s))))
        return error, (self._policy(), *empty.state(0), retry_after)

    def _policy(self) -> tuple[str, str]:
        return "ratelimit-policy", f"{self.tenants.policy}, {self.keys.policy}"


class RateLimiter:
    """Lets calls in, as often as the terms of their tenant allow.

    Without the database nobody is let in for longer than a lease lasts; then the keys, which are
    in the same database, are not known any more either.
    """

    def __init__(self, buckets: TokenBuckets, settings: SettingsStore, clock: Clock) -> None:
        self._store = buckets
        self._settings = settings
        self._clock = clock
        self._tenants: OrderedDict[tuple[TenantId, CostClass], TenantBucket] = OrderedDict()
        self._known: OrderedDict[tuple[ApiKeyId, CostClass], Buckets] = OrderedDict()
        self._asking: set[asyncio.Task[None]] = set()

    async def admit(
        self, tenant_id: TenantId, api_key_id: ApiKeyId, cost_class: CostClass
    ) -> tuple[RateLimited | None, Headers]:
        """Take a token of the tenant and one of the key, or say why not; and what to tell of it."""
        now = self._clock.monotonic()
        buckets = self._known.get((api_key_id, cost_class))
        if buckets is None:
            buckets = self._meet(tenant_id, api_key_id, cost_class)
        elif buckets.tenants.may_use(now) and buckets.keys.may_use(now):
            headers = buckets.use()
            if buckets.tenants.question is None and (worn := buckets.worn(now)):
                self._ask(tenant_id, buckets.tenants, worn)
            return None, headers
        tenants = buckets.tenants
        tenants.waiting += 1
        try:
            return await self._admit_after_asking(tenant_id, buckets, now)
        finally:
            tenants.waiting -= 1

    async def _admit_after_asking(
        self, tenant_id: TenantId, buckets: Buckets, came_at: float
    ) -> tuple[RateLimited | None, Headers]:
        tenants = buckets.tenants
        while lacking := buckets.lacking(came_at):
            for bucket in lacking:
                if came_at < bucket.paused_until:
                    wait_s = bucket.paused_until - self._clock.monotonic()
                    return buckets.refusal(bucket, wait_s)
            question = tenants.question or self._ask(tenant_id, tenants, lacking)
            await question.answered.wait()
            if question.error is not None:
                raise question.error
        return None, buckets.use()

    def _ask(
        self, tenant_id: TenantId, tenants: TenantBucket, buckets: Sequence[Bucket]
    ) -> Question:
        """Begin to ask for tokens; where nobody waits, nobody hears why there is no answer."""
        tenants.question = Question()
        task = asyncio.create_task(self._hear(tenant_id, tenants, buckets, tenants.question))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return tenants.question

    async def _hear(
        self,
        tenant_id: TenantId,
        tenants: TenantBucket,
        buckets: Sequence[Bucket],
        question: Question,
    ) -> None:
        try:
            await self._lease(tenant_id, tenants, buckets)
        except Exception as error:
            question.error = error
            if not isinstance(error, DomainError):
                raise  # so that the loop tells of it, should nobody wait
        finally:
            tenants.question = None
            question.answered.set()

    async def drain(self) -> None:
        """Wait for what is still asked of the database."""
        if self._asking:
            await asyncio.wait(self._asking)

    async def _lease(
        self, tenant_id: TenantId, tenants: TenantBucket, buckets: Sequence[Bucket]
    ) -> None:
        cost_class = tenants.cost_class
        limit = (await self._settings.get(tenant_id)).settings.rate_limit(cost_class)
        now = self._clock.monotonic()
        requests = [
            bucket.ask(limit if bucket is tenants else limit.of_key(), now, tenants.waiting)
            for bucket in buckets
        ]
        leases = await self._store.lease(tenant_id, cost_class, requests)
        for bucket, request, lease in zip(buckets, requests, leases, strict=True):
            bucket.take(lease, request, now)

    def _meet(self, tenant_id: TenantId, api_key_id: ApiKeyId, cost_class: CostClass) -> Buckets:
        tenants = self._tenants.get((tenant_id, cost_class))
        if tenants is None:
            tenants = TenantBucket("tenant", tenant_id.uuid, cost_class)
            _remember(self._tenants, (tenant_id, cost_class), tenants)
        buckets = Buckets(tenants, Bucket("key", api_key_id.uuid, cost_class))
        _remember(self._known, (api_key_id, cost_class), buckets)
        return buckets


def _remember(known: OrderedDict[Any, Any], name: Any, value: Any) -> None:
    """Keep it; whoever was met first is met again when he comes back."""
    known[name] = value
    if len(known) > MAX_BUCKETS:
        known.popitem(last=False)
