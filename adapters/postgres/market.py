"""The catalogue of assets and instruments, read at most once a second."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.errors import translated
from adapters.postgres.latest import Latest
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
        self._latest = Latest(self._read, clock, max_age_s=MAX_AGE_S)

    async def catalogue(self) -> Catalogue:
        return await self._latest.get()

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
