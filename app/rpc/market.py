"""MarketService: the catalogue, page by page."""

from adapters.wire.market import asset_message, instrument_message
from app.rpc.context import Context
from app.rpc.request import next_token, page_of
from app.usecase.market.read_market import ReadMarket
from reli.market.v1 import market_service_pb2 as pb
from reli.market.v1.market_service_pb2_grpc import MarketServiceServicer


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
