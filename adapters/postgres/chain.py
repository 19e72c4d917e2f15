"""The chain: pages are written with the entries, get their place after the commit, and stay.

PostgreSQL writes the canonical texts, because it has the rows; the hashes are computed here, where
a SHA-256 costs a fifth of what it costs there.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.lease import held
from adapters.postgres.scope import Scope, page_of
from domain.ids import EntryId, TenantId
from domain.ledger.chain import (
    HASH_BYTES,
    NOTHING,
    ChainHead,
    Checkpoint,
    SignedCheckpoint,
    leaf_hash,
)
from domain.ledger.errors import EntryNotFound
from domain.ledger.merkle import TILE_HASHES, TILE_HEIGHT, CompactRange, Node, Place, perfect_root
from ports.chain import (
    ChainBroken,
    ChainedEntry,
    Chainer,
    ChainPages,
    ChainStore,
    PublicKey,
    Signer,
    SigningKeys,
)
from ports.lease import Lease
from ports.page import Page, PageRequest

_log = logging.getLogger("reli.chain")

_HAS_UNCHAINED = "SELECT EXISTS (SELECT FROM core.entry_pages WHERE first_position IS NULL)"

_UNCHAINED = "SELECT * FROM core.unchained_pages($1)"

_HEADS = "SELECT * FROM core.chain_heads WHERE tenant_id = ANY($1)"

_PLACE_PAGES = """
UPDATE core.entry_pages AS p
SET first_position = c.first_position, leaves = c.leaves, hash_before = c.hash_before
FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::bigint[], $5::bytea[], $6::bytea[])
    AS c (tenant_id, recorded_at, id, first_position, leaves, hash_before)
WHERE p.tenant_id = c.tenant_id AND p.recorded_at = c.recorded_at AND p.id = c.id
    AND p.first_position IS NULL
"""

_MOVE_HEADS = """
INSERT INTO core.chain_heads AS h (tenant_id, entries, hash, peaks)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[])
ON CONFLICT (tenant_id) DO UPDATE
SET entries = EXCLUDED.entries, hash = EXCLUDED.hash, peaks = EXCLUDED.peaks
"""

_ADD_TO_TILES = """
INSERT INTO core.chain_tiles AS t (tenant_id, level, number, hashes)
SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::bytea[])
ON CONFLICT (tenant_id, level, number) DO UPDATE SET hashes = t.hashes || EXCLUDED.hashes
"""

_IS_BEHIND = """
SELECT EXISTS (SELECT FROM core.chain_heads
    WHERE checkpointed < entries AND checkpointed_at <= core.now() - $1::interval)
"""

_BEHIND = """
SELECT h.*, core.now() AS now, c.number, c.entries AS covered, c.chain_hash, c.root, c.previous,
    c.made_at, c.key_id
FROM core.chain_heads AS h
LEFT JOIN core.checkpoints AS c ON c.tenant_id = h.tenant_id AND c.number = h.checkpoints
WHERE h.checkpointed < h.entries AND h.checkpointed_at <= core.now() - $1::interval
ORDER BY h.checkpointed_at LIMIT $2
"""

ADD_KEY = """
INSERT INTO core.signing_keys (id, public_key, created_at) VALUES ($1, $2, core.now())
ON CONFLICT (id) DO NOTHING
"""
"""Whoever signs publishes the key first, in the same transaction."""

_ADD_CHECKPOINTS = """
WITH made AS (
    INSERT INTO core.checkpoints (tenant_id, number, entries, chain_hash, root, previous, made_at,
        key_id, signature)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[],
        $6::bytea[], $7::timestamptz[], $8::text[], $9::bytea[])
    RETURNING tenant_id, number, entries, made_at
)
UPDATE core.chain_heads AS h
SET checkpoints = made.number, checkpointed = made.entries, checkpointed_at = made.made_at
FROM made WHERE h.tenant_id = made.tenant_id
"""

_LIST_CHECKPOINTS = """
SELECT * FROM core.checkpoints WHERE tenant_id = $1 AND ($2::bigint IS NULL OR number < $2)
ORDER BY number DESC LIMIT $3
"""

_CHECKPOINTS_AFTER = """
SELECT * FROM core.checkpoints WHERE tenant_id = $1 AND number > $2 ORDER BY number LIMIT $3
"""

_FIND = """
SELECT core.entry_texts($1, ARRAY[e.id]) AS canonical,
    (SELECT p.first_position + array_position(p.entry_ids, e.id) - 1
        FROM core.entry_pages AS p
        WHERE p.tenant_id = $1 AND p.recorded_at = e.recorded_at AND e.id = ANY (p.entry_ids)
        LIMIT 1) AS position
