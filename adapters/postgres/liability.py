"""Sheets of liabilities: the leaves as arrays in a few rows, the tree made here."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.chain import ADD_KEY
from adapters.postgres.engine import borrowed_driver
from adapters.postgres.lease import hold
from adapters.postgres.scope import Scope
from domain.amount import Amount
from domain.asset import Asset
from domain.ids import CustomerId, TenantId
from domain.ledger.liability import (
    BLOCK,
    MAX_CUSTOMERS,
    CustomerBalance,
    KeptLeaf,
    LiabilitiesRefused,
    LiabilitySheet,
    SignedSheet,
    SumNode,
    leaf_node,
    salt_message,
    sum_root,
)
from ports.chain import Signer
from ports.lease import Lease
from ports.liability import LiabilityKeeper, LiabilityStore

_log = logging.getLogger("reli.liability")

_DUE: Final = """
SELECT h.tenant_id, h.checkpoints FROM core.chain_heads AS h
LEFT JOIN core.liability_heads AS l ON l.tenant_id = h.tenant_id
WHERE h.checkpoints > coalesce(l.checkpoint, 0)
    AND coalesce(l.looked_at, '-infinity') <= core.now() - $1::interval
ORDER BY l.looked_at NULLS FIRST LIMIT $2
"""

# The largest sheet takes longer than what others may take.
_SCOPE: Final = """
SET LOCAL app.tenant_id = '{tenant}'; SET LOCAL transaction_timeout = '60s'
"""

_LOOKED: Final = """
INSERT INTO core.liability_heads AS l (tenant_id, checkpoint, looked_at)
VALUES ($1, $2, core.now())
ON CONFLICT (tenant_id) DO UPDATE
SET checkpoint = EXCLUDED.checkpoint, looked_at = EXCLUDED.looked_at
"""

# An account's version says how many postings it has had, and never goes back.
_MOVED: Final = """
SELECT a.asset, t.scale, a.customers, coalesce(s.number, 0) + 1 AS number
FROM (
    SELECT asset, count(*) AS customers, sum(version) AS postings FROM core.accounts
    WHERE tenant_id = $1 AND kind = 'customer' GROUP BY asset
) AS a
JOIN core.assets AS t ON t.code = a.asset
LEFT JOIN LATERAL (
    SELECT number, customers, postings FROM core.liability_sheets
    WHERE tenant_id = $1 AND asset = a.asset ORDER BY number DESC LIMIT 1
) AS s ON true
WHERE (a.customers, a.postings) IS DISTINCT FROM (s.customers, s.postings)
ORDER BY a.asset
"""

# One statement is one snapshot: of all balances, of the clock, and of the checkpoints.
_BALANCES: Final = """
WITH snapshot AS MATERIALIZED (
    SELECT core.now() AS as_of,
        (SELECT max(number) FROM core.checkpoints WHERE tenant_id = $1) AS checkpoint
)
SELECT s.as_of, s.checkpoint, a.owner, a.credits_posted - a.debits_posted AS units, a.version
FROM snapshot AS s CROSS JOIN core.accounts AS a
WHERE a.tenant_id = $1 AND a.kind = 'customer' AND a.asset = $2
ORDER BY a.owner COLLATE "C"
"""

_ADD_SHEET: Final = """
INSERT INTO core.liability_sheets (tenant_id, asset, number, as_of, checkpoint, customers, total,
    root, key_id, signature, secret, postings)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

_ADD_BLOCK: Final = """
INSERT INTO core.liability_blocks (tenant_id, asset, number, block, first_customer, customers,
    units, root, total)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

_DROP_BLOCKS: Final = """
DELETE FROM core.liability_blocks WHERE tenant_id = $1 AND asset = $2 AND number <= $3
"""

_DROP_SHEETS: Final = """
DELETE FROM core.liability_sheets WHERE tenant_id = $1 AND asset = $2 AND number <= $3
"""

_FIND: Final = """
WITH sheet AS MATERIALIZED (
    SELECT * FROM core.liability_sheets WHERE tenant_id = $1 AND asset = $2
    ORDER BY number DESC LIMIT 1
), roots AS (
    SELECT array_agg(b.root ORDER BY b.block) AS hashes,
        array_agg(b.total ORDER BY b.block) AS totals
    FROM core.liability_blocks AS b
    WHERE b.tenant_id = $1 AND b.asset = $2 AND b.number = (SELECT number FROM sheet)
)
SELECT s.*, r.hashes, r.totals, l.block, l.customers AS names, l.units
FROM sheet AS s CROSS JOIN roots AS r CROSS JOIN LATERAL (
    SELECT b.block, b.customers, b.units FROM core.liability_blocks AS b
    WHERE b.tenant_id = $1 AND b.asset = $2 AND b.number = s.number AND b.first_customer <= $3
    ORDER BY b.block DESC LIMIT 1
) AS l
"""


class PostgresLiabilityKeeper(LiabilityKeeper):
    """Its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def make_sheets(
        self, lease: Lease, signer: Signer, *, at_least_every: timedelta, keep: int, limit: int
    ) -> bool:
        async with borrowed_driver(self._engine) as driver:
            due = await driver.fetch(_DUE, at_least_every, limit)
            for row in due:
                if not await _look_at(driver, lease, signer, row, keep):
                    return False
        return len(due) == limit


