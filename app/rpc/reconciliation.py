"""ReconciliationService and ReconciliationAdminService: decode, call one use case, encode."""

from adapters.wire.reconciliation import (
    break_message,
    read_format,
    read_source_kind,
    statement_message,
)
from app.rpc.caller import current_caller
from app.rpc.context import Context
from app.rpc.request import (
    call_without_id,
    money_call_of,
    named_tenant,
    next_token,
    optional_text_of,
    page_of,
    text_of,
)
from app.usecase.reconciliation.assign_break import AssignBreak
from app.usecase.reconciliation.fetch_statement import FetchStatement
from app.usecase.reconciliation.import_statement import ImportStatement, StatementFile
from app.usecase.reconciliation.read_breaks import ReadBreaks
from app.usecase.reconciliation.resolve_break import (
    ApproveBreakResolution,
    Explanation,
    ResolveBreak,
)
from domain.errors import InvalidArgument
from domain.ids import AccountId, BreakId, BreakResolutionId, EntryId
from domain.ledger.close import read_day
from domain.reconciliation.statement import Source
from reli.reconciliation.v1 import reconciliation_service_pb2 as pb
from reli.reconciliation.v1.reconciliation_service_pb2_grpc import (
    ReconciliationAdminServiceServicer,
    ReconciliationServiceServicer,
)

MAX_LP = 31
MAX_OWNER = 64
MAX_NOTE = 500


class ReconciliationServicer(ReconciliationServiceServicer):
    def __init__(self, *, read_breaks: ReadBreaks) -> None:
        self._read_breaks = read_breaks

    async def ListBreaks(
        self, request: pb.ReconciliationServiceListBreaksRequest, context: Context
    ) -> pb.ReconciliationServiceListBreaksResponse:
        page, now = await self._read_breaks.list(current_caller().tenant_id, page_of(request))
        return pb.ReconciliationServiceListBreaksResponse(
            breaks=[break_message(found, now=now) for found in page.items],
            next_page_token=next_token(page),
        )


class ReconciliationAdminServicer(ReconciliationAdminServiceServicer):
    def __init__(
        self,
        *,
        import_statement: ImportStatement,
        fetch_statement: FetchStatement,
        read_breaks: ReadBreaks,
        assign_break: AssignBreak,
        resolve_break: ResolveBreak,
        approve_break_resolution: ApproveBreakResolution,
    ) -> None:
        self._import_statement = import_statement
        self._fetch_statement = fetch_statement
        self._read_breaks = read_breaks
        self._assign_break = assign_break
        self._resolve_break = resolve_break
        self._approve_break_resolution = approve_break_resolution

    async def ImportStatement(
        self, request: pb.ImportStatementRequest, context: Context
    ) -> pb.ImportStatementResponse:
        call = call_without_id().on(named_tenant(request))
        statement = await self._import_statement(
            call.tenant_id,
            StatementFile(
                source=Source(
                    read_source_kind(request.source.kind),
                    text_of(request.source.name, field="source.name", maximum=MAX_OWNER),
                ),
                format=read_format(request.format),
                content=request.content,
            ),
            by=str(call.api_key_id),
            correlation_id=call.correlation_id,
            call=call,
        )
        return pb.ImportStatementResponse(statement=statement_message(statement))

    async def FetchStatement(
        self, request: pb.FetchStatementRequest, context: Context
    ) -> pb.FetchStatementResponse:
        call = call_without_id()
        statement = await self._fetch_statement(
            text_of(request.lp, field="lp", maximum=MAX_LP),
            read_day(request.day),
            by=str(call.api_key_id),
            correlation_id=call.correlation_id,
            call=call,
        )
        return pb.FetchStatementResponse(statement=statement_message(statement))

    async def ListBreaks(
        self, request: pb.ListBreaksRequest, context: Context
    ) -> pb.ListBreaksResponse:
        page, now = await self._read_breaks.list(named_tenant(request), page_of(request))
        return pb.ListBreaksResponse(
            breaks=[break_message(found, now=now) for found in page.items],
            next_page_token=next_token(page),
        )

    async def AssignBreak(
        self, request: pb.AssignBreakRequest, context: Context
    ) -> pb.AssignBreakResponse:
        found, now = await self._assign_break(
            call_without_id().on(named_tenant(request)),
            _break_id(request),
            owner=text_of(request.owner, field="owner", maximum=MAX_OWNER),
            note=optional_text_of(request.note, field="note", maximum=MAX_NOTE),
        )
        return pb.AssignBreakResponse(reconciliation_break=break_message(found, now=now))

    async def ResolveBreak(
        self, request: pb.ResolveBreakRequest, context: Context
    ) -> pb.ResolveBreakResponse:
        found, now = await self._resolve_break(
            money_call_of(request).on(named_tenant(request)),
            _break_id(request),
            _explanation(request),
        )
        return pb.ResolveBreakResponse(reconciliation_break=break_message(found, now=now))

    async def ApproveBreakResolution(
        self, request: pb.ApproveBreakResolutionRequest, context: Context
    ) -> pb.ApproveBreakResolutionResponse:
        found, now = await self._approve_break_resolution(
            money_call_of(request).on(named_tenant(request)),
            _break_id(request),
            BreakResolutionId.parse(request.break_resolution_id, field="break_resolution_id"),
        )
        return pb.ApproveBreakResolutionResponse(reconciliation_break=break_message(found, now=now))


def _break_id(
    request: pb.AssignBreakRequest | pb.ResolveBreakRequest | pb.ApproveBreakResolutionRequest,
) -> BreakId:
    return BreakId.parse(request.break_id, field="break_id")


def _explanation(request: pb.ResolveBreakRequest) -> Explanation:
    note = text_of(request.note, field="note", maximum=MAX_NOTE)
    match request.WhichOneof("explanation"):
        case "linked_entry_id":
            entry_id = EntryId.parse(request.linked_entry_id, field="linked_entry_id")
            return Explanation(linked_entry_id=entry_id, note=note)
        case "linked_break_id":
            break_id = BreakId.parse(request.linked_break_id, field="linked_break_id")
            return Explanation(linked_break_id=break_id, note=note)
        case "counter_account_id":
            account_id = AccountId.parse(request.counter_account_id, field="counter_account_id")
            return Explanation(counter_account_id=account_id, note=note)
        case _:
            raise InvalidArgument("what explains the break is missing", field="explanation")
