"""Liabilities: the latest sheets are made of the leaves that are kept, and signed."""

from collections.abc import Sequence
from typing import Any, Final

from adapters.postgres.audit.probe import ConnectionProbe, Tally, distrusted
from adapters.postgres.liability import sheet_of
from domain.asset import Asset
from domain.ids import TenantId
from domain.ledger.liability import (
    BLOCK,
    CustomerBalance,
    LiabilitiesRefused,
    SumNode,
    leaf_node,
    sum_root,
)
from ports.audit import Check, Finding

SHEET: Final = Check(
    id="I25.sheet",
    statement="each latest sheet of liabilities is the tree over its leaves, and is signed",
    source="books: proof of liabilities",
)
TOTAL: Final = Check(
    id="I25.total",
    statement="while customers' accounts have no further posting, their sheet has their sum",
    source="books: a sheet has all balances of one snapshot",
)

_SHEETS: Final = """
SELECT s.*, t.scale, k.public_key, c.number AS known_checkpoint,
    a.customers AS customers_now, a.postings AS postings_now, a.total AS total_now
FROM (
    SELECT DISTINCT ON (tenant_id, asset) * FROM core.liability_sheets
    ORDER BY tenant_id, asset, number DESC
) AS s
JOIN core.assets AS t ON t.code = s.asset
LEFT JOIN core.signing_keys AS k ON k.id = s.key_id
LEFT JOIN core.checkpoints AS c ON c.tenant_id = s.tenant_id AND c.number = s.checkpoint
LEFT JOIN (
    SELECT tenant_id, asset, count(*) AS customers, sum(version) AS postings,
        sum(credits_posted - debits_posted) AS total
    FROM core.accounts WHERE kind = 'customer' GROUP BY tenant_id, asset
) AS a ON a.tenant_id = s.tenant_id AND a.asset = s.asset
ORDER BY s.tenant_id, s.asset
"""

_BLOCKS: Final = """
SELECT * FROM core.liability_blocks WHERE tenant_id = $1 AND asset = $2 AND number = $3
ORDER BY block
"""


class LiabilityProbe(ConnectionProbe):
    """Puts the tree of each latest sheet together again."""

    checks = (SHEET, TOTAL)

    async def examine(self, connection: Any) -> Sequence[Finding]:
        rows = await connection.fetch(_SHEETS)
        tallies = {check.id: Tally(looked_at=len(rows)) for check in self.checks}
        for row in rows:
            of_sheet = (row["tenant_id"], "liability_sheets", _name(row))
            if wrong := await _what_is_wrong(connection, row):
                tallies[SHEET.id].add(*of_sheet, expected=wrong[0], found=wrong[1])
            now = (row["customers_now"], row["postings_now"])
            as_made = f"total {row['total']} of {row['customers']} customers"
            if now[0] is None or now[0] < row["customers"]:
                found = f"{now[0] or 0} accounts"
                tallies[TOTAL.id].add(*of_sheet, expected=as_made, found=found)
            elif now == (row["customers"], row["postings"]) and row["total_now"] != row["total"]:
                total = f"total {row['total_now']} of as many, without a posting since"
                tallies[TOTAL.id].add(*of_sheet, expected=as_made, found=total)
        return [tallies[check.id].finding(check) for check in self.checks]


async def _what_is_wrong(connection: Any, row: Any) -> tuple[str, str] | None:
    """Return what was expected of a sheet and what was found, or None if it holds."""
    secret: bytes = row["secret"]
    roots: list[SumNode] = []
    customers, last = 0, ""
    async for block in connection.cursor(_BLOCKS, row["tenant_id"], row["asset"], row["number"]):
        names = list(block["customers"])
        if block["block"] != len(roots) or customers != len(roots) * BLOCK:
            return f"block {len(roots)} after full ones", f"block {block['block']}"
        if [last, *names] != sorted({last, *names}) or block["first_customer"] != names[0]:
            return f"customers in order in block {len(roots)}", "another order"
        balances = map(CustomerBalance, names, map(int, block["units"]))
        try:
            node = sum_root([leaf_node(balance, secret) for balance in balances])
        except LiabilitiesRefused as refused:
            return "balances that can be summed", str(refused)
        kept = SumNode(block["root"], int(block["total"]))
        if node != kept:
            return f"block {len(roots)} with {_text(node)}", _text(kept)
        roots.append(node)
        customers, last = customers + len(names), names[-1]
    sheet = sheet_of(row, Asset(row["asset"], row["scale"]))
    said = SumNode(sheet.root, sheet.total.units)
    if not roots or (sum_root(roots), customers) != (said, sheet.customers):
        found = f"{_text(sum_root(roots))} of {customers} customers" if roots else "no leaves"
        return f"{_text(said)} of {sheet.customers} customers", found
    if row["known_checkpoint"] is None:
        return f"checkpoint {sheet.checkpoint}", "none"
    return distrusted(row, sheet.signed_text(), public_key=row["public_key"])


def _name(row: Any) -> str:
    return f"{TenantId(row['tenant_id'])} {row['asset']} number {row['number']}"


def _text(node: SumNode) -> str:
    return f"root {node.hash.hex()}, total {node.units}"


PROBES: Final = (LiabilityProbe(),)
