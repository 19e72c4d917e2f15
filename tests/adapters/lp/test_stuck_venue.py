"""A venue that takes a call and does not answer, or answers without an end, is given up in time."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from adapters.lp.http import open_lp_sessions
from adapters.lp.sandbox.behavior import Behavior
from adapters.lp.sandbox.book import OrderStatus
from adapters.lp.sandbox.venue import HOST, VenuePorts, open_venue
from adapters.system.clock import SystemClock
from app.certify.subject import SUBJECTS
from domain.amount import Amount
from domain.ids import AttemptId, LpQuoteRequestId
from domain.side import Side
from domain.trade.outcome import Unknown
from ports.liquidity import LiquidityProvider, LpQuote, LpQuoteRequest, LpUnavailable
from tests.support.builders import BTC, BTC_NGN, an_id

WITHIN: Final = timedelta(milliseconds=250)
PATIENCE: Final[Mapping[str, timedelta]] = {
    "quote_timeout": WITHIN,
    "execute_timeout": WITHIN,
    "status_timeout": WITHIN,
}


@pytest.fixture(params=["sandbox", "valr"])
async def venue(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[VenuePorts, LiquidityProvider]]:
    subject = SUBJECTS[request.param]
    async with (
        open_lp_sessions() as sessions,
        open_venue(
            name="stuck",
            port=0,
            admin_port=0,
            data_dir=tmp_path,
            position=1,
            face=subject.face,
            clock=SystemClock(),
        ) as ports,
    ):
        url = f"http://{HOST}:{ports.public}"
        yield ports, subject.connect(url, sessions, SystemClock(), **PATIENCE)


async def quoted(lp: LiquidityProvider) -> LpQuote:
    fixed = Amount.parse("0.01", BTC)
    return await lp.request_quote(
        LpQuoteRequest(id=an_id(LpQuoteRequestId), instrument=BTC_NGN, side=Side.BUY, fixed=fixed)
    )


@pytest.mark.parametrize("behavior", [Behavior.STUCK_QUOTE, Behavior.DRIP_QUOTE])
async def test_a_price_that_does_not_come_is_no_price(
    venue: tuple[VenuePorts, LiquidityProvider], behavior: Behavior
) -> None:
    ports, lp = venue
    ports.venue.trading.behavior.set(behavior, 1)

    with pytest.raises(LpUnavailable, match="LP_TIMEOUT"):
        await quoted(lp)

    assert (await quoted(lp)).base == Amount.parse("0.01", BTC)


@pytest.mark.parametrize(
    ("behavior", "executions"), [(Behavior.STUCK, 0), (Behavior.DRIP, 1)], ids=str
)
async def test_an_order_without_a_whole_answer_is_unknown(
    venue: tuple[VenuePorts, LiquidityProvider], behavior: Behavior, executions: int
) -> None:
    ports, lp = venue
    quote = await quoted(lp)
    ports.venue.trading.behavior.set(behavior, 1)

    outcome = await lp.execute(
        client_order_id=an_id(AttemptId),
        reference=quote.reference,
        instrument=BTC_NGN,
        side=Side.BUY,
        base=quote.base,
        quote=quote.quote,
    )

    assert isinstance(outcome, Unknown)
    assert outcome.reason == "LP_TIMEOUT"
    filled = [one for one in ports.venue.book if one.order.status is OrderStatus.FILLED]
    assert len(filled) == executions
