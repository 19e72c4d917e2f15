"""Receipts: made of every trade that ended, signed, and true."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from adapters.postgres.audit.probe import ConnectionProbe, SqlProbe, Tally, distrusted, typeid
from domain.amount import Amount
from domain.asset import Asset
from domain.canonical import instant_text
from domain.ids import CustomerId, EntryId, QuoteId, TenantId, TradeId
from domain.side import Side
from domain.trade.receipt import TYPE
from domain.trade.trade import TradeState
from ports.audit import Check, Finding

SIGNED: Final = Check(
    id="I26.receipt",
    statement="each receipt is signed as it was made, and says what its trade and its evidence say",
    source="trades: receipt",
)
MADE: Final = Check(
    id="I26.made",
    statement="each trade that ended has a receipt, as far as they were made",
    source="trades: receipt; money rules, section 7",
)

_CONSUMER: Final = "receipts"

_RECEIPTS: Final = """
SELECT t.*, r.content, r.evidence, r.signature, r.key_id, k.public_key, b.scale AS base_scale,
    q.scale AS quote_scale
FROM core.receipts AS r
JOIN core.trades AS t ON t.tenant_id = r.tenant_id AND t.id = r.trade_id
JOIN core.instruments AS i ON i.code = t.instrument
JOIN core.assets AS b ON b.code = i.base_asset
JOIN core.assets AS q ON q.code = i.quote_asset
LEFT JOIN core.signing_keys AS k ON k.id = r.key_id
"""


class ReceiptProbe(ConnectionProbe):
    """Looks at every receipt beside its trade and the evidence that is kept with it."""

    checks = (SIGNED,)

    async def examine(self, connection: Any) -> Sequence[Finding]:
        tally = Tally()
        async for row in connection.cursor(_RECEIPTS, prefetch=500):
            tally.looked_at += 1
            if wrong := _what_is_wrong(row):
                id = str(TradeId(row["id"]))
                tally.add(row["tenant_id"], "receipts", id, expected=wrong[0], found=wrong[1])
        return [tally.finding(SIGNED)]


def _what_is_wrong(row: Any) -> tuple[str, str] | None:
    """Return what was expected of a receipt and what was found, or None if it holds."""
    if wrong := distrusted(row, row["content"], public_key=row["public_key"]):
        return wrong
    if row["ended_at"] is None:
        return "a trade that ended", str(row["state"])
    said, expected = json.loads(row["content"]), _expected(row)
    other = sorted(name for name in expected if said.get(name) != expected[name])
    return (_shown(expected, other), _shown(said, other)) if other else None


def _shown(said: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {said.get(name)}" for name in names)


def _expected(row: Any) -> Mapping[str, Any]:
    """Return what a receipt must say by the rows beside it; its quote may have been put away."""
    base_asset, quote_asset = row["instrument"].split("-")
    base = _amount(base_asset, row["base_scale"], row["base_units"])
    quote = _amount(quote_asset, row["quote_scale"], row["quote_units"])
    is_settled = row["state"] == TradeState.SETTLED
    gives, receives = (quote, base) if row["side"] == Side.BUY else (base, quote)
    final = row["settlement_entry_id"] if is_settled else row["release_entry_id"]
    return {
        "type": TYPE,
        "key_id": row["key_id"],
        "tenant_id": str(TenantId(row["tenant_id"])),
        "trade_id": str(TradeId(row["id"])),
        "quote_id": str(QuoteId(row["quote_id"])),
        "customer_id": str(CustomerId(row["customer_id"])) if row["customer_id"] else "",
        "instrument": row["instrument"],
        "side": row["side"],
        "base": base,
        "quote": quote,
        "accepted_at": instant_text(row["accepted_at"]),
        "ended_at": instant_text(row["ended_at"]),
        "state": row["state"],
        "rejection_reason": row["rejection_reason"],
        "paid": gives if is_settled else None,
        "received": receives if is_settled else None,
        "hold_entry_id": str(EntryId(row["hold_entry_id"])),
        "final_entry_id": str(EntryId(final)),
        "evidence_digest": sha256(row["evidence"]).hexdigest(),
    }


def _amount(code: str, scale: int, units: Decimal) -> Mapping[str, str]:
    return {"asset": code, "value": Amount(Asset(code, scale), int(units)).value}


ALL_MADE: Final = SqlProbe(
    checks=(MADE,),
    counted=("receipts",),
    sql=f"""
SELECT '{MADE.id}' AS check_id, o.tenant_id, 'outbox' AS in_table, o.id, '' AS part,
    'a receipt, or a dead letter' AS expected,
    'neither, and the consumer is at ' || p.sequence AS found
FROM core.consumer_positions AS p
JOIN core.outbox AS o ON o.tenant_id = p.source_tenant_id AND o.sequence <= p.sequence
    AND o.type IN ('trade.settled', 'trade.rejected')
LEFT JOIN (
    SELECT tenant_id, {typeid(TradeId, "trade_id")} AS subject FROM core.receipts
) AS r ON r.tenant_id = o.tenant_id AND r.subject = o.subject
LEFT JOIN core.dead_letters AS d ON d.consumer = p.consumer AND d.event_id = o.id
WHERE p.consumer = '{_CONSUMER}' AND r.subject IS NULL AND d.event_id IS NULL
""",
)

PROBES: Final = (ReceiptProbe(), ALL_MADE)
