"""What a server remembers of leased tokens, with time and the buckets in our hands."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.rpc.failed_attempts import FailedAttempts, TooManyFailedAttempts
from app.rpc.rate_limit import PAUSE_S, RateLimiter
from domain.ids import ApiKeyId, TenantId
from domain.tenant.rate_limit import CostClass
from ports.clock import Clock
from ports.errors import DatabaseUnavailable
from ports.rate_limit import LEASE_S, LeaseRequest, TokenBuckets, TokenLease
from tests.support.builders import an_id
from tests.support.rate_limit import AnyTenant

TENANT = an_id(TenantId)
KEY = an_id(ApiKeyId)
PLENTY = 900
"""More than half of what a tenant's bucket holds."""


@dataclass
class Hand(Clock):
    """A clock that stands still until it is moved."""

    at: float = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Told(TokenBuckets):
    """Gives what it is told to, and notes what it was asked for."""

    gives: int = 10
    left: int = 100
    failure: Exception | None = None
    slow: asyncio.Event | None = None
    asked: list[list[int]] = field(default_factory=list)

    async def lease(
        self, tenant_id: TenantId, cost_class: CostClass, requests: Sequence[LeaseRequest]
    ) -> Sequence[TokenLease]:
        await asyncio.sleep(0)
        self.asked.append([request.wanted for request in requests])
        if self.failure is not None:
            raise self.failure
        if self.slow is not None:
            await self.slow.wait()
        lease = TokenLease(
            tokens=self.gives, available=self.left, wait_s=0.0 if self.gives else 0.02
        )
        return [lease for _ in requests]


@dataclass
class Given:
    """A lease; `used` of its tokens were."""

    asked_at: float
    tokens: int
    used: int = 0


@dataclass
class Held(TokenBuckets):
    """Answers one question after the other, when it is told to."""

    clock: Hand
    given: list[Given] = field(default_factory=list)
    asked: list["asyncio.Future[int]"] = field(default_factory=list)

    async def lease(
        self, tenant_id: TenantId, cost_class: CostClass, requests: Sequence[LeaseRequest]
    ) -> Sequence[TokenLease]:
        asked_at = self.clock.at
        self.asked.append(asyncio.get_running_loop().create_future())
        tokens = await self.asked[-1]
        self.given.append(Given(asked_at, tokens))
        return [TokenLease(tokens=tokens, available=0, wait_s=0.02) for _ in requests]

    def answer(self, tokens: int) -> None:
        for question in self.asked:
            if not question.done():
                question.set_result(tokens)
                return


async def until_asked(buckets: Told, times: int) -> None:
    async with asyncio.timeout(1):
        while len(buckets.asked) < times:  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def buckets() -> Told:
    return Told()


@pytest.fixture
def limiter(buckets: Told, clock: Hand) -> RateLimiter:
    return RateLimiter(buckets, AnyTenant(), clock)


async def admitted(limiter: RateLimiter, api_key_id: ApiKeyId = KEY) -> bool:
    refusal, _ = await limiter.admit(TENANT, api_key_id, CostClass.READ)
    return refusal is None


async def half_of_a_lease_of_plenty(limiter: RateLimiter, buckets: Told, clock: Hand) -> None:
    """Lease of buckets that are more than half full, and let half of its time pass."""
    buckets.left = PLENTY
    await admitted(limiter)
    clock.at += LEASE_S / 2


async def test_while_there_are_tokens_nobody_is_asked(limiter: RateLimiter, buckets: Told) -> None:
    assert [await admitted(limiter) for _ in range(10)] == [True] * 10
    assert len(buckets.asked) == 1

    assert await admitted(limiter)
    assert len(buckets.asked) == 2


