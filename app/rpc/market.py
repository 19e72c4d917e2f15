"""MarketService, the catalogue page by page, and MarketAdminService: what may be traded."""

from typing import Final

from adapters.wire.market import asset_message, instrument_message
from adapters.wire.trading_state import read_trading_state, trading_state_change_message
from app.rpc.context import Context
from app.rpc.request import call_of, named_tenant, next_token, page_of, reason_of, text_of
from app.usecase.market.change_trading_state import ChangeTradingState, ListTradingStateChanges
from app.usecase.market.read_market import ReadMarket
from reli.market.v1 import market_service_pb2 as pb
from reli.market.v1.market_service_pb2_grpc import (
    MarketAdminServiceServicer,
    MarketServiceServicer,
)

MAX_CODE: Final = 33
"""Two codes of assets and a hyphen."""


class MarketServicer(MarketServiceServicer):
    def __init__(self, *, read_market: ReadMarket) -> None:
        self._read_market = read_market

    async def ListAssets(
        self, request: pb.ListAssetsRequest, context: Context
    ) -> pb.ListAssetsResponse:
        page = await self._read_market.assets(page_of(request, by=int))
        return pb.ListAssetsResponse(
            assets=[asset_message(asset, name) for asset, name in page.items],
            next_page_token=next_token(page),
        )

    async def ListInstruments(
        self, request: pb.ListInstrumentsRequest, context: Context
    ) -> pb.ListInstrumentsResponse:
        page = await self._read_market.instruments(page_of(request, by=int))
        return pb.ListInstrumentsResponse(
            instruments=[instrument_message(instrument) for instrument in page.items],
            next_page_token=next_token(page),
        )


class MarketAdminServicer(MarketAdminServiceServicer):
    def __init__(
        self,
        *,
        change_trading_state: ChangeTradingState,
        list_trading_state_changes: ListTradingStateChanges,
    ) -> None:
        self._change_trading_state = change_trading_state
        self._list_trading_state_changes = list_trading_state_changes

    async def SetInstrumentTradingState(
        self, request: pb.SetInstrumentTradingStateRequest, context: Context
    ) -> pb.SetInstrumentTradingStateResponse:
        change = await self._change_trading_state.of_instrument(
            call_of(request),
            text_of(request.instrument, field="instrument", maximum=MAX_CODE),
            read_trading_state(request.trading_state),
            reason_of(request),
        )
        return pb.SetInstrumentTradingStateResponse(change=trading_state_change_message(change))

    async def ListTradingStateChanges(
        self, request: pb.ListTradingStateChangesRequest, context: Context
    ) -> pb.ListTradingStateChangesResponse:
        page = await self._list_trading_state_changes(named_tenant(request), page_of(request))
        return pb.ListTradingStateChangesResponse(
            changes=[trading_state_change_message(change) for change in page.items],
            next_page_token=next_token(page),
        )
