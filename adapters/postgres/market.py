"""The catalogue of assets and instruments, read at most once a second."""

import asyncio

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.errors import translated
from adapters.postgres.tables import ASSETS, INSTRUMENTS
from domain.asset import Asset, Instrument
from domain.trading_state import TradingState
from ports.clock import Clock
from ports.market import Catalogue, Market

MAX_AGE_S = 1.0


class PostgresMarket(Market):
    """Keeps the latest catalogue; a reader never waits for a refresh of a fresh one."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._latest: Catalogue | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def catalogue(self) -> Catalogue:
        if self._latest is None or self._is_stale():
            async with self._reading:
                if self._latest is None or self._is_stale():
                    asked_at = self._clock.monotonic()
                    self._latest = await self._read()
                    self._read_at = asked_at
        return self._latest

    def _is_stale(self) -> bool:
        return self._clock.monotonic() - self._read_at > MAX_AGE_S

    async def _read(self) -> Catalogue:
        with translated():
            async with self._engine.connect() as connection:
                asset_rows = (await connection.execute(select(ASSETS))).all()
                instrument_rows = (await connection.execute(select(INSTRUMENTS))).all()
        assets = {row.code: Asset(row.code, row.scale) for row in asset_rows}
        return Catalogue(
            assets=assets,
            names={row.code: row.display_name for row in asset_rows},
            instruments={
                row.code: Instrument(
                    base=assets[row.base_asset],
                    quote=assets[row.quote_asset],
                    tolerance_bps=row.tolerance_bps,
                    trading_state=TradingState(row.trading_state),
                )
                for row in instrument_rows
            },
        )
