"""TradeService and TradeAdminService: decode, call one use case, encode."""

from typing import Any

from adapters.wire.amount import read_positive_amount
from adapters.wire.evidence import evidence_message
from adapters.wire.receipt import receipt_message
from adapters.wire.trade import read_verdict, resolution_message, trade_message
from app.rpc.caller import current_caller
from app.rpc.context import Context
from app.rpc.request import (
    customer_filter,
    money_call_of,
    named_tenant,
    next_token,
    page_of,
    text_of,
)
from app.usecase.trade.list_stuck_trades import ListStuckTrades
from app.usecase.trade.read_evidence import ReadEvidence
from app.usecase.trade.read_trades import ReadTrades
from app.usecase.trade.resolve_trade import ApproveResolution, Finding, ProposeResolution
from domain.errors import InvalidArgument
from domain.ids import ResolutionId, TradeId
from domain.trade.resolution import ResolutionVerdict
from ports.market import Market
from reli.trade.v1 import trade_service_pb2 as pb
from reli.trade.v1.trade_service_pb2_grpc import (
    TradeAdminServiceServicer,
    TradeServiceServicer,
)

MAX_VENUE_ORDER_ID = 64
MAX_EVIDENCE = 500


class TradeServicer(TradeServiceServicer):
    def __init__(self, *, read_trades: ReadTrades, read_evidence: ReadEvidence) -> None:
        self._read_trades = read_trades
        self._read_evidence = read_evidence

    async def GetTrade(self, request: pb.GetTradeRequest, context: Context) -> pb.GetTradeResponse:
        trade = await self._read_trades.get(current_caller().tenant_id, _trade_id(request))
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

    async def GetTradeEvidence(
        self, request: pb.GetTradeEvidenceRequest, context: Context
    ) -> pb.GetTradeEvidenceResponse:
        content = await self._read_evidence.evidence(current_caller().tenant_id, _trade_id(request))
        return pb.GetTradeEvidenceResponse(evidence=evidence_message(content))

    async def GetTradeReceipt(
        self, request: pb.GetTradeReceiptRequest, context: Context
    ) -> pb.GetTradeReceiptResponse:
        receipt = await self._read_evidence.receipt(current_caller().tenant_id, _trade_id(request))
        return pb.GetTradeReceiptResponse(receipt=receipt_message(receipt))


class TradeAdminServicer(TradeAdminServiceServicer):
    def __init__(
        self,
        *,
        read_evidence: ReadEvidence,
        list_stuck_trades: ListStuckTrades,
        propose_resolution: ProposeResolution,
        approve_resolution: ApproveResolution,
        market: Market,
    ) -> None:
        self._read_evidence = read_evidence
        self._list_stuck_trades = list_stuck_trades
        self._propose_resolution = propose_resolution
        self._approve_resolution = approve_resolution
        self._market = market

    async def GetTenantTradeEvidence(
        self, request: pb.GetTenantTradeEvidenceRequest, context: Context
    ) -> pb.GetTenantTradeEvidenceResponse:
        content = await self._read_evidence.evidence(named_tenant(request), _trade_id(request))
        return pb.GetTenantTradeEvidenceResponse(evidence=evidence_message(content))

    async def GetTenantTradeReceipt(
        self, request: pb.GetTenantTradeReceiptRequest, context: Context
    ) -> pb.GetTenantTradeReceiptResponse:
        receipt = await self._read_evidence.receipt(named_tenant(request), _trade_id(request))
        return pb.GetTenantTradeReceiptResponse(receipt=receipt_message(receipt))

    async def ListStuckTrades(
        self, request: pb.ListStuckTradesRequest, context: Context
    ) -> pb.ListStuckTradesResponse:
        page = await self._list_stuck_trades(
            page_of(request, by=int),
            tenant_id=named_tenant(request) if request.tenant_id else None,
        )
        return pb.ListStuckTradesResponse(
            stuck_trades=[
                pb.StuckTrade(tenant_id=str(trade.tenant_id), trade=trade_message(trade))
                for trade in page.items
            ],
            next_page_token=next_token(page),
        )

    async def ProposeResolution(
        self, request: pb.ProposeResolutionRequest, context: Context
    ) -> pb.ProposeResolutionResponse:
        resolution = await self._propose_resolution(
            money_call_of(request).on(named_tenant(request)),
            _trade_id(request),
            await self._finding(request),
        )
        return pb.ProposeResolutionResponse(resolution=resolution_message(resolution))

    async def ApproveResolution(
        self, request: pb.ApproveResolutionRequest, context: Context
    ) -> pb.ApproveResolutionResponse:
        trade = await self._approve_resolution(
            money_call_of(request).on(named_tenant(request)),
            _trade_id(request),
            ResolutionId.parse(request.resolution_id, field="resolution_id"),
        )
        return pb.ApproveResolutionResponse(trade=trade_message(trade))

    async def _finding(self, request: pb.ProposeResolutionRequest) -> Finding:
        verdict = read_verdict(request.verdict)
        is_filled = verdict is ResolutionVerdict.FILLED
        has_fill = request.HasField("filled_amount") or bool(request.venue_order_id)
        if has_fill and not is_filled:
            raise InvalidArgument("only a fill has an amount and an order", field="filled_amount")
        assets = (await self._market.catalogue()).assets
        return Finding(
            verdict=verdict,
            venue_order_id=(
                text_of(request.venue_order_id, field="venue_order_id", maximum=MAX_VENUE_ORDER_ID)
                if is_filled
                else ""
            ),
            filled_amount=(
                read_positive_amount(request.filled_amount, assets, field="filled_amount")
                if is_filled
                else None
            ),
            evidence=text_of(request.evidence, field="evidence", maximum=MAX_EVIDENCE),
        )


def _trade_id(request: Any) -> TradeId:
    return TradeId.parse(request.trade_id, field="trade_id")
