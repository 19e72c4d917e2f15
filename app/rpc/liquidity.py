"""LiquidityAdminService and LpSettlementAdminService: decode, call one use case, encode."""

from typing import Final

from adapters.wire.amount import read_optional_time
from adapters.wire.liquidity import lp_message
from adapters.wire.lp_settlement import lp_position_message, lp_settlement_message
from adapters.wire.trading_state import read_trading_state, trading_state_change_message
from app.rpc.context import Context
from app.rpc.request import (
    call_of,
    money_call_of,
    next_token,
    optional_text_of,
    page_of,
    reason_of,
    text_of,
)
from app.usecase.liquidity.decide_lp_settlement import (
    ApproveLpSettlement,
    CancelLpSettlement,
    SettleLpSettlement,
)
from app.usecase.liquidity.propose_lp_settlement import LpSettlementOrder, ProposeLpSettlement
from app.usecase.liquidity.read_lp_positions import ReadLpPositions
from app.usecase.liquidity.read_lp_settlements import ReadLpSettlements
from app.usecase.liquidity.read_lps import ReadLps
from app.usecase.market.change_trading_state import ChangeTradingState
from domain.ids import LpSettlementId
from reli.liquidity.v1 import liquidity_service_pb2 as pb
from reli.liquidity.v1 import lp_settlement_service_pb2 as settlement_pb
from reli.liquidity.v1.liquidity_service_pb2_grpc import LiquidityAdminServiceServicer
from reli.liquidity.v1.lp_settlement_service_pb2_grpc import LpSettlementAdminServiceServicer

MAX_LP: Final = 64
MAX_RAIL: Final = 31
MAX_NOTE: Final = 500
MAX_REFERENCE: Final = 64
RAIL: Final = r"[a-z][a-z0-9-]*"
REFERENCE: Final = r"(?=[^0-9]*[0-9])[\x21-\x7e]+"
"""One word with a digit, by which reconciliation knows an entry."""


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


class LpSettlementAdminServicer(LpSettlementAdminServiceServicer):
    def __init__(
        self,
        *,
        read_lp_positions: ReadLpPositions,
        read_lp_settlements: ReadLpSettlements,
        propose_lp_settlement: ProposeLpSettlement,
        approve_lp_settlement: ApproveLpSettlement,
        settle_lp_settlement: SettleLpSettlement,
        cancel_lp_settlement: CancelLpSettlement,
    ) -> None:
        self._read_lp_positions = read_lp_positions
        self._read_lp_settlements = read_lp_settlements
        self._propose_lp_settlement = propose_lp_settlement
        self._approve_lp_settlement = approve_lp_settlement
        self._settle_lp_settlement = settle_lp_settlement
        self._cancel_lp_settlement = cancel_lp_settlement

    async def ListLpPositions(
        self, request: settlement_pb.ListLpPositionsRequest, context: Context
    ) -> settlement_pb.ListLpPositionsResponse:
        page = await self._read_lp_positions(page_of(request, by=int), lp=_lp_filter(request))
        return settlement_pb.ListLpPositionsResponse(
            positions=map(lp_position_message, page.items), next_page_token=next_token(page)
        )

    async def ProposeLpSettlement(
        self, request: settlement_pb.ProposeLpSettlementRequest, context: Context
    ) -> settlement_pb.ProposeLpSettlementResponse:
        settlement = await self._propose_lp_settlement(
            money_call_of(request),
            LpSettlementOrder(
                lp=text_of(request.lp, field="lp", maximum=MAX_LP),
                rail=text_of(request.rail, field="rail", maximum=MAX_RAIL, pattern=RAIL),
                as_of=read_optional_time(request, "as_of_time"),
                note=optional_text_of(request.note, field="note", maximum=MAX_NOTE),
            ),
        )
        return settlement_pb.ProposeLpSettlementResponse(
            settlement=lp_settlement_message(settlement)
        )

    async def ApproveLpSettlement(
        self, request: settlement_pb.ApproveLpSettlementRequest, context: Context
    ) -> settlement_pb.ApproveLpSettlementResponse:
        settlement = await self._approve_lp_settlement(
            money_call_of(request), _settlement_id(request)
        )
        return settlement_pb.ApproveLpSettlementResponse(
            settlement=lp_settlement_message(settlement)
        )

    async def SettleLpSettlement(
        self, request: settlement_pb.SettleLpSettlementRequest, context: Context
    ) -> settlement_pb.SettleLpSettlementResponse:
        settlement = await self._settle_lp_settlement(
            money_call_of(request),
            _settlement_id(request),
            reference=text_of(
                request.reference, field="reference", maximum=MAX_REFERENCE, pattern=REFERENCE
            ),
            evidence=text_of(request.evidence, field="evidence", maximum=MAX_NOTE),
        )
        return settlement_pb.SettleLpSettlementResponse(
            settlement=lp_settlement_message(settlement)
        )

    async def CancelLpSettlement(
        self, request: settlement_pb.CancelLpSettlementRequest, context: Context
    ) -> settlement_pb.CancelLpSettlementResponse:
        settlement = await self._cancel_lp_settlement(
            money_call_of(request), _settlement_id(request)
        )
        return settlement_pb.CancelLpSettlementResponse(
            settlement=lp_settlement_message(settlement)
        )

    async def GetLpSettlement(
        self, request: settlement_pb.GetLpSettlementRequest, context: Context
    ) -> settlement_pb.GetLpSettlementResponse:
        settlement = await self._read_lp_settlements.get(_settlement_id(request))
        return settlement_pb.GetLpSettlementResponse(settlement=lp_settlement_message(settlement))

    async def ListLpSettlements(
        self, request: settlement_pb.ListLpSettlementsRequest, context: Context
    ) -> settlement_pb.ListLpSettlementsResponse:
        page = await self._read_lp_settlements.list(page_of(request), lp=_lp_filter(request))
        return settlement_pb.ListLpSettlementsResponse(
            settlements=map(lp_settlement_message, page.items), next_page_token=next_token(page)
        )


def _settlement_id(
    request: settlement_pb.ApproveLpSettlementRequest
    | settlement_pb.SettleLpSettlementRequest
    | settlement_pb.CancelLpSettlementRequest
    | settlement_pb.GetLpSettlementRequest,
) -> LpSettlementId:
    return LpSettlementId.parse(request.lp_settlement_id, field="lp_settlement_id")


def _lp_filter(
    request: settlement_pb.ListLpPositionsRequest | settlement_pb.ListLpSettlementsRequest,
) -> str:
    return optional_text_of(request.lp, field="lp", maximum=MAX_LP)