async def test_a_lease_is_over_after_a_quarter_of_a_second(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    await admitted(limiter)
    clock.at += LEASE_S

    await admitted(limiter)

    assert len(buckets.asked) == 2


async def test_as_much_is_asked_for_as_was_used_and_never_much_more(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    for _ in range(3):
        for _ in range(buckets.gives):
            await admitted(limiter)
        clock.at += LEASE_S / 2
    clock.at += LEASE_S

    await admitted(limiter)

    tenants = [wanted for wanted, _ in buckets.asked]
    assert tenants == [1, 11, 11, 4]


async def test_all_who_wait_are_asked_for_at_once(limiter: RateLimiter, buckets: Told) -> None:
    assert all(await asyncio.gather(*(admitted(limiter) for _ in range(10))))

    assert len(buckets.asked) == 1


async def test_who_is_refused_is_refused_from_memory_for_a_moment(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    buckets.gives, buckets.left = 0, 0

    assert [await admitted(limiter) for _ in range(50)] == [False] * 50
    assert len(buckets.asked) == 1

    clock.at += PAUSE_S
    buckets.gives = 1
    assert await admitted(limiter)


async def test_of_plenty_the_next_lease_is_there_before_the_last_is_over(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    await half_of_a_lease_of_plenty(limiter, buckets, clock)

    buckets.slow = asyncio.Event()
    async with asyncio.timeout(1):
        assert await admitted(limiter), "nobody waits for the next while the last one lasts"
        await asyncio.sleep(0)
        assert await admitted(limiter)
    buckets.slow.set()
    await limiter.drain()
    clock.at += LEASE_S / 2

    assert await admitted(limiter)
    assert len(buckets.asked) == 2, "it was asked for once"


async def test_of_plenty_the_next_lease_is_there_before_the_last_token_is_used(
    limiter: RateLimiter, buckets: Told
) -> None:
    buckets.left = PLENTY
    for _ in range(buckets.gives - 1):
        await admitted(limiter)
        await limiter.drain()

    assert len(buckets.asked) == 2


async def test_of_plenty_two_are_asked_for_by_who_calls_now_and_then(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    buckets.left = PLENTY
    for _ in range(2):
        await admitted(limiter)
        clock.at += 1

    assert buckets.asked == [[1, 1], [2, 2]]


async def test_of_few_no_token_is_given_up_for_the_next_lease(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    await admitted(limiter)
    clock.at += LEASE_S / 2

    for _ in range(buckets.gives - 1):
        await admitted(limiter)
        await limiter.drain()

    assert len(buckets.asked) == 1


async def test_what_goes_wrong_with_the_next_lease_takes_nothing_of_the_last(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    await half_of_a_lease_of_plenty(limiter, buckets, clock)
    buckets.failure = DatabaseUnavailable("the database cannot be reached")

    assert [await admitted(limiter) for _ in range(buckets.gives - 1)] == [True] * 9
    await limiter.drain()
    with pytest.raises(DatabaseUnavailable):
        await admitted(limiter)


async def test_a_next_lease_of_nothing_takes_nothing_of_the_last(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    await half_of_a_lease_of_plenty(limiter, buckets, clock)
    buckets.gives, buckets.left = 0, 0

    for _ in range(9):
        assert await admitted(limiter)
        await limiter.drain()
    assert not await admitted(limiter)


async def test_a_lease_that_comes_late_is_for_all_who_waited_for_it(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    buckets.slow = asyncio.Event()
    waiting = [asyncio.create_task(admitted(limiter)) for _ in range(buckets.gives)]
    await until_asked(buckets, 1)
    clock.at += 4 * LEASE_S
    buckets.slow.set()

    assert all(await asyncio.gather(*waiting))
    assert len(buckets.asked) == 1


async def test_a_lease_that_comes_late_is_for_who_came_while_it_was_good_and_nobody_later(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    buckets.slow = asyncio.Event()
    came = [asyncio.create_task(admitted(limiter))]
    await until_asked(buckets, 1)
    for passes in (0.9 * LEASE_S, 0.2 * LEASE_S):
        clock.at += passes
        came.append(asyncio.create_task(admitted(limiter)))
        await asyncio.sleep(0)
    buckets.slow.set()
    await asyncio.gather(*came[:2])
    assert len(buckets.asked) == 1

    assert await came[2]
    assert len(buckets.asked) == 2


async def test_who_gives_up_leaves_what_he_asked_for_to_the_others(
    limiter: RateLimiter, buckets: Told
) -> None:
    buckets.slow = asyncio.Event()
    impatient = asyncio.create_task(admitted(limiter))
    await until_asked(buckets, 1)
    waiting = asyncio.create_task(admitted(limiter))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    buckets.slow.set()

    assert await waiting
    assert await admitted(limiter), "the lease still lasts"
    assert len(buckets.asked) == 1


async def test_that_there_is_too_little_is_heard_by_all_who_waited_however_late(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    buckets.gives, buckets.left, buckets.slow = 3, 0, asyncio.Event()
    waiting = [asyncio.create_task(admitted(limiter)) for _ in range(10)]
    await until_asked(buckets, 1)
    clock.at += 4 * LEASE_S
    buckets.slow.set()

    assert await asyncio.gather(*waiting) == [True] * 3 + [False] * 7
    assert len(buckets.asked) == 1


async def test_what_goes_wrong_is_heard_by_all_who_waited_and_who_comes_next_asks_again(
    limiter: RateLimiter, buckets: Told
) -> None:
    buckets.failure = DatabaseUnavailable("the database cannot be reached")
    waiting = [asyncio.create_task(admitted(limiter)) for _ in range(10)]

    heard = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(one) for one in heard] == [DatabaseUnavailable] * 10
    assert len(buckets.asked) == 1
    buckets.failure = None
    assert await admitted(limiter)


@given(
    st.lists(
        st.one_of(
            st.just("come"),
            st.just("give up"),
            st.integers(0, 12).map(lambda tokens: ("answer", tokens)),
            st.sampled_from([0.01, 0.1, 0.2, 0.3, 0.6]).map(lambda passes: ("pass", passes)),
        ),
        min_size=10,
        max_size=80,
    )
)
@settings(deadline=None)
async def test_every_token_is_used_while_its_lease_is_good_by_somebody_who_waits(
    story: Sequence[Any],
) -> None:
    """However slow the answers: each call can be said to have taken its token at an instant between
    its coming and its going on, at which the lease was good. By such instants the buckets count.
    """
    clock = Hand()
    buckets = Held(clock)
    limiter = RateLimiter(buckets, AnyTenant(), clock)
    calls: list[asyncio.Task[None]] = []

    async def call() -> None:
        came_at = clock.at
        if await admitted(limiter):
            lease = buckets.given[-1]
            lease.used += 1
            assert lease.used <= lease.tokens
            assert max(came_at, lease.asked_at) < lease.asked_at + LEASE_S

    for step in story:
        match step:
            case "come":
                calls.append(asyncio.create_task(call()))
            case "give up":
                if waiting := [one for one in calls if not one.done()]:
                    waiting[0].cancel()
            case ("pass", passes):
                clock.at += passes
            case ("answer", tokens):
                buckets.answer(tokens)
        for _ in range(10):
            await asyncio.sleep(0)
    ending = asyncio.gather(*calls, return_exceptions=True)
    while not ending.done() or any(not one.done() for one in buckets.asked):
        buckets.answer(len(calls))
        await asyncio.sleep(0)
    await limiter.drain()

    for one in calls:
        assert one.cancelled() or one.exception() is None


async def test_the_keys_of_a_tenant_share_its_tokens(limiter: RateLimiter, buckets: Told) -> None:
    other = an_id(ApiKeyId)
    await admitted(limiter)

    await admitted(limiter, other)

    assert [len(wanted) for wanted in buckets.asked] == [2, 1], "the tenant's were still there"


async def test_without_the_database_nobody_is_let_in_once_the_lease_is_over(
    limiter: RateLimiter, buckets: Told, clock: Hand
) -> None:
    await admitted(limiter)
    buckets.failure = DatabaseUnavailable("the database cannot be reached")

    assert await admitted(limiter), "the lease still lasts"
    clock.at += LEASE_S
    with pytest.raises(DatabaseUnavailable):
        await admitted(limiter)

    buckets.failure = None
    assert await admitted(limiter)


def test_who_guesses_keys_is_soon_not_looked_up_and_forgiven_slowly(clock: Hand) -> None:
    attempts = FailedAttempts(clock, burst=3)
    attempts.note_success(b"good")
    for _ in range(3):
        attempts.require_patience("192.0.2.1")
        attempts.note_failure("192.0.2.1")

    with pytest.raises(TooManyFailedAttempts):
        attempts.require_patience("192.0.2.1")
    assert attempts.is_good(b"good")
    attempts.require_patience("192.0.2.2")
    clock.at += 1
    attempts.require_patience("192.0.2.1")


def test_no_flood_of_addresses_or_keys_fills_the_memory(
    clock: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.rpc.failed_attempts.MAX_ADDRESSES", 2)
    attempts = FailedAttempts(clock, burst=1)
    for number in range(3):
        attempts.note_failure(f"192.0.2.{number}")

    attempts.require_patience("192.0.2.0")  # the oldest is forgotten
    with pytest.raises(TooManyFailedAttempts):
        attempts.require_patience("192.0.2.2")
