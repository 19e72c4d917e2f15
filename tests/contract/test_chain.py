"""What every chainer and every chain to read keep to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.chain import PostgresChainer, PostgresSigningKeys
from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.system.signer import Ed25519Signer
from domain.ids import EntryId, TransferId
from domain.ledger.chain import (
    NOTHING,
    SignedCheckpoint,
    canonical_entry,
    chain_hashes,
    leaf_hash,
)
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.errors import EntryNotFound
from domain.ledger.merkle import CompactRange, inclusion_path, root_from_path
from domain.ledger.transfer import TransferKind
from ports.chain import ChainBroken, Signer
from ports.errors import DatabaseUnavailable
from ports.lease import Lease
from ports.page import PageRequest
from tests.support.ledger_rig import Rig, a_rig
from tests.support.platform import Platform

A_WHILE: Final = timedelta(minutes=5)
AT_ONCE: Final = timedelta(0)
SIGNER: Final = Ed25519Signer(b"\x01" * 32)


@pytest.fixture
async def engine(platform: Platform) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(platform.settings.work_database_url, pool_size=4)
    yield engine
    await engine.dispose()


@pytest.fixture
def chainer(engine: AsyncEngine) -> PostgresChainer:
    return PostgresChainer(engine)


@pytest.fixture
async def lease(engine: AsyncEngine) -> AsyncIterator[Lease]:
    leases = PostgresLeases(engine)
    lease = await leases.acquire("chainer", lease_for=A_WHILE)
    assert lease is not None
    yield lease
    await leases.renew(lease, lease_for=AT_ONCE)


@pytest.fixture
async def book(platform: Platform) -> Rig:
    return await a_rig(platform)


async def enter(book: Rig, *batches: int) -> list[Entry]:
    """Post so many entries by one statement each."""
    entries: list[Entry] = []
    for count in batches:
        new = [book.entry(book.transfer("lp", "ada", 1 + n)) for n in range(count)]
        assert await book.post(*new) is not None
        entries += new
    return entries


async def chain_all(chainer: PostgresChainer, lease: Lease, *, limit: int = 1_000) -> None:
    while await chainer.chain(lease, limit=limit):
        pass


async def sign_all(
    chainer: PostgresChainer, lease: Lease, *, signer: Signer = SIGNER, every: timedelta = AT_ONCE
) -> None:
    while await chainer.checkpoint(lease, signer, at_least_every=every, limit=1_000) == 1_000:
        pass


async def canonical_texts(book: Rig, entries: Sequence[Entry]) -> list[bytes]:
    """Return the texts as the domain writes them of what is kept."""
    texts = []
    async with book.begin() as uow:
        for entry in entries:
            recorded = await uow.ledger.get_entry(entry.id)
            texts.append(canonical_entry(recorded.entry, recorded_at=recorded.recorded_at))
    return texts


async def pages(book: Rig) -> list[Any]:
    rows: list[Any] = await book.platform.owner.fetch(
        "SELECT * FROM core.entry_pages WHERE tenant_id = $1 ORDER BY first_position",
        book.tenant_id.uuid,
    )
    return rows


async def checkpoints(book: Rig) -> list[SignedCheckpoint]:
    async with book.begin() as uow:
        return list(await uow.chain.checkpoints_after(0, limit=1_000))


async def test_entries_are_chained_without_gaps_in_the_order_of_their_statements(
    book: Rig, chainer: PostgresChainer, lease: Lease
) -> None:
    entries = await enter(book, 3, 1, 5)

    # In small bites, so that a tenant's pages are chained over many transactions.
    await chain_all(chainer, lease, limit=1)

    rows = await pages(book)
    assert [row["first_position"] for row in rows] == [1, 4, 5]
    assert [id for row in rows for id in row["entry_ids"]] == [entry.id.uuid for entry in entries]
    leaves = [leaf_hash(text) for text in await canonical_texts(book, entries)]
    assert b"".join(row["leaves"] for row in rows) == b"".join(leaves)
    hashes = [NOTHING, *chain_hashes(NOTHING, leaves)]
    assert [row["hash_before"] for row in rows] == [hashes[0], hashes[3], hashes[4]]
    head = await book.platform.owner.fetchrow(
        "SELECT * FROM core.chain_heads WHERE tenant_id = $1", book.tenant_id.uuid
    )
    tree, _ = CompactRange().extended(leaves)
    assert (head["entries"], head["hash"]) == (9, hashes[9])
    assert head["peaks"] == b"".join(tree.peaks)


async def test_as_many_are_chained_at_once_as_are_wanted_however_few_a_page_has(
    book: Rig, chainer: PostgresChainer, lease: Lease
) -> None:
    await chain_all(chainer, lease)
    await enter(book, 3, 2, 1, 1, 1)

    assert [await chainer.chain(lease, limit=4) for _ in range(3)] == [5, 3, 0]


async def test_the_database_writes_the_same_text_as_the_domain(
    book: Rig, chainer: PostgresChainer, lease: Lease
) -> None:
    now = await book.platform.owner.fetchval("SELECT core.now()")
    hold = book.transfer("treasury", "lp", 7, kind=TransferKind.PENDING, purpose="hold")
    fleeting = book.transfer(
        "treasury",
        "lp",
        8,
        kind=TransferKind.PENDING,
        expires_at=now + timedelta(days=1),
    )
    deposit = book.entry(
        book.transfer("lp", "ada", 10**29),
        book.transfer("ada", "bob", 10**28, purpose="fee"),
        source=EntrySource.OPERATOR,
        effective_at=now - timedelta(days=3),
    )
    written = [
        await book.enter(hold),
        await book.enter(fleeting),
        await book.enter(book.resolution(hold, TransferKind.POST)),
        (await book.commit(deposit)).entry,
        (await book.commit(book.entry(*(book.transfer("lp", "bob") for _ in range(100))))).entry,
    ]
    reversal = deposit.reversal(
        book.platform.ids.new(EntryId),
        lambda: book.platform.ids.new(TransferId),
        reference="a key",
        description="taken back",
        effective_at=None,
    )
    written.append((await book.commit(reversal)).entry)

    texts = await canonical_texts(book, written)

    assert b'"reverses":"' in texts[-1]
    async with book.begin() as uow:
        assert [(await uow.chain.find(entry.id)).canonical for entry in written] == texts


async def test_whatever_people_write_the_database_escapes_it_as_the_domain_does(book: Rig) -> None:
    words = [chr(code) for code in range(1, 0x180)]
    words += ["", '"', '\\"\\', "a\u2028b\ufeff\ufffe", "\U0001f600", "\x1f" * 200, "</script>"]
    entries = [
        book.entry(book.transfer("lp", "ada"), description=text, reference=f"{text}!")
        for text in words
    ]
    await book.post(*entries)

    texts = await canonical_texts(book, entries)

    async with book.begin() as uow:
        assert [(await uow.chain.find(entry.id)).canonical for entry in entries] == texts


async def test_what_was_not_committed_has_no_place(
    book: Rig, chainer: PostgresChainer, lease: Lease
) -> None:
    late = book.entry(book.transfer("lp in dollars", "ada in dollars"))
    async with book.begin() as uow:
        await uow.ledger.commit(late)
        (early,) = await enter(book, 1)
        await chain_all(chainer, lease)
        assert await _positions(book, [early]) == [1]
    await chain_all(chainer, lease)

    assert await _positions(book, [early, late]) == [1, 2]


async def test_a_chainer_whose_connection_is_cut_leaves_nothing_behind(
    book: Rig, chainer: PostgresChainer, lease: Lease
) -> None:
    entries = await enter(book, 2, 2)
    owner = book.platform.owner
    # The last that a chainer writes is where it dies: the places are written, and not committed.
    await owner.execute(
        """CREATE FUNCTION core.die() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        ALTER FUNCTION core.die() SECURITY DEFINER;
        CREATE TRIGGER die AFTER INSERT OR UPDATE ON core.chain_heads
            FOR EACH STATEMENT EXECUTE FUNCTION core.die()"""
    )
    try:
        with pytest.raises(DatabaseUnavailable):
            await chainer.chain(lease, limit=10_000)
    finally:
        await owner.execute("DROP FUNCTION core.die CASCADE")

    assert {row["first_position"] for row in await pages(book)} == {None}
    await chain_all(chainer, lease)
    assert await _positions(book, entries) == [1, 2, 3, 4]


async def test_of_two_chainers_only_the_one_with_the_lease_chains(
    book: Rig, engine: AsyncEngine, chainer: PostgresChainer, lease: Lease
) -> None:
    entries = await enter(book, *[2] * 30)
    leases = PostgresLeases(engine)
    await leases.renew(lease, lease_for=AT_ONCE)
    taken = await leases.acquire("chainer", lease_for=A_WHILE)
    assert taken is not None

    async def one(held: Lease) -> list[int]:
        return [await PostgresChainer(engine).chain(held, limit=1) for _ in range(40)]

    lost, *kept = await asyncio.gather(one(lease), one(taken), one(taken))

    assert set(lost) == {0}
    assert (
        await PostgresChainer(engine).checkpoint(lease, SIGNER, at_least_every=AT_ONCE, limit=10)
        == 0
    )
    assert sum(map(sum, kept)) >= 60
    await chain_all(chainer, taken)
    await leases.renew(taken, lease_for=AT_ONCE)
    assert await _positions(book, entries) == list(range(1, 61))


async def test_books_do_not_share_a_chain(
    platform: Platform, book: Rig, chainer: PostgresChainer, lease: Lease
) -> None:
    other = await a_rig(platform)
    ours, theirs = await enter(book, 2), await enter(other, 3)
    await chain_all(chainer, lease)
    await sign_all(chainer, lease)

    assert await _positions(book, ours) == [1, 2]
    assert await _positions(other, theirs) == [1, 2, 3]
    async with book.begin() as uow:
        with pytest.raises(EntryNotFound):
            await uow.chain.find(theirs[0].id)
        assert [
            one.checkpoint.entries for one in await uow.chain.checkpoints_after(0, limit=9)
        ] == [2]


async def test_an_entry_that_vanished_before_it_was_chained_keeps_its_place(
    book: Rig, chainer: PostgresChainer, lease: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    before, gone, after = await enter(book, 3)
    owner = book.platform.owner
    row = await owner.fetchval(
        "DELETE FROM core.entries AS e WHERE id = $1 RETURNING to_jsonb(e)::text", gone.id.uuid
    )

    await chain_all(chainer, lease)

    (page,) = await pages(book)
    texts = await canonical_texts(book, [before, after])
    assert page["leaves"] == leaf_hash(texts[0]) + NOTHING + leaf_hash(texts[1])
    assert "1 entries" in caplog.text
    # Others look at the same database.
    async with owner.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            "INSERT INTO core.entries SELECT * FROM jsonb_populate_record(NULL::core.entries, $1)",
            row,
        )


async def test_a_checkpoint_covers_all_that_is_chained_and_names_the_one_before(
    book: Rig, chainer: PostgresChainer, lease: Lease
) -> None:
    entries: list[Entry] = []
    for _ in range(3):
        entries += await enter(book, 4, 3)
        await chain_all(chainer, lease)
        await sign_all(chainer, lease)
    await sign_all(chainer, lease)

    made = await checkpoints(book)
    leaves = [leaf_hash(text) for text in await canonical_texts(book, entries)]
    assert [one.checkpoint.number for one in made] == [1, 2, 3]
    assert [one.checkpoint.entries for one in made] == [7, 14, 21]
    key = Ed25519PublicKey.from_public_bytes(SIGNER.public_key)
    previous = NOTHING
    for one in made:
        covered = leaves[: one.checkpoint.entries]
        tree, _ = CompactRange().extended(covered)
        assert one.checkpoint.root == tree.root()
        assert one.checkpoint.chain_hash == chain_hashes(NOTHING, covered)[-1]
        assert one.checkpoint.previous == previous
        assert one.checkpoint.key_id == SIGNER.key_id
        key.verify(one.signature, one.checkpoint.signed_text())
        previous = one.checkpoint.digest()
    async with book.begin() as uow:
        assert await uow.chain.latest_checkpoint() == made[-1]
        page = await uow.chain.list_checkpoints(PageRequest(size=2))
        rest = await uow.chain.list_checkpoints(PageRequest(size=2, before=page.next_before))
    assert [*page.items, *rest.items] == made[::-1]
    assert rest.next_before is None


async def test_a_book_waits_for_its_next_checkpoint_as_long_as_it_is_told(
    book: Rig, chainer: PostgresChainer, lease: Lease
) -> None:
    for _ in range(2):
        await enter(book, 1)
        await chain_all(chainer, lease)
        await sign_all(chainer, lease, every=timedelta(hours=1))
    assert [one.checkpoint.entries for one in await checkpoints(book)] == [1]

    await sign_all(chainer, lease)
    assert [one.checkpoint.entries for one in await checkpoints(book)] == [1, 2]


async def test_another_key_goes_on_where_the_one_before_ended(
    platform: Platform, book: Rig, chainer: PostgresChainer, lease: Lease, engine: AsyncEngine
) -> None:
    new = Ed25519Signer(b"\x02" * 32)
    for signer in (SIGNER, new):
        await enter(book, 1)
        await chain_all(chainer, lease)
        await sign_all(chainer, lease, signer=signer)

    first, second = await checkpoints(book)

    assert (first.checkpoint.key_id, second.checkpoint.key_id) == (SIGNER.key_id, new.key_id)
    assert second.checkpoint.previous == first.checkpoint.digest()
    keys = {key.id: key.key for key in await PostgresSigningKeys(engine).all()}
    assert keys.items() >= {SIGNER.key_id: SIGNER.public_key, new.key_id: new.public_key}.items()


async def test_every_entry_is_led_to_the_root_by_what_is_kept(
    book: Rig, chainer: PostgresChainer, lease: Lease
) -> None:
    # More than two tiles of leaves, in pages that begin and end anywhere.
    entries = await enter(book, 1, 200, 3, 120, 1, 1, 250, 40)
    await chain_all(chainer, lease, limit=150)
    await sign_all(chainer, lease)
    (made,) = await checkpoints(book)
    size = made.checkpoint.entries
    assert size == len(entries) == 616

    for index in (*range(0, size, 37), 255, 256, 511, 512, size - 1):
        path = inclusion_path(index, size)
        async with book.begin() as uow:
            found = await uow.chain.find(entries[index].id)
            roots = await uow.chain.roots(path.places())
        assert found.position == index + 1
        root = root_from_path(leaf_hash(found.canonical), index, size, path.hashes(roots.get))  # type: ignore[arg-type]
        assert root == made.checkpoint.root


async def test_pages_are_read_from_where_one_begins(
    book: Rig, chainer: PostgresChainer, lease: Lease
) -> None:
    entries = await enter(book, 3, 2, 4)
    await chain_all(chainer, lease)
    texts = await canonical_texts(book, entries)
    hashes = [NOTHING, *chain_hashes(NOTHING, map(leaf_hash, texts))]

    async with book.begin() as uow:
        first = await uow.chain.pages_from(1, limit=5)
        second = await uow.chain.pages_from(6, limit=5)
        with pytest.raises(ChainBroken):
            await uow.chain.pages_from(10, limit=5)

    assert [*first.canonical, *second.canonical] == texts
    assert [*first.leaves, *second.leaves] == [leaf_hash(text) for text in texts]
    assert (first.first_position, first.hash_before) == (1, hashes[0])
    assert (second.first_position, second.hash_before) == (6, hashes[5])


async def _positions(book: Rig, entries: Sequence[Entry]) -> list[int | None]:
    async with book.begin() as uow:
        return [(await uow.chain.find(entry.id)).position for entry in entries]
