"""Breaks."""

from typing import Any

from adapters.postgres.scope import Scope, page_of
from domain.ids import AttemptId, BreakId, TradeId
from domain.reconciliation.break_ import Break, BreakKind, LateFill
from domain.reconciliation.errors import BreakNotFound
from domain.side import Side
from ports.page import Page, PageRequest
from ports.reconciliation import BreakRepository

_ADD = """
INSERT INTO core.breaks (tenant_id, id, kind, trade_id, asset, units, detail, created_at, attempt,
    venue_order_id, base_units)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""

# The terms of an execution that are not its own are those of its attempt and of its trade.
_SELECT = """
SELECT b.*, t.side, i.base_asset, a.id AS attempt_id, a.lp
FROM core.breaks AS b
JOIN core.trades AS t ON t.tenant_id = b.tenant_id AND t.id = b.trade_id
JOIN core.instruments AS i ON i.code = t.instrument
LEFT JOIN core.attempts AS a ON a.tenant_id = b.tenant_id AND a.trade_id = b.trade_id
    AND a.number = b.attempt
"""

_GET = _SELECT + "WHERE b.tenant_id = $1 AND b.id = $2"

_LIST = f"""
{_SELECT}
WHERE b.tenant_id = $1 AND ($2::uuid IS NULL OR b.id < $2) ORDER BY b.id DESC LIMIT $3
"""


class PostgresBreaks(BreakRepository):
    """Breaks of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def add(self, found: Break) -> None:
        fill = found.late_fill
        await self._scope.driver.execute(
            _ADD,
            self._scope.tenant,
            found.id.uuid,
            found.kind,
            found.trade_id.uuid,
            found.amount.asset.code,
            found.amount.units,
            found.detail,
            found.raised_at,
            fill.attempt if fill else None,
            fill.venue_order_id if fill else "",
            fill.base.units if fill else None,
        )

    async def get(self, break_id: BreakId) -> Break:
        row = await self._scope.driver.fetchrow(_GET, self._scope.tenant, break_id.uuid)
        if row is None:
            raise BreakNotFound("no such break", break_id=break_id)
        return self._break(row)

    async def list(self, page: PageRequest) -> Page[Break]:
        rows = await self._scope.driver.fetch(_LIST, self._scope.tenant, page.before, page.size + 1)
        return page_of([self._break(row) for row in rows], [row["id"] for row in rows], page)

    def _break(self, row: Any) -> Break:
        amount = self._scope.amount(row["asset"], row["units"])
        is_late_fill = row["kind"] == BreakKind.LATE_FILL
        return Break(
            id=BreakId(row["id"]),
            tenant_id=self._scope.tenant_id,
            kind=BreakKind(row["kind"]),
            trade_id=TradeId(row["trade_id"]),
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
        )
