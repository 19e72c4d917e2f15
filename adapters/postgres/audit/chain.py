"""The chain: every entry in its place, as it was when it got there, up to the last signature."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from uuid import UUID

from adapters.postgres.audit.probe import ConnectionProbe, SqlProbe, Tally, distrusted
from adapters.postgres.chain import checkpoint_of, split_hashes
from domain.ids import EntryId, TenantId
from domain.ledger.chain import NOTHING, ChainHead, leaf_hash
from ports.audit import Check, Finding

PAGE: Final = Check(
    id="I10.page",
    statement="each entry is in exactly one page, recorded when it was, and no page names another",
    source="books: whoever writes entries leaves a page of them; invariant I10",
)
PLACE: Final = Check(
    id="I10.place",
    statement="each tenant's entries have the positions from 1 to its head, checkpoints likewise",
    source="books: positions are given after the commit, without gaps; invariant I10",
)
LEAF: Final = Check(
    id="I10.leaf",
    statement="each chained entry is, in every column, what it was when it was chained",
    source="books: the leaf hash is of the canonical text; invariant I10",
)
CHAIN: Final = Check(
    id="I10.chain",
    statement="each page begins with the hash with which the one before it ends, to the head",
    source="books: a chain hash is of the one before and of the leaf; invariant I10",
)
CHECKPOINT: Final = Check(
    id="I10.checkpoint",
    statement="each checkpoint says what the chain then was, names the one before, and is signed",
    source="books: checkpoints; invariant I10",
)

# What a page names and what was written then are compared by the sums of the ids' hashes; only
# where they differ are entries looked into one by one.
PAGES: Final = SqlProbe(
    checks=(PAGE,),
    counted=("entries",),
    sql=f"""
WITH uneven AS MATERIALIZED (
    SELECT tenant_id, recorded_at
    FROM (
        SELECT tenant_id, recorded_at, count(*) AS entries, sum(uuid_hash_extended(id, 0)) AS ids
        FROM core.entries GROUP BY tenant_id, recorded_at
    ) AS e
    FULL JOIN (
        SELECT tenant_id, recorded_at, count(*) AS entries, sum(uuid_hash_extended(n.id, 0)) AS ids
        FROM core.entry_pages CROSS JOIN LATERAL unnest(entry_ids) AS n (id)
        GROUP BY tenant_id, recorded_at
    ) AS p USING (tenant_id, recorded_at)
    WHERE (e.entries, e.ids) IS DISTINCT FROM (p.entries, p.ids)
), written AS (
    SELECT e.* FROM core.entries AS e JOIN uneven USING (tenant_id, recorded_at)
), named AS (
    SELECT tenant_id, n.id, count(*) AS pages, min(recorded_at) AS recorded_at
    FROM core.entry_pages JOIN uneven USING (tenant_id, recorded_at)
    CROSS JOIN LATERAL unnest(entry_ids) AS n (id)
    GROUP BY tenant_id, n.id
)
SELECT '{PAGE.id}' AS check_id, coalesce(e.tenant_id, n.tenant_id) AS tenant_id,
    'entries' AS in_table, coalesce(e.id, n.id) AS id, '' AS part,
    CASE WHEN e.id IS NULL THEN 'an entry, since a page names it'
        ELSE 'one page recorded at ' || e.recorded_at END AS expected,
    CASE WHEN e.id IS NULL THEN 'no entry' WHEN n.id IS NULL THEN 'no page'
        ELSE format('%s pages, recorded at %s', n.pages, n.recorded_at) END AS found
FROM written AS e FULL JOIN named AS n ON n.tenant_id = e.tenant_id AND n.id = e.id
WHERE e.id IS NULL OR n.pages IS DISTINCT FROM 1 OR n.recorded_at <> e.recorded_at
""",
)

PLACES: Final = SqlProbe(
    checks=(PLACE,),
    counted=("entry_pages", "chain_heads", "checkpoints"),
    sql=f"""
WITH placed AS (
    SELECT tenant_id, first_position, cardinality(entry_ids) AS entries, coalesce(
        lag(first_position + cardinality(entry_ids)) OVER (
            PARTITION BY tenant_id ORDER BY first_position), 1) AS due
    FROM core.entry_pages WHERE first_position IS NOT NULL
), numbered AS (
    SELECT tenant_id, number, entries,
        lag(number, 1, 0::bigint) OVER w + 1 AS due, lag(entries, 1, 0::bigint) OVER w AS covered
    FROM core.checkpoints WINDOW w AS (PARTITION BY tenant_id ORDER BY number)
), ends AS (
    SELECT tenant_id, max(first_position + entries) - 1 AS entries FROM placed GROUP BY tenant_id
), signed AS (
    SELECT tenant_id, max(number) AS number, max(entries) AS entries
    FROM core.checkpoints GROUP BY tenant_id
)
SELECT '{PLACE.id}' AS check_id, tenant_id, 'entry_pages' AS in_table, tenant_id AS id,
    'position ' || first_position AS part, 'position ' || due AS expected,
    'position ' || first_position AS found