class PostgresLiabilities(LiabilityStore):
    """The sheets of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def find(self, customer_id: CustomerId, asset: str) -> KeptLeaf | None:
        scope = self._scope
        row = await scope.driver.fetchrow(_FIND, scope.tenant, asset, str(customer_id))
        if row is None:
            return None
        return KeptLeaf(
            sheet=SignedSheet(sheet_of(row, scope.asset(asset)), row["signature"]),
            secret=row["secret"],
            block=row["block"],
            balances=list(map(CustomerBalance, row["names"], row["units"])),
            roots=list(map(SumNode, row["hashes"], row["totals"])),
        )


def sheet_of(row: Any, asset: Asset) -> LiabilitySheet:
    """Return the sheet that a row says."""
    return LiabilitySheet(
        tenant_id=TenantId(row["tenant_id"]),
        number=row["number"],
        as_of=row["as_of"],
        checkpoint=row["checkpoint"],
        customers=row["customers"],
        total=Amount(asset, int(row["total"])),
        root=row["root"],
        key_id=row["key_id"],
    )


async def _look_at(driver: Any, lease: Lease, signer: Signer, due: Any, keep: int) -> bool:
    """Make the sheets of a tenant, as far as there is something new; return whether we might.

    A transaction each: whoever has many customers in many assets goes on where it was when the
    lease ran out.
    """
    tenant = due["tenant_id"]
    async with driver.transaction():
        await driver.execute(_SCOPE.format(tenant=tenant))
        moved = await driver.fetch(_MOVED, tenant)
    for row in moved:
        try:
            async with driver.transaction():
                if not await hold(driver, lease):
                    return False
                await driver.execute(_SCOPE.format(tenant=tenant))
                await _make_sheet(driver, signer, tenant, row, keep)
        except LiabilitiesRefused as refused:
            _log.error("no sheet of %s in %s: %s", TenantId(tenant), row["asset"], refused)
    async with driver.transaction():
        if not await hold(driver, lease):
            return False
        await driver.execute(_LOOKED, tenant, due["checkpoints"])
    return True


async def _make_sheet(driver: Any, signer: Signer, tenant: UUID, moved: Any, keep: int) -> None:
    if moved["customers"] > MAX_CUSTOMERS:
        raise LiabilitiesRefused(f"{moved['customers']} customers are more than {MAX_CUSTOMERS}")
    asset, number = Asset(moved["asset"], moved["scale"]), moved["number"]
    secret = sha256(signer.sign(salt_message(TenantId(tenant), asset.code, number))).digest()
    blocks: list[tuple[Sequence[str], Sequence[int]]] = []
    roots: list[SumNode] = []
    customers = postings = 0
    snapshot: Any = None
    cursor = await driver.cursor(_BALANCES, tenant, asset.code)
    while rows := await cursor.fetch(BLOCK):
        snapshot = rows[0]
        names, units = [row["owner"] for row in rows], [row["units"] for row in rows]
        balances = map(CustomerBalance, names, units)
        roots.append(sum_root([leaf_node(balance, secret) for balance in balances]))
        blocks.append((names, units))
        customers += len(rows)
        postings += sum(row["version"] for row in rows)
    root = sum_root(roots)
    sheet = LiabilitySheet(
        tenant_id=TenantId(tenant),
        number=number,
        as_of=snapshot["as_of"],
        checkpoint=snapshot["checkpoint"],
        customers=customers,
        total=Amount(asset, root.units),
        root=root.hash,
        key_id=signer.key_id,
    )
    await driver.execute(ADD_KEY, signer.key_id, signer.public_key)
    await driver.execute(
        _ADD_SHEET,
        *(tenant, asset.code, number, sheet.as_of, sheet.checkpoint, sheet.customers),
        *(root.units, root.hash, signer.key_id, signer.sign(sheet.signed_text()), secret, postings),
    )
    await driver.executemany(
        _ADD_BLOCK,
        [
            (tenant, asset.code, number, place, names[0], names, units, *node)
            for place, ((names, units), node) in enumerate(zip(blocks, roots, strict=True))
        ],
    )
    for statement in (_DROP_BLOCKS, _DROP_SHEETS):
        await driver.execute(statement, tenant, asset.code, number - keep)
