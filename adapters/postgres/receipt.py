"""Receipts."""

from collections.abc import Sequence

from adapters.postgres.chain import ADD_KEY
from adapters.postgres.scope import Scope
from domain.ids import TradeId
from domain.trade.receipt import Receipt
from ports.chain import Signer
from ports.receipt import Receipts

_ADD = """
INSERT INTO core.receipts (tenant_id, trade_id, content, evidence, signature, key_id, made_at)
SELECT $1, * FROM unnest($2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::text[],
    $7::timestamptz[])
ON CONFLICT (tenant_id, trade_id) DO NOTHING
"""

_FIND = "SELECT * FROM core.receipts WHERE tenant_id = $1 AND trade_id = $2"


class PostgresReceipts(Receipts):
    """The receipts of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def add(self, receipts: Sequence[Receipt], signer: Signer) -> None:
        if not receipts:
            return
        await self._scope.driver.execute(ADD_KEY, signer.key_id, signer.public_key)
        await self._scope.driver.execute(
            _ADD,
            self._scope.tenant,
            [one.trade_id.uuid for one in receipts],
            [one.content for one in receipts],
            [one.evidence for one in receipts],
            [one.signature for one in receipts],
            [one.key_id for one in receipts],
            [one.made_at for one in receipts],
        )

    async def find(self, trade_id: TradeId) -> Receipt | None:
        row = await self._scope.driver.fetchrow(_FIND, self._scope.tenant, trade_id.uuid)
        if row is None:
            return None
        return Receipt(
            trade_id=trade_id,
            content=bytes(row["content"]),
            evidence=bytes(row["evidence"]),
            key_id=row["key_id"],
            signature=bytes(row["signature"]),
            made_at=row["made_at"],
        )
