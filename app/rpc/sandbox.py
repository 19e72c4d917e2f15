"""SandboxService: decode, call one use case, encode."""

from adapters.wire.amount import read_positive_amount
from adapters.wire.sandbox import deposit_message
from app.rpc.context import Context
from app.rpc.request import customer_filter, money_call_of
from app.usecase.sandbox.create_deposit import CreateDeposit
from domain.party import Party
from ports.market import Market
from reli.sandbox.v1 import sandbox_service_pb2 as pb
from reli.sandbox.v1.sandbox_service_pb2_grpc import SandboxServiceServicer


class SandboxServicer(SandboxServiceServicer):
    def __init__(self, *, create_deposit: CreateDeposit, market: Market) -> None:
        self._create_deposit = create_deposit
        self._market = market

    async def CreateDeposit(
        self, request: pb.CreateDepositRequest, context: Context
    ) -> pb.CreateDepositResponse:
        assets = (await self._market.catalogue()).assets
        deposit = await self._create_deposit(
            money_call_of(request),
            party=Party(customer_filter(request.customer_id)),
            amount=read_positive_amount(request.amount, assets, field="amount"),
        )
        return pb.CreateDepositResponse(deposit=deposit_message(deposit))
