"""What every liquidity provider does, whatever its venue.

A venue joins by a `Rig` of its own and one more parameter of the fixture `rig`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from adapters.lp.sandbox.client import LpSessions, open_lp_sessions
from adapters.lp.sandbox.config import SandboxLpConfig
from adapters.lp.sandbox.provider import SandboxLp
from domain.amount import Amount
from domain.ids import AttemptId, LpQuoteRequestId
from domain.side import Side
from domain.trade.outcome import Absent, Filled, NotSent, Rejected, Unknown
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpQuote,
    LpQuoteRequest,
    LpRefused,
    LpStatus,
    LpUnavailable,
)
from tests.support.builders import BTC_NGN, an_id, btc, ngn
from tests.support.sandbox_venue import RunningVenue, a_venue


class Rig(ABC):
    """A provider under test and a hand on its venue.

    Attributes:
        lp: talks to the venue.
        impatient: talks to the same venue, and does not wait long for an execution.
        cut_off: talks to where nothing listens.
    """

    lp: LiquidityProvider
    impatient: LiquidityProvider
    cut_off: LiquidityProvider

    @abstractmethod
    def now(self) -> datetime:
        """Return the venue's clock."""

    @abstractmethod
    async def pass_time(self, lapse: timedelta) -> None:
        """Move the venue's clock."""

    @abstractmethod
    async def give_no_price(self) -> None: ...

    @abstractmethod
    async def reject_orders(self) -> None: ...

    @abstractmethod
    async def lose_answers(self) -> None:
        """Execute the orders that come, and let no answer out."""

    @abstractmethod
    async def lose_orders(self) -> None:
        """Let the connection of an order die before anything is executed."""

    @abstractmethod
    async def hang(self) -> None:
        """Take quote requests and orders, and decide nothing."""

    @abstractmethod
    async def somebody_waits(self) -> None:
        """Return once a request hangs."""

    @abstractmethod
    async def executions(self, client_order_id: AttemptId) -> int:
        """Count what the venue really executed under that id."""


class SandboxRig(Rig):
    def __init__(self, venue: RunningVenue, sessions: LpSessions, *, is_trusted: bool) -> None:
        config = SandboxLpConfig(
            name="alpha",
            url=venue.url,
            deduplicates_client_order_id=is_trusted,
            status_is_authoritative=is_trusted,
        )
        hasty = replace(config, execute_timeout=timedelta(milliseconds=50))
        self.lp = SandboxLp(config, sessions)
        self.impatient = SandboxLp(hasty, sessions)
        self.cut_off = SandboxLp(replace(config, url="http://127.0.0.1:1"), sessions)
        self._venue = venue

    def now(self) -> datetime:
        return self._venue.clock.now()

    async def pass_time(self, lapse: timedelta) -> None:
        self._venue.clock.move(lapse.total_seconds())

    async def give_no_price(self) -> None:
        await self._venue.behave("refuse_quote")

    async def reject_orders(self) -> None:
        await self._venue.behave("reject")

    async def lose_answers(self) -> None:
        await self._venue.behave("cut_after_fill")

    async def lose_orders(self) -> None:
        await self._venue.behave("cut_before_fill")

    async def hang(self) -> None:
        self._venue.clock.hold()
        await self._venue.behave("slow")

    async def somebody_waits(self) -> None:
        await self._venue.clock.somebody_sleeps()

    async def executions(self, client_order_id: AttemptId) -> int:
        return len(await self._venue.executions(str(client_order_id)))


@asynccontextmanager
async def sandbox(data_dir: Path, *, is_trusted: bool) -> AsyncIterator[SandboxRig]:
    async with a_venue(data_dir, deduplicates=is_trusted) as venue, open_lp_sessions() as sessions:
        yield SandboxRig(venue, sessions, is_trusted=is_trusted)