FROM core.entries AS e WHERE e.tenant_id = $1 AND e.id = $2
"""

# Which page has a position is known by where the pages begin.
_LEAVES = """
SELECT first_position, leaves FROM core.entry_pages
WHERE tenant_id = $1 AND first_position <= $3 AND first_position >= (
    SELECT p.first_position FROM core.entry_pages AS p
    WHERE p.tenant_id = $1 AND p.first_position <= $2 ORDER BY p.first_position DESC LIMIT 1)
ORDER BY first_position
"""

_TILES = """
SELECT t.level, t.number, t.hashes
FROM unnest($2::smallint[], $3::bigint[]) AS w (level, number)
JOIN core.chain_tiles AS t ON t.tenant_id = $1 AND t.level = w.level AND t.number = w.number
"""

_PAGES_FROM = """
WITH page AS MATERIALIZED (
    SELECT first_position, hash_before, leaves, entry_ids FROM core.entry_pages
    WHERE tenant_id = $1 AND first_position >= $2 AND first_position < $2 + $3
)
SELECT min(first_position) AS first_position,
    (array_agg(hash_before ORDER BY first_position))[1] AS hash_before,
    string_agg(leaves, '' ORDER BY first_position) AS leaves,
    core.entry_texts($1, ARRAY(
        SELECT n.id FROM page AS p
        CROSS JOIN LATERAL unnest(p.entry_ids) WITH ORDINALITY AS n (id, place)
        ORDER BY p.first_position, n.place)) AS texts
FROM page
"""

_KEYS = "SELECT id, public_key FROM core.signing_keys ORDER BY created_at DESC, id"


class PostgresChainer(Chainer):
    """Chains set-wise; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def chain(self, lease: Lease, *, limit: int) -> int:
        async with held(self._engine, lease, if_any=_HAS_UNCHAINED) as driver:
            if driver is None:
                return 0
            waiting = await driver.fetch(_UNCHAINED, limit)
            if not waiting:
                return 0
            tenants = [row["tenant_id"] for row in waiting]
            heads = {row["tenant_id"]: _head(row) for row in await driver.fetch(_HEADS, tenants)}
            pages: list[tuple[Any, ...]] = []
            nodes: dict[UUID, Sequence[Node]] = {}
            for row in waiting:
                tenant = row["tenant_id"]
                leaves = _leaves(row)
                head = heads.get(tenant, ChainHead())
                kept: list[Node] = []
                for recorded_at, id, entries in zip(
                    row["times"], row["ids"], row["entries"], strict=True
                ):
                    own = leaves[:entries]
                    leaves = leaves[entries:]
                    place = (head.entries + 1, b"".join(own), head.hash)
                    pages.append((tenant, recorded_at, id, *place))
                    head, new = head.extended(own)
                    kept += new
                heads[tenant], nodes[tenant] = head, kept
            await driver.execute(_PLACE_PAGES, *_columns(pages))
            await driver.execute(
                _MOVE_HEADS, *_columns([_head_row(tenant, heads[tenant]) for tenant in tenants])
            )
            if tiles := list(_tile_rows(nodes)):
                await driver.execute(_ADD_TO_TILES, *_columns(tiles))
        return sum(sum(row["entries"]) for row in waiting)

    async def checkpoint(
        self, lease: Lease, signer: Signer, *, at_least_every: timedelta, limit: int
    ) -> int:
        async with held(
            self._engine, lease, if_any=_IS_BEHIND, arguments=(at_least_every,)
        ) as driver:
            if driver is None:
                return 0
            behind = await driver.fetch(_BEHIND, at_least_every, limit)
            if not behind:
                return 0
            await driver.execute(ADD_KEY, signer.key_id, signer.public_key)
            made = [_next_checkpoint(row, signer.key_id) for row in behind]
            await driver.execute(
                _ADD_CHECKPOINTS,
                *_columns([_checkpoint_row(one, signer.sign(one.signed_text())) for one in made]),
            )
        return len(behind)


