"""ReconciliationAdminService: decode, call one use case, encode."""

from adapters.wire.reconciliation import break_message
from app.rpc.context import Context
from app.rpc.request import named_tenant, next_token, page_of
from app.usecase.reconciliation.read_breaks import ReadBreaks
from reli.reconciliation.v1 import reconciliation_service_pb2 as pb
from reli.reconciliation.v1.reconciliation_service_pb2_grpc import (
    ReconciliationAdminServiceServicer,
)


class ReconciliationAdminServicer(ReconciliationAdminServiceServicer):
    def __init__(self, *, read_breaks: ReadBreaks) -> None:
        self._read_breaks = read_breaks

    async def ListBreaks(
        self, request: pb.ListBreaksRequest, context: Context
    ) -> pb.ListBreaksResponse:
        page = await self._read_breaks.list(named_tenant(request), page_of(request))
        return pb.ListBreaksResponse(
            breaks=[break_message(found) for found in page.items],
            next_page_token=next_token(page),
        )
