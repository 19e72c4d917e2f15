"""TradeService: decode, call one use case, encode."""

from adapters.wire.trade import trade_message
from app.rpc.caller import current_caller
from app.rpc.context import Context
from app.rpc.request import customer_filter, next_token, page_of
from app.usecase.trade.read_trades import ReadTrades
from domain.ids import TradeId
from reli.trade.v1 import trade_service_pb2 as pb
from reli.trade.v1.trade_service_pb2_grpc import TradeServiceServicer


class TradeServicer(TradeServiceServicer):
    def __init__(self, *, read_trades: ReadTrades) -> None:
        self._read_trades = read_trades

    async def GetTrade(self, request: pb.GetTradeRequest, context: Context) -> pb.GetTradeResponse:
        trade = await self._read_trades.get(
            current_caller().tenant_id, TradeId.parse(request.trade_id, field="trade_id")
        )
        return pb.GetTradeResponse(trade=trade_message(trade))

    async def ListTrades(
        self, request: pb.ListTradesRequest, context: Context
    ) -> pb.ListTradesResponse:
        page = await self._read_trades.list(
            current_caller().tenant_id,
            page_of(request),
            customer_id=customer_filter(request.customer_id),
        )
        return pb.ListTradesResponse(
            trades=[trade_message(trade) for trade in page.items],
            next_page_token=next_token(page),
        )