class PostgresChain(ChainStore):
    """The chain of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def list_checkpoints(self, page: PageRequest) -> Page[SignedCheckpoint]:
        rows = await self._fetch(_LIST_CHECKPOINTS, page.before, page.size + 1)
        return page_of([checkpoint_of(row) for row in rows], [row["number"] for row in rows], page)

    async def checkpoints_after(self, number: int, *, limit: int) -> Sequence[SignedCheckpoint]:
        return [checkpoint_of(row) for row in await self._fetch(_CHECKPOINTS_AFTER, number, limit)]

    async def latest_checkpoint(self) -> SignedCheckpoint | None:
        rows = await self._fetch(_LIST_CHECKPOINTS, None, 1)
        return checkpoint_of(rows[0]) if rows else None

    async def find(self, entry_id: EntryId) -> ChainedEntry:
        rows = await self._fetch(_FIND, entry_id.uuid)
        if not rows:
            raise EntryNotFound("no such entry", entry_id=entry_id)
        return ChainedEntry(entry_id, rows[0]["position"], rows[0]["canonical"])

    async def roots(self, places: Iterable[Place]) -> Mapping[Place, bytes]:
        wanted = set(places)
        within = [place for place in wanted if place.height < TILE_HEIGHT]
        above = [place for place in wanted if place.height >= TILE_HEIGHT]
        return {
            **{place: perfect_root(await self._leaves(place)) for place in within},
            **await self._tile_roots(above),
        }

    async def pages_from(self, position: int, *, limit: int) -> ChainPages:
        (row,) = await self._fetch(_PAGES_FROM, position, limit)
        if row["first_position"] != position:
            raise ChainBroken(f"position {position} of {self._scope.tenant_id} is missing")
        return ChainPages(
            position, row["hash_before"], split_hashes(row["leaves"]), row["texts"].split(b"\n")
        )

    async def _leaves(self, place: Place) -> Sequence[bytes]:
        first = (place.number << place.height) + 1
        last = first + (1 << place.height) - 1
        rows = await self._fetch(_LEAVES, first, last)
        skipped = first - rows[0]["first_position"]
        leaves = split_hashes(b"".join(row["leaves"] for row in rows))
        return leaves[skipped : skipped + (1 << place.height)]

    async def _tile_roots(self, places: Sequence[Place]) -> Mapping[Place, bytes]:
        """Return the roots of places that are within one tile each."""
        parts = {place: _tile_part(place) for place in places}
        tiles = sorted({(level, number) for level, number, _ in parts.values()})
        rows = await self._fetch(_TILES, *_columns(tiles)) if tiles else []
        hashes = {(row["level"], row["number"]): split_hashes(row["hashes"]) for row in rows}
        return {
            place: perfect_root(hashes[level, number][part])
            for place, (level, number, part) in parts.items()
        }

    async def _fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        rows: Sequence[Any] = await self._scope.driver.fetch(query, self._scope.tenant, *arguments)
        return rows


class PostgresSigningKeys(SigningKeys):
    """The keys of all checkpoints, which are nobody's secret."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> Sequence[PublicKey]:
        async with borrowed_driver(self._engine) as driver:
            rows = await driver.fetch(_KEYS)
        return [PublicKey(row["id"], row["public_key"]) for row in rows]


