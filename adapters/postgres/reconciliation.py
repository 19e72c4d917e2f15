"""Breaks."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from adapters.postgres.scope import Scope, page_of
from domain.ids import (
    AccountId,
    ApiKeyId,
    AttemptId,
    BreakId,
    BreakResolutionId,
    EntryId,
    TradeId,
    TransferId,
)
from domain.reconciliation.break_ import Break, BreakKind, LateFill
from domain.reconciliation.errors import BreakNotFound, BreakResolutionNotFound, BreakResolved
from domain.reconciliation.resolution import Adjustment, BreakResolution, ResolutionKind
from domain.reconciliation.statement import Source, SourceKind
from domain.side import Side
from ports.page import Page, PageRequest
from ports.reconciliation import BreakRepository

_ADD = """
INSERT INTO core.breaks (tenant_id, id, kind, trade_id, asset, units, detail, created_at, attempt,
    venue_order_id, base_units, source_kind, source, owner, note)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
"""

# The terms of an execution that are not its own are those of its attempt and of its trade. What is
# in effect outranks what was proposed later.
_SELECT = """
SELECT b.*, t.side, i.base_asset, a.id AS attempt_id, a.lp, r.id AS resolution_id,
    r.kind AS resolution_kind, r.note AS resolution_note, r.linked_entry_id, r.linked_break_id,
    r.counter_account_id, r.entry_id, r.transfer_id, r.proposed_by, r.proposed_at, r.approved_by,
    r.approved_at
FROM core.breaks AS b
LEFT JOIN core.trades AS t ON t.tenant_id = b.tenant_id AND t.id = b.trade_id
LEFT JOIN core.instruments AS i ON i.code = t.instrument
LEFT JOIN core.attempts AS a ON a.tenant_id = b.tenant_id AND a.trade_id = b.trade_id
    AND a.number = b.attempt
