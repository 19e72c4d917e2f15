"""Many ask an LP for the same: it is asked once, and never for what is not the same."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.usecase.quote import shared_answers
from app.usecase.quote.shared_answers import SharedAnswers, SharedLpQuote
from domain.amount import Amount
from domain.ids import LpQuoteRequestId
from domain.side import Side
from ports.clock import Clock, DatabaseClock
from ports.liquidity import LpQuote, LpQuoteRequest, LpRefused, LpUnavailable
from ports.price_source import PriceSource
from tests.support.builders import BTC_NGN, ETH_NGN, NOW, an_id, btc, ngn, seconds

GOOD_FOR = timedelta(milliseconds=500)


class HandClock(Clock):
    """Stands still until somebody moves it."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        raise AssertionError("the wall clock decides nothing here")

    def monotonic(self) -> float:
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


class HandDatabaseClock(DatabaseClock):
    """Goes with the other."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock

    async def now(self) -> datetime:
        return NOW + timedelta(seconds=self.clock.passed_s)


@dataclass
class Lp(PriceSource):
    """Answers when `behavior` lets it, and counts what it was asked."""

    behavior: Callable[[], Awaitable[None]] | None = None
    lives: timedelta = timedelta(seconds=9)
    asked: list[LpQuoteRequest] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return "alpha"

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        self.asked.append(request)
        self.was_asked.set()
        number = len(self.asked)
        if self.behavior is not None:
            await self.behavior()
        return LpQuote(
            reference=f"alpha-{number}",
            base=btc("0.01"),
            quote=Amount(BTC_NGN.quote, 150_000_000 + number),
            expires_at=NOW + self.lives,
        )


@dataclass
class Rig:
    clock: HandClock
    lp: Lp
    shared: SharedAnswers

    async def ask(self, **changes: Any) -> SharedLpQuote:
        return await self.shared.request_quote(replace(a_request(), **changes))


def a_request() -> LpQuoteRequest:
    return LpQuoteRequest(
        id=an_id(LpQuoteRequestId), instrument=BTC_NGN, side=Side.BUY, fixed=btc("0.01")
    )


@pytest.fixture
def rig() -> Rig:
    clock, lp = HandClock(), Lp()
    shared = SharedAnswers(
        lp, clock, HandDatabaseClock(clock), good_for=GOOD_FOR, budget=seconds(5)
    )
    return Rig(clock, lp, shared)


def fails_with(error: Exception) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


async def test_all_who_ask_while_the_question_is_under_way_wait_with_the_first(rig: Rig) -> None:
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    rig.lp.behavior = wait
    asking = [asyncio.create_task(rig.ask()) for _ in range(200)]
    await rig.lp.was_asked.wait()
    rig.clock.passed_s = 100.0  # however long it takes
    asking.append(asyncio.create_task(rig.ask()))

    release.set()
    answers = await asyncio.gather(*asking)

    assert len(rig.lp.asked) == 1
    assert {one.reference for one in answers} == {"alpha-1"}
    assert {one.taken_at for one in answers} == {NOW + seconds(100)}


async def test_an_answer_is_shared_for_its_time_from_when_it_was_there(rig: Rig) -> None:
    first = await rig.ask()
    rig.clock.passed_s = 0.499
    second = await rig.ask()
    rig.clock.passed_s = 0.5
    third = await rig.ask()

    assert second is first
    assert (first.reference, first.taken_at) == ("alpha-1", NOW)
    assert (third.reference, third.taken_at) == ("alpha-2", NOW + timedelta(seconds=0.5))


@pytest.mark.parametrize(
    "change",
    [
        {"fixed": btc("0.01000001")},
        {"fixed": ngn("0.01")},
        {"side": Side.SELL},
        {"instrument": ETH_NGN},
    ],
    ids=["size", "asset", "side", "instrument"],
)
async def test_what_differs_in_anything_is_another_question(
    rig: Rig, change: dict[str, Any]
) -> None:
    first, second = await rig.ask(), await rig.ask(**change)

    assert (first.reference, second.reference) == ("alpha-1", "alpha-2")


async def test_an_answer_is_not_shared_for_longer_than_the_lp_keeps_it(rig: Rig) -> None:
    rig.lp.lives = timedelta(milliseconds=200)
    await rig.ask()

    rig.clock.passed_s = 0.199
    assert (await rig.ask()).reference == "alpha-1"
    rig.clock.passed_s = 0.2
    assert (await rig.ask()).reference == "alpha-2"


@pytest.mark.parametrize("error", [LpRefused("no"), LpUnavailable("no"), TimeoutError()])
async def test_a_refusal_is_shared_too(rig: Rig, error: Exception) -> None:
    rig.lp.behavior = fails_with(error)
    for _ in range(3):
        with pytest.raises(type(error)):
            await rig.ask()
    assert len(rig.lp.asked) == 1

    rig.lp.behavior = None
    rig.clock.passed_s = 0.5

    assert (await rig.ask()).reference == "alpha-2"


async def test_who_gives_up_takes_nobody_along(rig: Rig) -> None:
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    rig.lp.behavior = wait
    first, second = (asyncio.create_task(rig.ask()) for _ in range(2))
    await rig.lp.was_asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    release.set()

    assert (await second).reference == "alpha-1"


async def test_a_question_that_takes_too_long_ends_and_may_be_asked_again(rig: Rig) -> None:
    async def for_ever() -> None:
        await asyncio.Event().wait()

    rig.lp.behavior = for_ever
    hasty = SharedAnswers(
        rig.lp,
        rig.clock,
        HandDatabaseClock(rig.clock),
        good_for=GOOD_FOR,
        budget=timedelta(milliseconds=20),
    )

    for _ in range(2):
        with pytest.raises(TimeoutError):
            await hasty.request_quote(a_request())
    rig.clock.passed_s = 0.5
    rig.lp.behavior = None

    assert (await hasty.request_quote(a_request())).reference == "alpha-2"


async def test_no_more_answers_are_kept_than_there_is_room_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_answers, "ANSWERS_MAX", 3)
    sizes = [btc(f"0.0{number}") for number in range(1, 6)]
    for size in sizes:
        await rig.ask(fixed=size)
    assert len(rig.lp.asked) == 5

    for size in sizes[2:]:
        await rig.ask(fixed=size)
    assert len(rig.lp.asked) == 5, "the latest three are known"

    await rig.ask(fixed=sizes[0])
    assert len(rig.lp.asked) == 6


async def test_no_more_questions_are_under_way_than_the_lp_is_to_bear(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_answers, "FLIGHTS_MAX", 2)
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    rig.lp.behavior = wait
    asking = [asyncio.create_task(rig.ask(fixed=btc(size))) for size in ("0.01", "0.02")]
    await rig.lp.was_asked.wait()

    with pytest.raises(LpUnavailable) as caught:
        await rig.ask(fixed=btc("0.03"))
    asking.append(asyncio.create_task(rig.ask(fixed=btc("0.02"))))
    release.set()
    await asyncio.gather(*asking)

    assert caught.value.metadata["cause"] == "TOO_MANY_QUESTIONS"
    assert (await rig.ask(fixed=btc("0.03"))).reference == "alpha-3"