@pytest.fixture(params=["sandbox", "sandbox without de-duplication and authority"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with sandbox(tmp_path, is_trusted=request.param == "sandbox") as sandbox_rig:
        yield sandbox_rig


LONG: Final = timedelta(hours=1)
SIDES: Final = pytest.mark.parametrize("side", list(Side))


def an_ask(side: Side = Side.BUY, fixed: Amount | None = None) -> LpQuoteRequest:
    return LpQuoteRequest(
        id=an_id(LpQuoteRequestId), instrument=BTC_NGN, side=side, fixed=fixed or btc("0.02")
    )


async def executed(
    lp: LiquidityProvider, quote: LpQuote, attempt: AttemptId, side: Side = Side.BUY
) -> ExecutionOutcome:
    return await lp.execute(
        client_order_id=attempt,
        reference=quote.reference,
        instrument=BTC_NGN,
        side=side,
        base=quote.base,
        quote=quote.quote,
    )


async def status_of(
    lp: LiquidityProvider, quote: LpQuote, attempt: AttemptId, side: Side = Side.BUY
) -> LpStatus:
    return await lp.get_status(
        client_order_id=attempt,
        instrument=BTC_NGN,
        side=side,
        lp_quote_expires_at=quote.expires_at,
    )


@SIDES
async def test_a_price_for_a_base_amount_keeps_it_to_the_last_digit(rig: Rig, side: Side) -> None:
    quote = await rig.lp.request_quote(an_ask(side, btc("0.02000001")))

    assert quote.base == btc("0.02000001")
    assert quote.quote.asset == BTC_NGN.quote
    assert quote.quote.is_positive


@SIDES
async def test_a_price_for_a_quote_amount_keeps_it_to_the_last_digit(rig: Rig, side: Side) -> None:
    quote = await rig.lp.request_quote(an_ask(side, ngn("250000.01")))

    assert quote.quote == ngn("250000.01")
    assert quote.base.asset == BTC_NGN.base
    assert quote.base.is_positive


async def test_buying_costs_more_than_selling_brings(rig: Rig) -> None:
    bought = await rig.lp.request_quote(an_ask(Side.BUY))
    sold = await rig.lp.request_quote(an_ask(Side.SELL))

    assert sold.quote < bought.quote


async def test_a_price_can_be_executed_for_some_time(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())

    assert quote.expires_at > rig.now()


async def test_a_venue_that_gives_no_price_has_refused(rig: Rig) -> None:
    await rig.give_no_price()

    with pytest.raises(LpRefused):
        await rig.lp.request_quote(an_ask())


async def test_a_venue_that_cannot_be_reached_is_unavailable(rig: Rig) -> None:
    with pytest.raises(LpUnavailable):
        await rig.cut_off.request_quote(an_ask())


async def test_a_request_for_a_price_can_be_canceled_and_repeated(rig: Rig) -> None:
    await rig.hang()
    asking = asyncio.create_task(rig.lp.request_quote(an_ask()))
    await rig.somebody_waits()
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking


@SIDES
async def test_an_execution_fills_both_amounts_as_quoted(rig: Rig, side: Side) -> None:
    quote = await rig.lp.request_quote(an_ask(side))
    attempt = an_id(AttemptId)

    outcome = await executed(rig.lp, quote, attempt, side)

    assert isinstance(outcome, Filled)
    assert (outcome.base, outcome.quote) == (quote.base, quote.quote)
    assert await rig.executions(attempt) == 1


@SIDES
async def test_the_status_of_a_fill_is_the_same_fill(rig: Rig, side: Side) -> None:
    quote = await rig.lp.request_quote(an_ask(side))
    attempt = an_id(AttemptId)
    outcome = await executed(rig.lp, quote, attempt, side)

    status = await status_of(rig.lp, quote, attempt, side)

    assert isinstance(outcome, Filled)
    assert isinstance(status, Filled)
    assert status.venue_order_id == outcome.venue_order_id
    assert (status.base, status.quote) == (outcome.base, outcome.quote)


async def test_an_order_sent_twice_is_executed_once_only_where_the_venue_deduplicates(
    rig: Rig,
) -> None:
    quote = await rig.lp.request_quote(an_ask())
    attempt = an_id(AttemptId)

    first = await executed(rig.lp, quote, attempt)
    second = await executed(rig.lp, quote, attempt)

    assert isinstance(first, Filled)
    assert isinstance(second, Filled)
    is_once = rig.lp.capabilities.deduplicates_client_order_id
    assert await rig.executions(attempt) == (1 if is_once else 2)
    assert (second.venue_order_id == first.venue_order_id) is is_once


async def test_a_rejected_order_was_not_executed(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())
    attempt = an_id(AttemptId)
    await rig.reject_orders()

    outcome = await executed(rig.lp, quote, attempt)

    assert isinstance(outcome, Rejected)
    assert not outcome.lp_quote_expired
    assert await rig.executions(attempt) == 0
    assert not isinstance(await status_of(rig.lp, quote, attempt), Filled)


async def test_an_order_on_an_expired_quote_is_rejected_for_that(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())
    attempt = an_id(AttemptId)
    await rig.pass_time(quote.expires_at - rig.now() + timedelta(seconds=2))

    outcome = await executed(rig.lp, quote, attempt)

    assert isinstance(outcome, Rejected)
    assert outcome.lp_quote_expired
    assert await rig.executions(attempt) == 0


async def test_an_order_that_could_not_be_sent_is_not_sent(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())

    outcome = await executed(rig.cut_off, quote, an_id(AttemptId))

    assert isinstance(outcome, NotSent)


async def test_a_fill_whose_answer_is_lost_is_unknown_until_the_status_tells(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())
    attempt = an_id(AttemptId)
    await rig.lose_answers()

    outcome = await executed(rig.lp, quote, attempt)

    assert isinstance(outcome, Unknown)
    assert await rig.executions(attempt) == 1
    status = await status_of(rig.lp, quote, attempt)
    assert isinstance(status, Filled)
    assert (status.base, status.quote) == (quote.base, quote.quote)


async def test_a_lost_order_stays_unknown_while_it_may_still_show_up(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())
    attempt = an_id(AttemptId)
    await rig.lose_orders()

    outcome = await executed(rig.lp, quote, attempt)

    assert isinstance(outcome, Unknown)
    assert isinstance(await status_of(rig.lp, quote, attempt), Unknown)
    await rig.pass_time(quote.expires_at - rig.now() + rig.lp.capabilities.visibility_window)
    assert isinstance(await status_of(rig.lp, quote, attempt), Unknown)


async def test_a_lost_order_is_absent_at_last_where_the_status_has_authority(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())
    attempt = an_id(AttemptId)
    await rig.lose_orders()
    await executed(rig.lp, quote, attempt)
    await rig.pass_time(LONG)

    status = await status_of(rig.lp, quote, attempt)

    has_authority = rig.lp.capabilities.status_is_authoritative
    assert isinstance(status, Absent if has_authority else Unknown)
    assert await rig.executions(attempt) == 0


async def test_a_fill_is_found_however_late_the_status_is_asked(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())
    attempt = an_id(AttemptId)
    await rig.lose_answers()
    await executed(rig.lp, quote, attempt)
    await rig.pass_time(LONG)

    assert isinstance(await status_of(rig.lp, quote, attempt), Filled)


async def test_an_order_that_is_not_answered_in_time_is_unknown(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())
    await rig.hang()

    outcome = await executed(rig.impatient, quote, an_id(AttemptId))

    assert isinstance(outcome, Unknown)


async def test_an_execution_can_be_canceled_by_its_caller(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())
    await rig.hang()
    executing = asyncio.create_task(executed(rig.lp, quote, an_id(AttemptId)))
    await rig.somebody_waits()
    executing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await executing


async def test_the_status_of_a_venue_that_cannot_be_reached_is_unknown(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())
    await rig.pass_time(LONG)

    assert isinstance(await status_of(rig.cut_off, quote, an_id(AttemptId)), Unknown)


async def test_all_evidence_is_short_and_printable(rig: Rig) -> None:
    quote = await rig.lp.request_quote(an_ask())
    attempt = an_id(AttemptId)

    outcome = await executed(rig.lp, quote, attempt)
    statuses = [await status_of(lp, quote, attempt) for lp in (rig.lp, rig.cut_off)]

    for each in (outcome, *statuses):
        assert 0 < len(each.evidence) <= 500
        assert each.evidence.isprintable()