def _leaves(row: Any) -> list[bytes]:
    """Return the leaf hash of every entry of a tenant that waits.

    An entry that somebody deleted meanwhile keeps its place, with a leaf that is no entry's: the
    chain goes on, and everybody who checks it finds it there.
    """
    texts = row["texts"].split(b"\n")
    missing = texts.count(b"")
    if missing:
        tenant = TenantId(row["tenant_id"])
        _log.error("%d entries of %s were gone before they were chained", missing, tenant)
        return [leaf_hash(text) if text else NOTHING for text in texts]
    return [leaf_hash(text) for text in texts]


def _head(row: Any) -> ChainHead:
    return ChainHead(
        hash=row["hash"], tree=CompactRange(row["entries"], tuple(split_hashes(row["peaks"])))
    )


def _head_row(tenant: UUID, head: ChainHead) -> tuple[UUID, int, bytes, bytes]:
    return tenant, head.entries, head.hash, b"".join(head.tree.peaks)


def _tile_rows(nodes: Mapping[UUID, Sequence[Node]]) -> Iterator[tuple[UUID, int, int, bytes]]:
    """Yield what is added to each tile: (tenant, level, number, hashes)."""
    for tenant, kept in nodes.items():
        added: dict[tuple[int, int], list[bytes]] = defaultdict(list)
        for (height, number), hash in kept:
            added[height // TILE_HEIGHT, number // TILE_HASHES].append(hash)
        for (level, number), hashes in added.items():
            yield tenant, level, number, b"".join(hashes)


def _tile_part(place: Place) -> tuple[int, int, slice]:
    """Return the level and the number of the tile that a perfect subtree is part of, and where."""
    level, height = divmod(place.height, TILE_HEIGHT)
    first = place.number << height
    number, start = divmod(first, TILE_HASHES)
    return level, number, slice(start, start + (1 << height))


def _next_checkpoint(row: Any, key_id: str) -> Checkpoint:
    tenant_id = TenantId(row["tenant_id"])
    head = _head(row)
    previous = NOTHING
    if row["number"] is not None:
        previous = _unsigned(row, tenant_id, entries=row["covered"]).digest()
    return Checkpoint(
        tenant_id=tenant_id,
        number=row["checkpoints"] + 1,
        entries=head.entries,
        chain_hash=head.hash,
        root=head.tree.root(),
        previous=previous,
        made_at=row["now"],
        key_id=key_id,
    )


def checkpoint_of(row: Any) -> SignedCheckpoint:
    """Return the checkpoint that a row says."""
    checkpoint = _unsigned(row, TenantId(row["tenant_id"]), entries=row["entries"])
    return SignedCheckpoint(checkpoint, row["signature"])


def _unsigned(row: Any, tenant_id: TenantId, *, entries: int) -> Checkpoint:
    return Checkpoint(
        tenant_id=tenant_id,
        number=row["number"],
        entries=entries,
        chain_hash=row["chain_hash"],
        root=row["root"],
        previous=row["previous"],
        made_at=row["made_at"],
        key_id=row["key_id"],
    )


def _checkpoint_row(
    made: Checkpoint, signature: bytes
) -> tuple[UUID, int, int, bytes, bytes, bytes, datetime, str, bytes]:
    return (
        made.tenant_id.uuid,
        made.number,
        made.entries,
        made.chain_hash,
        made.root,
        made.previous,
        made.made_at,
        made.key_id,
        signature,
    )


def _columns(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[Any]]:
    return iter(list(zip(*rows, strict=True)))


def split_hashes(hashes: bytes) -> list[bytes]:
    """Return hashes that are kept one after the other."""
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
