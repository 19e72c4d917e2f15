"""A line that is taken away or changed anywhere shows: in the books, at a venue, in a statement.

Each of fifty tries breaks one row of one of the three, chosen by a seed, and looks with the checks
of the audit.
"""

import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import pytest

from adapters.lp.sandbox.book import Book
from adapters.lp.sandbox.venue import open_venue
from adapters.lp.sandbox.venue_book import SandboxVenueBook
from adapters.postgres.audit import reconciliation
from adapters.postgres.audit.books import open_snapshot
from adapters.system.clock import SystemClock
from app.stack.postgres import PostgresServer
from app.usecase.audit.compare_executions import ExecutionComparison
from tests.support.platform import SELL
from tests.support.reconciled import Reconciled, a_reconciled_platform

SEED: Final = 20_260_302
TRIES: Final = 50

LEDGER: Final = {
    "transfers": ("units = units + 1", "units = units - 1"),
    "entries": ("reference = 'trade_00000000000000000000000000'",),
    "accounts": ("credits_posted = credits_posted + 1", "debits_posted = debits_posted + 1"),
}
STATEMENT: Final = {
    "reconciliation_lines": (
        "units = units + 1",
        "reference = 'another'",
        "match_id = NULL, match_rule = NULL",
    ),
    "statements": ("lines = lines + 1",),
}
VENUE: Final = (
    "DELETE FROM orders WHERE number = ?",
    "UPDATE orders SET quote_units = quote_units || '0' WHERE number = ?",
    "UPDATE orders SET client_order_id = 'nobody' WHERE number = ?",
    "UPDATE orders SET status = 'rejected', code = 'REJECTED' WHERE number = ?",
)


@pytest.fixture(scope="module")
async def house(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Reconciled]:
    home = tmp_path_factory.mktemp("vanishing")
    async with a_reconciled_platform(postgres_server.url, "vanishing", home) as made:
        for _ in range(2):
            await made.trade()
            await made.trade("0.02", side=SELL)
            await made.trade("0.00007721")
            await made.reconcile()
        assert await made.breaks() == []
        yield made


async def found_in_database(connection: Any) -> int:
    """Return how much the first check that is broken finds; reconciliation's own come first."""
    snapshot = await open_snapshot(connection)
    probes = sorted(snapshot.probes, key=lambda probe: probe not in reconciliation.PROBES)
    for probe in probes:
        findings = await snapshot.examine(probe)
        if broken := sum(finding.broken for finding in findings):
            return broken
    return 0


async def found_at_venue(connection: Any, book: SandboxVenueBook) -> int:
    snapshot = await open_snapshot(connection)
    comparison = ExecutionComparison()
    await comparison.compare(
        book.name,
        await book.executions(),
        snapshot.attempts(book.name),
        opened_at=await book.now(),
    )
    return sum(finding.broken for finding in comparison.findings(""))


async def test_fifty_lines_taken_away_or_changed_are_fifty_found(
    house: Reconciled, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    connection = await asyncpg.connect(house.url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(connection.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        assert await _inside(connection, lambda: found_in_database(connection)) == 0
        for venue in (house.platform.alpha, house.platform.beta):
            book = SandboxVenueBook(venue.name, venue.admin_url, session)
            assert await _inside(connection, partial(found_at_venue, connection, book)) == 0
        missed = []
        for number in range(TRIES):
            where = ("ledger", "statement", "venue")[number % 3]
            if where == "venue":
                home = tmp_path / str(number)
                what, found = await _break_venue(house, connection, session, home, chance)
            else:
                tables = LEDGER if where == "ledger" else STATEMENT
                what, found = await _break_row(connection, tables, chance)
            if not found:
                missed.append(what)
    assert missed == []


async def _inside(connection: Any, look: Callable[[], Awaitable[int]]) -> int:
    """Look in a transaction that never was, past every key and constraint."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SET LOCAL session_replication_role = replica")
        return await look()
    finally:
        await transaction.rollback()


async def _break_row(
    connection: Any,
    tables: dict[str, tuple[str, ...]],
    chance: random.Random,
) -> tuple[str, int]:
    table = chance.choice(sorted(tables))
    change = chance.choice(("DELETE", *tables[table]))
    row = chance.choice(
        await connection.fetch(
            f"SELECT tenant_id, id FROM core.{table} "
            + ("WHERE version > 0 " if table == "accounts" else "")
            + "ORDER BY tenant_id, id"
        )
    )
    statement = (
        f"DELETE FROM core.{table}" if change == "DELETE" else f"UPDATE core.{table} SET {change}"
    )

    async def look() -> int:
        try:
            done = await connection.execute(
                f"{statement} WHERE tenant_id = $1 AND id = $2", row["tenant_id"], row["id"]
            )
        except asyncpg.CheckViolationError:
            return 1  # found before it was done
        assert done.endswith(" 1")
        return await found_in_database(connection)

    return f"{statement}: {row['id']}", await _inside(connection, look)


async def _break_venue(
    house: Reconciled,
    connection: Any,
    session: aiohttp.ClientSession,
    home: Path,
    chance: random.Random,
) -> tuple[str, int]:
    """Copy a venue's book, break one execution in the copy, and have a venue with it audited."""
    home.mkdir()
    venue = chance.choice((house.platform.alpha, house.platform.beta))
    async with session.get(f"{venue.admin_url}/v1/book") as answer:
        executed = (await answer.json())["executions"]
    order = chance.choice(executed)
    change = chance.choice(VENUE)
    _copy_book(house, venue.name, home)
    file = sqlite3.connect(home / f"{venue.name}.sqlite3")
    file.executescript("DROP TRIGGER orders_are_not_updated; DROP TRIGGER orders_are_not_deleted;")
    done = file.execute(change, (int(order["order_id"].rpartition("-")[2]),))
    assert done.rowcount == 1
    file.commit()
    file.close()
    async with open_venue(
        name=venue.name, port=0, admin_port=0, data_dir=home, position=1, clock=SystemClock()
    ) as ports:
        url = f"http://127.0.0.1:{ports.admin}"
        book = SandboxVenueBook(venue.name, url, session)
        found = await _inside(connection, lambda: found_at_venue(connection, book))
    return f"{venue.name} {change} {order['order_id']}", found


def _copy_book(house: Reconciled, name: str, home: Path) -> None:
    """Write the venue's book anew: its file is held by the venue."""
    source = house.home / f"{name}.sqlite3"
    for path in source.parent.glob(f"{name}.sqlite3*"):
        (home / path.name).write_bytes(path.read_bytes())
    Book(home, name).close()


async def test_a_deletion_in_the_books_is_a_break_for_the_next_statement(
    house: Reconciled,
) -> None:
    """A trade that the venue tells of and the book lost, before anybody compared them."""
    await house.trade()
    owner = house.platform.owner
    async with owner.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            "UPDATE core.outbox SET type = 'trade.unheard' WHERE id = "
            "(SELECT id FROM core.outbox WHERE type = 'trade.settled' ORDER BY id DESC LIMIT 1)"
        )

    await house.reconcile()

    assert {one.kind for one in await house.breaks()} == {"MISSING_IN_BOOKS"}
