"""LiquidityAdminService: decode, call one use case, encode."""

from adapters.wire.liquidity import lp_message
from adapters.wire.trading_state import read_trading_state, trading_state_change_message
from app.rpc.context import Context
from app.rpc.request import call_of, next_token, page_of, reason_of, text_of
from app.usecase.liquidity.read_lps import ReadLps
from app.usecase.market.change_trading_state import ChangeTradingState
from reli.liquidity.v1 import liquidity_service_pb2 as pb
from reli.liquidity.v1.liquidity_service_pb2_grpc import LiquidityAdminServiceServicer


class LiquidityAdminServicer(LiquidityAdminServiceServicer):
    def __init__(self, *, read_lps: ReadLps, change_trading_state: ChangeTradingState) -> None:
        self._read_lps = read_lps
        self._change_trading_state = change_trading_state

    async def ListLps(self, request: pb.ListLpsRequest, context: Context) -> pb.ListLpsResponse:
        page = await self._read_lps(page_of(request, by=int))
        return pb.ListLpsResponse(
            lps=[lp_message(lp) for lp in page.items], next_page_token=next_token(page)
        )

    async def SetLpTradingState(
        self, request: pb.SetLpTradingStateRequest, context: Context
    ) -> pb.SetLpTradingStateResponse:
        change = await self._change_trading_state.of_lp(
            call_of(request),
            text_of(request.lp, field="lp", maximum=31),
            read_trading_state(request.trading_state),
            reason_of(request),
        )
        return pb.SetLpTradingStateResponse(change=trading_state_change_message(change))
