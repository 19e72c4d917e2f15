"""AuditService: decode, call one use case, encode."""

from typing import Final

from adapters.wire.amount import read_optional_time
from adapters.wire.audit import audit_record_message
from app.rpc.caller import current_caller
from app.rpc.context import Context
from app.rpc.request import next_token, page_of, text_of
from app.usecase.audit.list_audit_records import ListAuditRecords
from domain.errors import InvalidArgument
from domain.ids import ApiKeyId
from ports.audit_log import AuditFilter
from reli.audit.v1 import audit_service_pb2 as pb
from reli.audit.v1.audit_service_pb2_grpc import AuditServiceServicer

MAX_SUBJECT: Final = 64
SUBJECT: Final = r"[a-z]+_[0-9a-z]{26}"


class AuditServicer(AuditServiceServicer):
    def __init__(self, *, list_audit_records: ListAuditRecords) -> None:
        self._list_audit_records = list_audit_records

    async def ListAuditRecords(
        self, request: pb.ListAuditRecordsRequest, context: Context
    ) -> pb.ListAuditRecordsResponse:
        page = await self._list_audit_records(
            current_caller().tenant_id, page_of(request), _filter(request)
        )
        return pb.ListAuditRecordsResponse(
            audit_records=map(audit_record_message, page.items), next_page_token=next_token(page)
        )


def _filter(request: pb.ListAuditRecordsRequest) -> AuditFilter:
    starts_at = read_optional_time(request, "start_time")
    ends_at = read_optional_time(request, "end_time")
    if starts_at is not None and ends_at is not None and ends_at < starts_at:
        raise InvalidArgument("end_time must not be before start_time", field="end_time")
    return AuditFilter(
        starts_at=starts_at,
        ends_at=ends_at,
        api_key_id=(
            ApiKeyId.parse(request.api_key_id, field="api_key_id") if request.api_key_id else None
        ),
        subject=(
            text_of(request.subject, field="subject", maximum=MAX_SUBJECT, pattern=SUBJECT)
            if request.subject
            else ""
        ),
    )
