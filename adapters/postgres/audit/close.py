"""Daily closes: each is signed as it was made, and begins where the one before ended."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, NamedTuple
from uuid import UUID

from adapters.postgres.audit.probe import ConnectionProbe, Tally, distrusted
from domain.ids import TenantId
from domain.ledger.close import TYPE
from ports.audit import Check, Finding

SIGNED: Final = Check(
    id="I10.close",
    statement="each daily close is signed as it was made, and begins where the one before ended",
    source="books: daily close",
)

_CLOSES: Final = """
SELECT c.*, k.public_key FROM core.daily_closes AS c
LEFT JOIN core.signing_keys AS k ON k.id = c.key_id
ORDER BY c.tenant_id, c.day
"""

_ONE_DAY: Final = timedelta(days=1)

Ends = Mapping[tuple[str, str], Decimal]


class _Before(NamedTuple):
    tenant_id: UUID
    day: date
    closing: Ends


class CloseProbe(ConnectionProbe):
    """Reads all closes of a book in the order of their days."""

    checks = (SIGNED,)

    async def examine(self, connection: Any) -> Sequence[Finding]:
        tally = Tally()
        before: _Before | None = None
        async for row in connection.cursor(_CLOSES):
            tally.looked_at += 1
            if before is not None and before.tenant_id != row["tenant_id"]:
                before = None
            said = json.loads(row["content"])
            if wrong := _what_is_wrong(row, said, before):
                id = f"{TenantId(row['tenant_id'])} {row['day']}"
                tally.add(row["tenant_id"], "daily_closes", id, expected=wrong[0], found=wrong[1])
            before = _Before(row["tenant_id"], row["day"], _ends(said, "closing"))
        return [tally.finding(SIGNED)]


def _what_is_wrong(row: Any, said: Any, before: _Before | None) -> tuple[str, str] | None:
    """Return what was expected of a close and what was found, or None if it holds."""
    if (digest := sha256(row["content"]).digest()) != row["digest"]:
        return f"content with the digest {row['digest'].hex()}", digest.hex()
    names = (TYPE, row["key_id"] or "", str(TenantId(row["tenant_id"])), row["day"].isoformat())
    if (found := tuple(said.get(name) for name in ("type", "key_id", "tenant_id", "day"))) != names:
        return f"content of {names}", f"{found}"
    if row["key_id"] is not None and (
        wrong := distrusted(row, row["content"], public_key=row["public_key"])
    ):
        return wrong
    if before is None:
        return None
    if row["day"] != before.day + _ONE_DAY:
        return f"the close of {before.day + _ONE_DAY}", f"that of {row['day']}"
    for key, opening in _ends(said, "opening").items():
        if opening != before.closing.get(key, 0):
            return f"opening {key} with {before.closing.get(key, 0)}", f"{opening}"
    return None


def _ends(said: Any, name: str) -> Ends:
    return {(one["kind"], one["asset"]): Decimal(one[name]) for one in said["trial_balance"]}


PROBES: Final = (CloseProbe(),)
