"""Sandbox deposits."""

import asyncpg

from adapters.postgres.errors import violated_constraint
from adapters.postgres.quote import party_of
from adapters.postgres.scope import Scope
from domain.ids import DepositId, EntryId
from domain.tenant.errors import SandboxOnly
from ports.sandbox import Deposit, DepositRepository

_ADD = """
INSERT INTO core.sandbox_deposits (tenant_id, id, customer_id, asset, units, entry_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


class PostgresDeposits(DepositRepository):
    """Sandbox deposits of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, deposit_id: DepositId) -> Deposit:
        row = await self._scope.driver.fetchrow(
            "SELECT * FROM core.sandbox_deposits WHERE tenant_id = $1 AND id = $2",
            self._scope.tenant,
            deposit_id.uuid,
        )
        return Deposit(
            id=deposit_id,
            party=party_of(row),
            amount=self._scope.amount(row["asset"], row["units"]),
            entry_id=EntryId(row["entry_id"]),
            created_at=row["created_at"],
        )

    async def add(self, deposit: Deposit) -> None:
        customer_id = deposit.party.customer_id
        try:
            await self._scope.driver.execute(
                _ADD,
                self._scope.tenant,
                deposit.id.uuid,
                customer_id.uuid if customer_id else None,
                deposit.amount.asset.code,
                deposit.amount.units,
                deposit.entry_id.uuid,
                deposit.created_at,
            )
        except asyncpg.ForeignKeyViolationError as error:
            if violated_constraint(error) != "sandbox_deposits_only_in_sandbox":
                raise
            raise SandboxOnly("this is a live database: deposits are real here") from error
