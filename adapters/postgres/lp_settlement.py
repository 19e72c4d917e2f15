"""Settlements with LPs."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from adapters.postgres.scope import Scope, page_of
from domain.ids import AccountId, ApiKeyId, EntryId, LpSettlementId
from domain.liquidity.lp_settlement import (
    LpPosition,
    LpSettlement,
    LpSettlementLeg,
    LpSettlementNotFound,
    LpSettlementOpen,
    LpSettlementState,
)
from ports.lp_settlement import LpSettlementRepository
from ports.page import Page, PageRequest

# The account of the book is the other side of what an LP has for us.
_POSITIONS = """
SELECT id, owner, asset, debits_posted - credits_posted AS units FROM core.accounts
WHERE tenant_id = $1 AND kind = 'lp' AND ($2 = '' OR owner = $2) ORDER BY owner, asset
"""

_SETTLED_UNTIL = """
SELECT max(ended_at) FROM core.lp_settlements
WHERE tenant_id = $1 AND lp = $2 AND state = 'settled'
"""

_ADD = """
INSERT INTO core.lp_settlements (tenant_id, id, lp, rail, as_of, state, note, proposed_by,
    proposed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

_ADD_LEG = """
INSERT INTO core.lp_settlement_legs (tenant_id, settlement_id, asset, units)
VALUES ($1, $2, $3, $4)
"""

_BOOK_LEG = """
UPDATE core.lp_settlement_legs SET entry_id = $4
WHERE tenant_id = $1 AND settlement_id = $2 AND asset = $3
"""

_GET = "SELECT * FROM core.lp_settlements WHERE tenant_id = $1 AND id = $2"

_LEGS = """
SELECT * FROM core.lp_settlement_legs
WHERE tenant_id = $1 AND settlement_id = ANY($2) ORDER BY settlement_id, asset
"""

_SAVE = """
UPDATE core.lp_settlements SET state = $3, approved_by = $4, approved_at = $5, reference = $6,
    evidence = $7, ended_by = $8, ended_at = $9
WHERE tenant_id = $1 AND id = $2
"""

_LIST = """
SELECT * FROM core.lp_settlements
WHERE tenant_id = $1 AND ($2 = '' OR lp = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
"""


class PostgresLpSettlements(LpSettlementRepository):
    """Settlements of the tenant in scope, which is the house."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def positions(self, *, lp: str = "") -> Sequence[LpPosition]:
        rows = await self._scope.driver.fetch(_POSITIONS, self._scope.tenant, lp)
        return [
            LpPosition(
                row["owner"],
                self._scope.amount(row["asset"], int(row["units"])),
                AccountId(row["id"]),
            )
            for row in rows
        ]

    async def settled_until(self, lp: str) -> datetime | None:
        until: datetime | None = await self._scope.driver.fetchval(
            _SETTLED_UNTIL, self._scope.tenant, lp
        )
        return until

    async def add(self, settlement: LpSettlement) -> None:
        try:
            await self._scope.driver.execute(
                _ADD,
                self._scope.tenant,
                settlement.id.uuid,
                settlement.lp,
                settlement.rail,
                settlement.as_of,
                settlement.state,
                settlement.note,
                settlement.proposed_by.uuid,
                settlement.proposed_at,
            )
        except asyncpg.UniqueViolationError as error:
            raise LpSettlementOpen(
                "a settlement of this LP is open; settle or cancel it first", lp=settlement.lp
            ) from error
        await self._scope.driver.executemany(
            _ADD_LEG,
            [
                (
                    self._scope.tenant,
                    settlement.id.uuid,
                    leg.amount.asset.code,
                    leg.amount.units,
                )
                for leg in settlement.legs
            ],
        )

    async def get(self, settlement_id: LpSettlementId, *, lock: bool = False) -> LpSettlement:
        row = await self._scope.driver.fetchrow(
            f"{_GET} FOR UPDATE" if lock else _GET, self._scope.tenant, settlement_id.uuid
        )
        if row is None:
            raise LpSettlementNotFound("no such settlement", lp_settlement_id=settlement_id)
        return _settlement(row, (await self._legs([row["id"]]))[row["id"]])

    async def save(self, settlement: LpSettlement) -> None:
        await self._scope.driver.execute(
            _SAVE,
            self._scope.tenant,
            settlement.id.uuid,
            settlement.state,
            settlement.approved_by.uuid if settlement.approved_by else None,
            settlement.approved_at,
            settlement.reference,
            settlement.evidence,
            settlement.ended_by.uuid if settlement.ended_by else None,
            settlement.ended_at,
        )
        await self._scope.driver.executemany(
            _BOOK_LEG,
            [
                (
                    self._scope.tenant,
                    settlement.id.uuid,
                    leg.amount.asset.code,
                    leg.entry_id.uuid,
                )
                for leg in settlement.legs
                if leg.entry_id is not None
            ],
        )

    async def _legs(self, ids: Sequence[UUID]) -> dict[UUID, list[LpSettlementLeg]]:
        legs: dict[UUID, list[LpSettlementLeg]] = defaultdict(list)
        for row in await self._scope.driver.fetch(_LEGS, self._scope.tenant, ids):
            legs[row["settlement_id"]].append(
                LpSettlementLeg(
                    self._scope.amount(row["asset"], int(row["units"])),
                    EntryId(row["entry_id"]) if row["entry_id"] else None,
                )
            )
        return legs

    async def list(self, page: PageRequest, *, lp: str) -> Page[LpSettlement]:
        rows = await self._scope.driver.fetch(
            _LIST, self._scope.tenant, lp, page.before, page.size + 1
        )
        keys = [row["id"] for row in rows]
        legs = await self._legs(keys)
        return page_of([_settlement(row, legs[row["id"]]) for row in rows], keys, page)


def _settlement(row: Any, legs: Sequence[LpSettlementLeg]) -> LpSettlement:
    return LpSettlement(
        id=LpSettlementId(row["id"]),
        lp=row["lp"],
        rail=row["rail"],
        as_of=row["as_of"],
        legs=tuple(legs),
        note=row["note"],
        proposed_by=ApiKeyId(row["proposed_by"]),
        proposed_at=row["proposed_at"],
        state=LpSettlementState(row["state"]),
        approved_by=ApiKeyId(row["approved_by"]) if row["approved_by"] else None,
        approved_at=row["approved_at"],
        reference=row["reference"],
        evidence=row["evidence"],
        ended_by=ApiKeyId(row["ended_by"]) if row["ended_by"] else None,
        ended_at=row["ended_at"],
    )
