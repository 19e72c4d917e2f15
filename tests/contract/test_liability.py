"""What every keeper of liabilities and every sheet to prove from keep to."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres import liability
from adapters.postgres.chain import PostgresSigningKeys
from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.liability import PostgresLiabilityKeeper
from adapters.system.signer import Ed25519Signer
from domain.ids import CustomerId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.liability import (
    CustomerBalance,
    SumNode,
    leaf_node,
    root_from_sums,
    sum_root,
)
from domain.ledger.transfer import TransferKind
from ports.chain import Signer
from ports.errors import DatabaseUnavailable
from ports.lease import Lease
from tests.support.builders import NGN
from tests.support.chain import chain_books
from tests.support.ledger_rig import KEYS, Rig, a_rig
from tests.support.platform import Platform

A_WHILE: Final = timedelta(minutes=5)
AT_ONCE: Final = timedelta(0)
SIGNER: Final = Ed25519Signer(bytes(range(32)))


@pytest.fixture
async def engine(platform: Platform) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(platform.settings.work_database_url, pool_size=2)
    yield engine
    await engine.dispose()


@pytest.fixture
async def book(platform: Platform) -> Rig:
    return await a_rig(platform)


async def make_all(
    engine: AsyncEngine, *, every: timedelta = AT_ONCE, signer: Signer = SIGNER
) -> None:
    leases = PostgresLeases(engine)
    lease = await leases.acquire("liabilities", lease_for=A_WHILE)
    assert lease is not None
    keeper = PostgresLiabilityKeeper(engine)
    while await keeper.make_sheets(lease, signer, at_least_every=every, keep=3, limit=1):
        pass
    await leases.renew(lease, lease_for=AT_ONCE)


async def sheets(book: Rig, asset: str = "NGN") -> list[Any]:
    rows: list[Any] = await book.platform.owner.fetch(
        "SELECT * FROM core.liability_sheets WHERE tenant_id = $1 AND asset = $2 ORDER BY number",
        *(book.tenant_id.uuid, asset),
    )
    return rows


async def customers(book: Rig, count: int) -> list[CustomerId]:
    """Open accounts of customers who are owed 0, 1, 2, …"""
    ids = [book.platform.ids.new(CustomerId) for _ in range(count)]
    async with book.begin() as uow:
        keys = [AccountKey(AccountKind.CUSTOMER, NGN, str(id)) for id in ids]
        opened = await uow.ledger.open_accounts(keys)
    book.ids.update({key.owner: opened[key] for key in keys})
    transfers = [
        book.transfer("lp", "ada", units=place)._replace(credit_account_id=opened[key])
        for place, key in enumerate(keys)
        if place
    ]
    await book.post(*(book.entry(*transfers[at : at + 50]) for at in range(0, count - 1, 50)))
    return ids


async def test_a_sheet_has_every_customer_and_leads_each_to_its_root_and_total(
    platform: Platform, book: Rig, engine: AsyncEngine
) -> None:
    # More than two blocks, and both customers of the rig, who are owed nothing.
    ids = await customers(book, 600)
    hold = book.transfer("ada", "bob", units=0)._replace(
        debit_account_id=book.ids[str(ids[7])],
        amount=book.transfer("lp", "ada", 5).amount,
        kind=TransferKind.PENDING,
    )
    await book.enter(hold)

    await chain_books(platform)

    (row,) = await sheets(book)
    assert (row["number"], row["customers"], row["total"]) == (1, 602, sum(range(600)))
    owed = {str(id): place for place, id in enumerate(ids)} | {"ada": 0, "bob": 0}
    nodes = [leaf_node(CustomerBalance(name, owed[name]), row["secret"]) for name in sorted(owed)]
    root = sum_root(nodes)
    assert (row["root"], row["total"]) == root
    for place in (0, 7, 253, 254, 255, 256, 511, 599):
        async with book.begin() as uow:
            kept = await uow.liabilities.find(ids[place], "NGN")
        assert kept is not None
        proof = kept.proof(ids[place])
        assert proof is not None
        leaf = leaf_node(CustomerBalance(str(ids[place]), place), row["secret"])
        assert nodes[proof.position - 1] == leaf
        assert root_from_sums(leaf, proof.position - 1, 602, proof.path) == root
    async with book.begin() as uow:
        kept = await uow.liabilities.find(ids[0], "NGN")
        latest = await uow.chain.latest_checkpoint()
    assert kept is not None and latest is not None
    sheet = kept.sheet.sheet
    key = Ed25519PublicKey.from_public_bytes(SIGNER.public_key)
    key.verify(kept.sheet.signature, sheet.signed_text())
    assert sheet.checkpoint == latest.checkpoint.number
    assert latest.checkpoint.made_at < sheet.as_of
    assert await platform.owner.fetchval("SELECT core.now()") > sheet.as_of


async def test_who_was_not_there_is_in_no_sheet(
    platform: Platform, book: Rig, engine: AsyncEngine
) -> None:
    known = await customers(book, 3)
    before = CustomerId.from_bytes(bytes(16))
    async with book.begin() as uow:
        assert await uow.liabilities.find(known[0], "NGN") is None
    await chain_books(platform)

    async with book.begin() as uow:
        assert await uow.liabilities.find(known[0], "BTC") is None
        late = await uow.liabilities.find(book.platform.ids.new(CustomerId), "NGN")
        early = await uow.liabilities.find(before, "NGN")
    assert late is not None and late.proof(book.platform.ids.new(CustomerId)) is None
    assert early is None or early.proof(before) is None


async def test_only_assets_that_moved_get_another_sheet_and_the_latest_stay(
    platform: Platform, book: Rig, engine: AsyncEngine
) -> None:
    for units in (1, 2, 3, 4):
        await book.enter(book.transfer("lp", "ada", units))
        await chain_books(platform)
    await book.enter(book.transfer("treasury", "lp", 1))
    await chain_books(platform)

    rows = await sheets(book)
    assert [(row["number"], row["total"]) for row in rows] == [(2, 3), (3, 6), (4, 10)]
    assert [row["number"] for row in await sheets(book, "USD")] == [1]
    blocks = await platform.owner.fetch(
        "SELECT number FROM core.liability_blocks WHERE tenant_id = $1 AND asset = 'NGN'",
        book.tenant_id.uuid,
    )
    assert sorted(row["number"] for row in blocks) == [2, 3, 4]


async def with_two_sheets_and_due(book: Rig) -> None:
    """Have a checkpoint that was not there when the tenant was looked at last, a moment ago."""
    for _ in range(2):
        await book.enter(book.transfer("lp", "ada", 1))
        await chain_books(book.platform)
    await book.enter(book.transfer("lp", "ada", 1))
    await book.platform.owner.execute(
        "UPDATE core.liability_heads SET checkpoint = 1 WHERE tenant_id = $1", book.tenant_id.uuid
    )


async def test_a_tenant_waits_for_its_next_sheet_as_long_as_it_is_told(
    platform: Platform, book: Rig, engine: AsyncEngine
) -> None:
    await with_two_sheets_and_due(book)

    await make_all(engine, every=timedelta(hours=1))
    assert [row["total"] for row in await sheets(book)] == [1, 2]

    await make_all(engine)
    assert [row["total"] for row in await sheets(book)] == [1, 2, 3]


async def test_a_new_key_is_known_with_its_first_sheet(
    platform: Platform, book: Rig, engine: AsyncEngine
) -> None:
    await with_two_sheets_and_due(book)
    new = Ed25519Signer(book.tenant_id.bytes * 2)

    await make_all(engine, signer=new)

    *_, last = await sheets(book)
    assert last["key_id"] == new.key_id
    known = {key.id: key.key for key in await PostgresSigningKeys(engine).all()}
    assert known[new.key_id] == new.public_key


async def test_without_the_lease_nothing_is_made(
    platform: Platform, book: Rig, engine: AsyncEngine
) -> None:
    await with_two_sheets_and_due(book)
    keeper, lost = PostgresLiabilityKeeper(engine), Lease("liabilities", 0)

    assert not await keeper.make_sheets(lost, SIGNER, at_least_every=AT_ONCE, keep=3, limit=1)

    assert [row["total"] for row in await sheets(book)] == [1, 2]
    await make_all(engine)
    assert [row["total"] for row in await sheets(book)] == [1, 2, 3]


async def test_who_died_between_two_assets_goes_on_with_the_other(
    platform: Platform, book: Rig, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sheet = liability._make_sheet

    async def die_at_dollars(driver: Any, signer: Any, tenant: Any, moved: Any, keep: int) -> None:
        await make_sheet(driver, signer, tenant, moved, keep)
        if moved["asset"] == "USD" and tenant == book.tenant_id.uuid:
            raise DatabaseUnavailable("cut")

    await book.enter(book.transfer("lp", "ada", 1))
    monkeypatch.setattr(liability, "_make_sheet", die_at_dollars)
    with pytest.raises(DatabaseUnavailable):
        await chain_books(platform)
    monkeypatch.undo()
    (first,) = await sheets(book)
    assert await sheets(book, "USD") == []

    await platform.owner.execute(
        "UPDATE core.leases SET leased_until = '-infinity' WHERE name = 'liabilities'"
    )
    await make_all(engine)

    assert await sheets(book) == [first]
    assert [row["number"] for row in await sheets(book, "USD")] == [1]


async def test_balances_that_cannot_be_summed_keep_no_other_asset_from_its_sheet(
    platform: Platform,
    book: Rig,
    engine: AsyncEngine,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liability, "MAX_CUSTOMERS", 1)
    await book.enter(book.transfer("lp", "ada", 1))
    await book.enter(book.transfer("lp in dollars", "ada in dollars", 7))
    with caplog.at_level(logging.ERROR, logger="reli.liability"):
        await chain_books(platform)

    assert await sheets(book) == []
    assert f"no sheet of {book.tenant_id} in NGN: 2 customers are more than 1" in caplog.text
    (row,) = await sheets(book, "USD")
    root = leaf_node(CustomerBalance(KEYS["ada"].owner, 7), row["secret"])
    assert SumNode(row["root"], row["total"]) == root


async def test_tenants_do_not_see_each_others_sheets(
    platform: Platform, book: Rig, engine: AsyncEngine
) -> None:
    other = await a_rig(platform)
    ours, theirs = await customers(book, 2), await customers(other, 2)
    await chain_books(platform)

    async with book.begin() as uow:
        kept = await uow.liabilities.find(theirs[1], "NGN")
        assert kept is not None and kept.proof(theirs[1]) is None
        assert kept.sheet.sheet.tenant_id == book.tenant_id
        mine = await uow.liabilities.find(ours[1], "NGN")
    assert mine is not None and mine.proof(ours[1]) is not None