LEFT JOIN LATERAL (
    SELECT * FROM core.break_resolutions AS r
    WHERE r.tenant_id = b.tenant_id AND r.break_id = b.id
    ORDER BY (r.kind <> 'adjustment' OR r.approved_by IS NOT NULL) DESC, r.id DESC LIMIT 1
) AS r ON true
"""

_GET = _SELECT + "WHERE b.tenant_id = $1 AND b.id = $2"

_LOCK = "SELECT pg_advisory_xact_lock($1)"

_LIST = f"""
{_SELECT}
WHERE b.tenant_id = $1 AND ($2::uuid IS NULL OR b.id < $2) ORDER BY b.id DESC LIMIT $3
"""

_ASSIGN = "UPDATE core.breaks SET owner = $3, note = $4 WHERE tenant_id = $1 AND id = $2"

_ADD_RESOLUTION = """
INSERT INTO core.break_resolutions (tenant_id, id, break_id, kind, note, linked_entry_id,
    linked_break_id, counter_account_id, proposed_by, proposed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""

_GET_RESOLUTION = """
SELECT r.*, r.id AS resolution_id, r.kind AS resolution_kind, r.note AS resolution_note
FROM core.break_resolutions AS r WHERE tenant_id = $1 AND break_id = $2 AND id = $3
"""

_APPROVE = """
UPDATE core.break_resolutions
SET approved_by = $3, approved_at = $4, entry_id = $5, transfer_id = $6
WHERE tenant_id = $1 AND id = $2 AND approved_by IS NULL
"""


class PostgresBreaks(BreakRepository):
    """Breaks of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def add(self, found: Break) -> None:
        await self._scope.driver.execute(_ADD, self._scope.tenant, *_columns(found))

    async def add_all(self, found: Sequence[Break]) -> None:
        await self._scope.driver.executemany(
            _ADD, [(self._scope.tenant, *_columns(one)) for one in found]
        )

    async def get(self, break_id: BreakId, *, lock: bool = False) -> Break:
        if lock:
            # What is locked is the decision on the break; its row never changes with that.
            key = int.from_bytes(break_id.bytes[8:], signed=True) ^ 1 << 61
            await self._scope.driver.execute(_LOCK, key)
        row = await self._scope.driver.fetchrow(_GET, self._scope.tenant, break_id.uuid)
        if row is None:
            raise BreakNotFound("no such break", break_id=break_id)
        return self._break(row)

    async def list(self, page: PageRequest) -> Page[Break]:
        rows = await self._scope.driver.fetch(_LIST, self._scope.tenant, page.before, page.size + 1)
        return page_of([self._break(row) for row in rows], [row["id"] for row in rows], page)

    async def assign(self, found: Break) -> None:
        await self._scope.driver.execute(
            _ASSIGN, self._scope.tenant, found.id.uuid, found.owner, found.note
        )

    async def add_resolution(self, resolution: BreakResolution) -> None:
        adjustment = resolution.adjustment
        try:
            await self._scope.driver.execute(
                _ADD_RESOLUTION,
                self._scope.tenant,
                resolution.id.uuid,
                resolution.break_id.uuid,
                resolution.kind,
                resolution.note,
                resolution.linked_entry_id.uuid if resolution.linked_entry_id else None,
                resolution.linked_break_id.uuid if resolution.linked_break_id else None,
                adjustment.counter_account_id.uuid if adjustment else None,
                resolution.proposed_by.uuid if resolution.proposed_by else None,
                resolution.proposed_at,
            )
        except asyncpg.UniqueViolationError as error:
            raise _resolved(resolution) from error

    async def get_resolution(
        self, break_id: BreakId, resolution_id: BreakResolutionId
    ) -> BreakResolution:
        row = await self._scope.driver.fetchrow(
            _GET_RESOLUTION, self._scope.tenant, break_id.uuid, resolution_id.uuid
        )
        if row is None:
            raise BreakResolutionNotFound(
                "no such proposal for this break", break_resolution_id=resolution_id
            )
        return _resolution(row, break_id)

    async def approve_resolution(self, resolution: BreakResolution) -> None:
        adjustment = resolution.adjustment
        assert resolution.approved_by is not None and adjustment is not None
        assert adjustment.entry_id is not None and adjustment.transfer_id is not None
        try:
            done = await self._scope.driver.execute(
                _APPROVE,
                self._scope.tenant,
                resolution.id.uuid,
                resolution.approved_by.uuid,
                resolution.approved_at,
                adjustment.entry_id.uuid,
                adjustment.transfer_id.uuid,
            )
        except asyncpg.UniqueViolationError as error:
            raise _resolved(resolution) from error
        if done != "UPDATE 1":
            raise _resolved(resolution)

    def _break(self, row: Any) -> Break:
        amount = self._scope.amount(row["asset"], row["units"])
        is_late_fill = row["kind"] == BreakKind.LATE_FILL
        break_id = BreakId(row["id"])
        return Break(
            id=break_id,
            tenant_id=self._scope.tenant_id,
            kind=BreakKind(row["kind"]),
            trade_id=TradeId(row["trade_id"]) if row["trade_id"] else None,
            amount=amount,
            detail=row["detail"],
            raised_at=row["created_at"],
            late_fill=(
                LateFill(
                    attempt=row["attempt"],
                    attempt_id=AttemptId(row["attempt_id"]),
                    lp=row["lp"],
                    side=Side(row["side"]),
                    venue_order_id=row["venue_order_id"],
                    base=self._scope.amount(row["base_asset"], row["base_units"]),
                    quote=amount,
                )
                if is_late_fill
                else None
            ),
            source=(
                Source(SourceKind(row["source_kind"]), row["source"])
                if row["source_kind"]
                else None
            ),
            owner=row["owner"],
            note=row["note"],
            resolution=_resolution(row, break_id) if row["resolution_id"] else None,
        )


def _columns(found: Break) -> tuple[object, ...]:
    fill = found.late_fill
    return (
        found.id.uuid,
        found.kind,
        found.trade_id.uuid if found.trade_id else None,
        found.amount.asset.code,
        found.amount.units,
        found.detail,
        found.raised_at,
        fill.attempt if fill else None,
        fill.venue_order_id if fill else "",
        fill.base.units if fill else None,
        found.source.kind if found.source else None,
        found.source.name if found.source else None,
        found.owner,
        found.note,
    )


def _resolution(row: Any, break_id: BreakId) -> BreakResolution:
    return BreakResolution(
        id=BreakResolutionId(row["resolution_id"]),
        break_id=break_id,
        kind=ResolutionKind(row["resolution_kind"]),
        note=row["resolution_note"],
        linked_entry_id=EntryId(row["linked_entry_id"]) if row["linked_entry_id"] else None,
        linked_break_id=BreakId(row["linked_break_id"]) if row["linked_break_id"] else None,
        adjustment=(
            Adjustment(
                counter_account_id=AccountId(row["counter_account_id"]),
                entry_id=EntryId(row["entry_id"]) if row["entry_id"] else None,
                transfer_id=TransferId(row["transfer_id"]) if row["transfer_id"] else None,
            )
            if row["counter_account_id"]
            else None
        ),
        proposed_by=ApiKeyId(row["proposed_by"]) if row["proposed_by"] else None,
        proposed_at=row["proposed_at"],
        approved_by=ApiKeyId(row["approved_by"]) if row["approved_by"] else None,
        approved_at=row["approved_at"],
    )


def _resolved(resolution: BreakResolution) -> BreakResolved:
    return BreakResolved("the break was resolved before", break_id=resolution.break_id)
