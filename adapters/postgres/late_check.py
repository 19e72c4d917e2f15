"""Attempts that are to be looked at again, over all tenants and within one."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.lease import is_free
from adapters.postgres.scope import Scope
from adapters.postgres.trade import noted_steps
from adapters.postgres.write import write_rows
from domain.ids import TenantId, TradeId
from domain.trade.errors import StaleLease
from domain.trade.late_check import LateCheck
from domain.trade.trade import Trade
from ports.late_check import LateCheckLease, LateCheckQueue, LateChecks

_ADD = """
INSERT INTO core.late_checks (tenant_id, trade_id, attempt, concluded_at, due_at)
VALUES ($1, $2, $3, $4, $5)
"""

_GET = """
SELECT * FROM core.late_checks
WHERE tenant_id = $1 AND trade_id = $2 AND attempt = $3 AND token = $4 FOR UPDATE
"""

_SAVE = """
UPDATE core.late_checks SET due_at = $5, looks = $6, unanswered = $7, leased_until = core.now()
WHERE tenant_id = $1 AND trade_id = $2 AND attempt = $3 AND token = $4
RETURNING true
"""

_CLAIM = f"""
UPDATE core.late_checks AS c SET leased_until = core.now() + $2::interval, token = c.token + 1
FROM (
    SELECT tenant_id, trade_id, attempt FROM core.late_checks
    WHERE due_at <= core.now() AND {is_free("$2")}
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
) AS due
WHERE c.tenant_id = due.tenant_id AND c.trade_id = due.trade_id AND c.attempt = due.attempt
RETURNING c.tenant_id, c.trade_id, c.attempt, c.token
"""


class PostgresLateChecks(LateChecks):
    """Late checks of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def add(self, check: LateCheck) -> None:
        await self._scope.driver.execute(
            _ADD,
            self._scope.tenant,
            check.trade_id.uuid,
            check.attempt,
            check.concluded_at,
            check.due_at,
        )

    async def get(self, lease: LateCheckLease) -> LateCheck:
        row = await self._scope.driver.fetchrow(_GET, *self._key(lease))
        if row is None:
            raise _stale(lease)
        return LateCheck(
            trade_id=TradeId(row["trade_id"]),
            attempt=row["attempt"],
            concluded_at=row["concluded_at"],
            due_at=row["due_at"],
            looks=row["looks"],
            unanswered=row["unanswered"],
        )

    async def save(self, check: LateCheck, lease: LateCheckLease) -> None:
        is_saved = await self._scope.driver.fetchval(
            _SAVE, *self._key(lease), check.due_at, check.looks, check.unanswered
        )
        if not is_saved:
            raise _stale(lease)

    async def note_fill(self, trade: Trade) -> None:
        await write_rows(self._scope, [noted_steps(trade)])

    def _key(self, lease: LateCheckLease) -> tuple[Any, ...]:
        assert lease.tenant_id == self._scope.tenant_id
        return self._scope.tenant, lease.trade_id.uuid, lease.attempt, lease.token


class PostgresLateCheckQueue(LateCheckQueue):
    """The queue over all tenants; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def claim(self, *, limit: int, lease_for: timedelta) -> Sequence[LateCheckLease]:
        async with borrowed_driver(self._engine) as driver:
            rows = await driver.fetch(_CLAIM, limit, lease_for)
        return [
            LateCheckLease(
                tenant_id=TenantId(row["tenant_id"]),
                trade_id=TradeId(row["trade_id"]),
                attempt=row["attempt"],
                token=row["token"],
            )
            for row in rows
        ]


def _stale(lease: LateCheckLease) -> StaleLease:
    return StaleLease("somebody else looks at the attempt", trade_id=lease.trade_id)