FROM placed WHERE first_position <> due
UNION ALL
SELECT '{PLACE.id}', tenant_id, 'checkpoints', tenant_id, 'number ' || number,
    format('number %s over more than %s entries', due, covered),
    format('number %s over %s entries', number, entries)
FROM numbered WHERE number <> due OR entries <= covered
UNION ALL
SELECT '{PLACE.id}', coalesce(h.tenant_id, e.tenant_id, s.tenant_id), 'chain_heads',
    coalesce(h.tenant_id, e.tenant_id, s.tenant_id), '',
    format('%s entries, %s of them in %s checkpoints', coalesce(e.entries, 0),
        coalesce(s.entries, 0), coalesce(s.number, 0)),
    coalesce(format('%s entries, %s of them in %s checkpoints', h.entries, h.checkpointed,
        h.checkpoints), 'no head')
FROM core.chain_heads AS h
FULL JOIN ends AS e ON e.tenant_id = h.tenant_id
FULL JOIN signed AS s ON s.tenant_id = coalesce(h.tenant_id, e.tenant_id)
WHERE (h.entries, h.checkpointed, h.checkpoints) IS DISTINCT FROM
    (coalesce(e.entries, 0), coalesce(s.entries, 0), coalesce(s.number, 0))
""",
)

_AT_ONCE: Final = 4_096
"""Positions whose entries are read by one statement."""

_BOOKS: Final = """
SELECT t.tenant_id, h.entries, h.hash, h.peaks
FROM (
    SELECT DISTINCT tenant_id FROM core.entry_pages WHERE first_position IS NOT NULL
    UNION SELECT tenant_id FROM core.chain_heads UNION SELECT tenant_id FROM core.checkpoints
) AS t LEFT JOIN core.chain_heads AS h ON h.tenant_id = t.tenant_id
ORDER BY t.tenant_id
"""

_CHECKPOINTS: Final = """
SELECT c.*, k.public_key FROM core.checkpoints AS c
LEFT JOIN core.signing_keys AS k ON k.id = c.key_id
WHERE c.tenant_id = $1 ORDER BY c.number
"""

_STARTS: Final = """
SELECT first_position FROM core.entry_pages
WHERE tenant_id = $1 AND first_position >= $2 ORDER BY first_position LIMIT 1
"""

_CHAINED: Final = """
WITH page AS MATERIALIZED (
    SELECT first_position, entry_ids, leaves, hash_before FROM core.entry_pages
    WHERE tenant_id = $1 AND first_position >= $2 AND first_position < $2 + $3
)
SELECT array_agg(first_position ORDER BY first_position) AS positions,
    array_agg(cardinality(entry_ids) ORDER BY first_position) AS entries,
    array_agg(leaves ORDER BY first_position) AS leaves,
    array_agg(hash_before ORDER BY first_position) AS hashes,
    core.entry_texts($1, ARRAY(
        SELECT n.id FROM page AS p
        CROSS JOIN LATERAL unnest(p.entry_ids) WITH ORDINALITY AS n (id, place)
        ORDER BY p.first_position, n.place)) AS texts
