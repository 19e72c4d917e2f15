"""The audit log: written in the change's transaction, numbered after it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.scope import Scope, page_of
from adapters.postgres.write import Write, arrays, write_rows
from adapters.wire.audit import thing_hash
from domain.audit_record import AuditRecord, NewAuditRecord
from domain.ids import ApiKeyId, AuditRecordId
from ports.audit_log import AuditFilter, AuditLog
from ports.bus import Sequencer
from ports.lease import Lease
from ports.page import Page, PageRequest

_SLACK: Final = timedelta(hours=1)
"""Far longer than any record waits for its transaction: by how much its id may be older than it."""
_FIRST: Final = datetime(1970, 1, 2, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 30, tzinfo=UTC)

_RECORDS = arrays(
    "id uuid, api_key_id uuid, is_operator boolean, method text, request_id text, "
    "correlation_id text, subject text, before_hash bytea, after_hash bytea, refusal_reason text"
)
_ADD = f"""
audit_records AS (
    INSERT INTO core.audit_records (tenant_id, id, api_key_id, is_operator, method, request_id,
        correlation_id, subject, before_hash, after_hash, refusal_reason, recorded_at)
    SELECT $1, r.*, core.now()
    FROM {_RECORDS} AS r
)
"""

# By the time in the keys, which are UUIDv7; what is not given does not count.
_LIST = """
SELECT id, coalesce(sequence, 0) AS sequence, recorded_at, api_key_id, is_operator, method,
    request_id, correlation_id, subject, before_hash, after_hash, refusal_reason
FROM core.audit_records
WHERE {}
ORDER BY id DESC LIMIT $2
"""

_NUMBER = "SELECT core.number_audit_records($1, $2, $3)"


class PostgresAuditLog(AuditLog):
    """The audit log of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def add(self, *records: NewAuditRecord) -> None:
        await write_rows(self._scope, [new_audit_records(records)])

    async def list(self, page: PageRequest, wanted: AuditFilter) -> Page[AuditRecord]:
        conditions, arguments = ["tenant_id = $1"], [self._scope.tenant, page.size + 1]

        def require(condition: str, argument: Any) -> None:
            if argument is not None:
                arguments.append(argument)
                conditions.append(condition.format(f"${len(arguments)}"))

        starts_at, ends_at = wanted.starts_at, wanted.ends_at
        require("id < {}", page.before)
        require("recorded_at >= {}", starts_at)
        require("id >= core.uuid_at({})", _moved(starts_at, -_SLACK))
        require("recorded_at < {}", ends_at)
        require("id < core.uuid_at({})", _moved(ends_at, _SLACK))
        require("api_key_id = {}", wanted.api_key_id and wanted.api_key_id.uuid)
        require("subject = {}", wanted.subject or None)
        rows = await self._scope.driver.fetch(_LIST.format(" AND ".join(conditions)), *arguments)
        return page_of([_record(row) for row in rows], [row["id"] for row in rows], page)


def new_audit_records(records: Sequence[NewAuditRecord]) -> Write:
    """Store records of one tenant."""
    arguments = (
        [record.id for record in records],
        [record.api_key_id for record in records],
        [record.is_operator for record in records],
        [record.method for record in records],
        [record.request_id for record in records],
        [record.correlation_id for record in records],
        ["" if record.subject is None else str(record.subject) for record in records],
        [thing_hash(record.before) for record in records],
        [thing_hash(record.after) for record in records],
        [record.refusal_reason for record in records],
    )
    return Write(_ADD, arguments, only_adds=True)


class PostgresAuditNumberer(Sequencer):
    """Numbers set-wise; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def stamp(self, lease: Lease, *, limit: int) -> int:
        async with borrowed_driver(self._engine) as driver:
            numbered: int = await driver.fetchval(_NUMBER, lease.name, lease.token, limit)
        return numbered


def _moved(instant: datetime | None, by: timedelta) -> datetime | None:
    """Return the instant earlier or later, or None where no UUID is of such a time."""
    if instant is None or not _FIRST <= instant <= _LAST:
        return None
    return instant + by


def _record(row: Any) -> AuditRecord:
    return AuditRecord(
        id=AuditRecordId(row["id"]),
        sequence=row["sequence"],
        recorded_at=row["recorded_at"],
        api_key_id=ApiKeyId(row["api_key_id"]),
        is_operator=row["is_operator"],
        method=row["method"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        subject=row["subject"],
        before_hash=row["before_hash"],
        after_hash=row["after_hash"],
        refusal_reason=row["refusal_reason"],
    )
