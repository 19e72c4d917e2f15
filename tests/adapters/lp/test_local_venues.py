"""All local venues at once, as `reli sandbox venues` runs them, and adapters trading with each."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import TypeAdapter

from adapters.lp.http import open_lp_sessions
from adapters.lp.sandbox.venue import FACES, HOST, VenuePorts, run_venues
from adapters.system.clock import SystemClock
from app.liquidity import connect_lps
from app.settings import LpSettings
from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.ids import AttemptId, LpQuoteRequestId
from domain.side import Side
from domain.trade.outcome import Filled
from ports.liquidity import LiquidityProvider, LpQuoteRequest
from tests.support.builders import BTC, an_id

ZAR: Final = Asset("ZAR", 2)
BTC_ZAR: Final = Instrument(BTC, ZAR)

COMMON: Final = {
    "status_is_authoritative": True,
    "visibility_window_ms": 500,
    "quote_safety_margin_ms": 250,
}


@pytest.fixture
async def venues(tmp_path: Path) -> AsyncIterator[Mapping[str, VenuePorts]]:
    ready: dict[str, VenuePorts] = {}
    everybody = asyncio.Event()

    def note(ports: VenuePorts) -> None:
        ready[ports.venue.name] = ports
        if len(ready) == len(FACES):
            everybody.set()

    task = asyncio.create_task(
        run_venues(tuple(FACES), port_base=None, data_dir=tmp_path, on_ready=note)
    )
    await asyncio.wait_for(everybody.wait(), 10)
    yield ready
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def settings_of(name: str, ports: VenuePorts) -> LpSettings:
    return TypeAdapter[LpSettings](LpSettings).validate_python(
        {
            "name": name,
            "adapter": name,
            "url": f"http://{HOST}:{ports.public}",
            **COMMON,
            **({"deduplicates_client_order_id": True} if name == "sandbox" else {}),
            **ports.venue.face.settings,
        }
    )


async def traded(lp: LiquidityProvider, side: Side, fixed: Amount) -> Filled:
    quote = await lp.request_quote(
        LpQuoteRequest(id=an_id(LpQuoteRequestId), instrument=BTC_ZAR, side=side, fixed=fixed)
    )
    attempt = an_id(AttemptId)
    order: dict[str, Any] = {
        "client_order_id": attempt,
        "reference": quote.reference,
        "instrument": BTC_ZAR,
        "side": side,
    }
    outcome = await lp.execute(**order, base=quote.base, quote=quote.quote)
    status = await lp.get_status(**order, lp_quote_expires_at=quote.expires_at)
    assert isinstance(outcome, Filled)
    assert isinstance(status, Filled)
    assert (status.base, status.quote) == (outcome.base, outcome.quote)
    assert outcome.base == quote.base
    if side is Side.BUY:
        assert outcome.quote <= quote.quote
    else:
        assert quote.quote <= outcome.quote
    return outcome


async def test_every_adapter_trades_with_its_local_venue_by_the_machines_clock(
    venues: Mapping[str, VenuePorts],
) -> None:
    settings = tuple(settings_of(name, ports) for name, ports in venues.items())
    async with open_lp_sessions() as sessions:
        lps = connect_lps(settings, sessions, SystemClock())
        for name, lp in lps.items():
            is_given_only = name == "bybit"
            size = Amount.parse("20000.00", ZAR) if is_given_only else Amount.parse("0.0123", BTC)
            await traded(lp, Side.BUY, size)
            await traded(lp, Side.SELL, Amount.parse("0.0123", BTC))

    assert set(lps) == set(FACES)
    for ports in venues.values():
        assert len(list(ports.venue.book)) == 2
