"""Assets and instruments."""

from adapters.wire.trading_state import TRADING_STATE_MESSAGE
from domain.asset import Asset, Instrument
from domain.trading_state import TradingState
from reli.market.v1 import instrument_pb2


def asset_message(asset: Asset, name: str) -> instrument_pb2.Asset:
    return instrument_pb2.Asset(code=asset.code, scale=asset.scale, display_name=name)


def instrument_message(instrument: Instrument) -> instrument_pb2.Instrument:
    return instrument_pb2.Instrument(
        code=instrument.code,
        base_asset=instrument.base.code,
        quote_asset=instrument.quote.code,
        tolerance_bps=instrument.tolerance_bps,
        open=instrument.trading_state is TradingState.ACTIVE,
        trading_state=TRADING_STATE_MESSAGE[instrument.trading_state],
    )