FROM page
"""

_ENTRY_AT: Final = """
SELECT entry_ids[$3] FROM core.entry_pages WHERE tenant_id = $1 AND first_position = $2
"""


class ChainProbe(ConnectionProbe):
    """Hashes every chained entry again, in the order of the chain.

    A leaf that is wrong is told once: what follows is judged by the leaves as they are kept.
    """

    checks = (LEAF, CHAIN, CHECKPOINT)

    async def examine(self, connection: Any) -> Sequence[Finding]:
        tallies = {check.id: Tally() for check in self.checks}
        for row in await connection.fetch(_BOOKS):
            await _Book(connection, row["tenant_id"], tallies).examine(row)
        return [tallies[check.id].finding(check) for check in self.checks]


class _Book:
    """One tenant's chain, read from its beginning."""

    def __init__(self, connection: Any, tenant: UUID, tallies: dict[str, Tally]) -> None:
        self._connection = connection
        self._tenant = tenant
        self._name = str(TenantId(tenant))
        self._leaf, self._chain = tallies[LEAF.id], tallies[CHAIN.id]
        self._checkpoint = tallies[CHECKPOINT.id]
        self._head = ChainHead()

    async def examine(self, row: Any) -> None:
        checkpoints = await self._connection.fetch(_CHECKPOINTS, self._tenant)
        self._checkpoint.looked_at += len(checkpoints)
        ends = {one["entries"]: one for one in checkpoints}
        async for position, entries, leaves, hash_before, texts in self._pages():
            self._chain.looked_at += 1
            if hash_before != self._head.hash:
                self._chain.add(
                    self._tenant,
                    "entry_pages",
                    f"{self._name} position {position}",
                    expected=f"hash {self._head.hash.hex()}",
                    found=f"hash {hash_before.hex()}",
                )
            await self._compare(position, entries, leaves, texts)
            self._head, _ = self._head.extended(split_hashes(leaves))
            if one := ends.pop(self._head.entries, None):
                self._judge(one)
        for one in ends.values():
            self._distrust(one, f"a page that ends with entry {one['entries']}", "none")
        self._previous(checkpoints)
        kept = (row["hash"], row["peaks"])
        if row["hash"] is not None and kept != (self._head.hash, b"".join(self._head.tree.peaks)):
            self._chain.add(
                self._tenant,
                "chain_heads",
                self._name,
                expected=f"hash {self._head.hash.hex()} and its tree",
                found=f"hash {row['hash'].hex()}, or another tree",
            )

    async def _pages(self) -> AsyncIterator[tuple[int, int, bytes, bytes, list[bytes]]]:
        fetch = self._connection.fetchrow
        position = await self._connection.fetchval(_STARTS, self._tenant, 1)
        while position is not None:
            batch = await fetch(_CHAINED, self._tenant, position, _AT_ONCE)
            texts = batch["texts"].split(b"\n")
            at = 0
            for first, entries, leaves, hash_before in zip(
                batch["positions"], batch["entries"], batch["leaves"], batch["hashes"], strict=True
            ):
                yield first, entries, leaves, hash_before, texts[at : at + entries]
                at += entries
            last = batch["positions"][-1]
            position = await self._connection.fetchval(_STARTS, self._tenant, last + 1)

    async def _compare(
        self, position: int, entries: int, leaves: bytes, texts: Sequence[bytes]
    ) -> None:
        self._leaf.looked_at += entries
        hashes = [leaf_hash(text) if text else NOTHING for text in texts]
        if b"".join(hashes) == leaves and b"" not in texts:
            return
        kept = split_hashes(leaves)
        for place, (text, hash) in enumerate(zip(texts, hashes, strict=True), start=1):
            leaf = kept[place - 1] if place <= len(kept) else b""
            if hash != leaf or not text:
                id = await self._connection.fetchval(_ENTRY_AT, self._tenant, position, place)
                self._leaf.add(
                    self._tenant,
                    "entries",
                    f"{EntryId(id)} position {position + place - 1}",
                    expected=f"leaf {leaf.hex()}",
                    found=f"leaf {hash.hex()}" if text else "no such entry",
                )

    def _judge(self, row: Any) -> None:
        head, key = self._head, row["public_key"]
        if (row["chain_hash"], row["root"]) != (head.hash, head.tree.root()):
            self._distrust(
                row,
                f"chain hash {head.hash.hex()}, root {head.tree.root().hex()}",
                f"chain hash {row['chain_hash'].hex()}, root {row['root'].hex()}",
            )
        if wrong := distrusted(row, checkpoint_of(row).checkpoint.signed_text(), public_key=key):
            self._distrust(row, *wrong)

    def _previous(self, checkpoints: Sequence[Any]) -> None:
        previous = NOTHING
        for row in checkpoints:
            if row["previous"] != previous:
                named = row["previous"].hex()
                self._distrust(row, f"previous {previous.hex()}", f"previous {named}")
            previous = checkpoint_of(row).checkpoint.digest()

    def _distrust(self, row: Any, expected: str, found: str) -> None:
        self._checkpoint.add(
            self._tenant,
            "checkpoints",
            f"{self._name} number {row['number']}",
            expected=expected,
            found=found,
        )


PROBES: Final = (PAGES, PLACES, ChainProbe())
"""What must hold in the chain: by SQL where rows are counted, here where they are hashed."""
