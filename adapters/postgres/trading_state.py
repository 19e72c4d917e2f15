"""What may be traded, and who decided it."""

from typing import Any, Final

from adapters.postgres.scope import Scope, page_of
from domain.asset import InstrumentNotFound
from domain.errors import DomainError
from domain.ids import ApiKeyId, TradingStateChangeId
from domain.tenant.errors import TenantNotFound, UnknownLp
from domain.trading_state import Traded, TradedKind, TradingState, TradingStateChange
from ports.page import Page, PageRequest
from ports.trading_state import TradingStates

_GET: Final = {
    TradedKind.INSTRUMENT: "SELECT trading_state FROM core.instruments WHERE code = $1",
    TradedKind.TENANT: "SELECT trading_state FROM core.tenants WHERE tenant_id = $1",
    TradedKind.LP: "SELECT trading_state FROM core.lps WHERE name = $1",
}

_SET: Final = {
    TradedKind.INSTRUMENT: "UPDATE core.instruments SET trading_state = $2 WHERE code = $1",
    TradedKind.TENANT: "UPDATE core.tenants SET trading_state = $2 WHERE tenant_id = $1",
    TradedKind.LP: "UPDATE core.lps SET trading_state = $2 WHERE name = $1",
}

_ADD: Final = """
INSERT INTO core.trading_state_changes (tenant_id, id, kind, name, from_state, to_state, reason,
    changed_by, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

_FIND: Final = "SELECT * FROM core.trading_state_changes WHERE tenant_id = $1 AND id = $2"

_LIST: Final = """
SELECT * FROM core.trading_state_changes
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""


class PostgresTradingStates(TradingStates):
    """Trading states, and the decisions of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, traded: Traded) -> TradingState:
        # What is read is no key of the row, so its readers go on meanwhile.
        query = f"{_GET[traded.kind]} FOR NO KEY UPDATE"
        state = await self._scope.driver.fetchval(query, self._key(traded))
        if state is None:
            raise _missing(traded)
        return TradingState(state)

    async def save(self, change: TradingStateChange) -> None:
        driver, traded = self._scope.driver, change.traded
        await driver.execute(_SET[traded.kind], self._key(traded), change.to_state)
        await driver.execute(
            _ADD,
            self._scope.tenant,
            change.id.uuid,
            traded.kind,
            traded.name,
            change.from_state,
            change.to_state,
            change.reason,
            change.changed_by.uuid,
            change.changed_at,
        )

    async def find(self, id: TradingStateChangeId) -> TradingStateChange:
        row = await self._scope.driver.fetchrow(_FIND, self._scope.tenant, id.uuid)
        assert row is not None
        return _change(row)

    async def list(self, page: PageRequest) -> Page[TradingStateChange]:
        rows = await self._scope.driver.fetch(_LIST, self._scope.tenant, page.before, page.size + 1)
        return page_of([_change(row) for row in rows], [row["id"] for row in rows], page)

    def _key(self, traded: Traded) -> Any:
        return self._scope.tenant if traded.kind is TradedKind.TENANT else traded.name


def _missing(traded: Traded) -> DomainError:
    match traded.kind:
        case TradedKind.INSTRUMENT:
            return InstrumentNotFound("no such instrument", instrument=traded.name)
        case TradedKind.TENANT:
            return TenantNotFound("no such tenant", tenant_id=traded.name)
        case TradedKind.LP:
            return UnknownLp("no LP of that name is connected", lp=traded.name)


def _change(row: Any) -> TradingStateChange:
    return TradingStateChange(
        id=TradingStateChangeId(row["id"]),
        traded=Traded(TradedKind(row["kind"]), row["name"]),
        from_state=TradingState(row["from_state"]),
        to_state=TradingState(row["to_state"]),
        reason=row["reason"],
        changed_by=ApiKeyId(row["changed_by"]),
        changed_at=row["changed_at"],
    )
