"""The statements of a sandbox venue go on where the last one ended, and add up."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.lp.http import LpSessions, open_lp_sessions
from adapters.lp.sandbox.config import SandboxLpConfig
from adapters.lp.sandbox.statement import SandboxStatements
from adapters.statement_in.reader import FileReader
from domain.reconciliation.statement import StatementFormat
from ports.liquidity import LpUnavailable
from tests.support.builders import BTC, NGN
from tests.support.sandbox_venue import RunningVenue, a_venue

ASSETS = {"BTC": BTC, "NGN": NGN}


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[RunningVenue]:
    async with a_venue(tmp_path) as running:
        yield running


@pytest.fixture
async def sessions() -> AsyncIterator[LpSessions]:
    async with open_lp_sessions() as opened:
        yield opened


async def executed(venue: RunningVenue, order: str, **fields: str) -> None:
    quote = await venue.quote(**fields)
    status, _ = await venue.order(quote["quote_id"], order)
    assert status == 200


async def statement(venue: RunningVenue, after: str = "") -> dict[str, Any]:
    status, answer = await venue.call("GET", f"/v1/statement?after={after}")
    assert status == 200
    return answer


def balances(answer: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["asset"]: (one["opening"], one["closing"]) for one in answer["balances"]}


async def test_a_statement_tells_what_was_executed_and_what_that_comes_to_for_us(
    venue: RunningVenue,
) -> None:
    await executed(venue, "one")
    await executed(venue, "two", side="sell")

    told = await statement(venue)

    assert [trade["client_order_id"] for trade in told["trades"]] == ["one", "two"]
    bought, sold = (trade["quote_amount"] for trade in told["trades"])
    assert bought > sold
    assert balances(told)["BTC"] == ("0.00000000", "0.00000000")
    assert balances(told)["NGN"][1].startswith("-")


async def test_the_next_statement_goes_on_where_the_last_one_ended(venue: RunningVenue) -> None:
    await executed(venue, "one")
    first = await statement(venue)
    await executed(venue, "two")

    second = await statement(venue, first["position"])
    third = await statement(venue, second["position"])

    assert [trade["client_order_id"] for trade in second["trades"]] == ["two"]
    assert {code: one[0] for code, one in balances(second).items()} == {
        code: one[1] for code, one in balances(first).items()
    }
    assert (third["trades"], third["position"]) == ([], second["position"])
    assert balances(third)["BTC"] == ("0.02000000", "0.02000000")
    assert balances(await statement(venue))["BTC"] == ("0.00000000", "0.02000000")


@pytest.mark.parametrize("after", ["", "x", "beta-0000-1", "alpha-0-1", "-", "-7", "1"])
async def test_an_unknown_position_is_answered_from_the_beginning(
    venue: RunningVenue, after: str
) -> None:
    await executed(venue, "one")

    assert len((await statement(venue, after))["trades"]) == 1


async def test_a_fetched_statement_is_one_that_reads(
    venue: RunningVenue, sessions: LpSessions
) -> None:
    feed = SandboxStatements(SandboxLpConfig(name="alpha", url=venue.url), sessions)
    empty = await feed.fetch("")
    await executed(venue, "one")

    fetched = await feed.fetch("")

    assert (empty.has_lines, fetched.has_lines, fetched.has_more) == (False, True, False)
    parsed = FileReader().read(StatementFormat.JSON, fetched.content, ASSETS)
    parsed.check(feed.source, now=venue.clock.now())
    assert [line.others for line in parsed.lines] == [("one",), ("one",)]


async def test_a_venue_that_cannot_be_asked_is_unavailable(sessions: LpSessions) -> None:
    feed = SandboxStatements(SandboxLpConfig(name="alpha", url="http://127.0.0.1:1"), sessions)

    with pytest.raises(LpUnavailable):
        await feed.fetch("")


async def test_what_answers_but_tells_no_statement_is_unavailable(
    venue: RunningVenue, sessions: LpSessions
) -> None:
    for path in ("/v1/time", "/v1/nothing"):
        feed = SandboxStatements(
            SandboxLpConfig(name="alpha", url=f"{venue.url}{path}?x="), sessions
        )
        with pytest.raises(LpUnavailable):
            await feed.fetch("")
