"""How many transfers a second the books take, as multiples of TPC-B on the same server.

Entries of one transfer each are posted at the ledger port to the books of one tenant: in batches,
one after the other on one connection, and one by one by many callers at once. Every entry leaves
its event in the outbox, which a worker empties meanwhile. Rounds of slices alternate the cases
with pgbench's TPC-B; what is printed are medians over the rounds.
"""

import argparse
import asyncio
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from shutil import which
from statistics import median
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import asyncpg
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.clock import PostgresClock
from adapters.postgres.engine import make_engine
from adapters.postgres.journal import PostgresJournal
from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.market import PostgresMarket
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from app.collector import settle_down
from app.database_url import APP_ROLE, role_url
from app.serve import POOL_SIZE
from app.stack.postgres import binary
from app.stack.stack import ReadyStack
from app.usecase.announce import Announce
from benchmarks.client import Json
from benchmarks.ground import EVENTS_WAITING, Broken, run, running_stack
from benchmarks.load import Slice
from domain.amount import Amount
from domain.asset import Asset
from domain.errors import DomainError
from domain.ids import (
    AccountId,
    ApiKeyId,
    CallId,
    CustomerId,
    EntryId,
    TenantId,
    TransferId,
)
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer
from domain.tenant.tenant import Tenant, TenantSettings
from ports.journal import Journal
from ports.unit_of_work import UnitOfWorkFactory
from reli.event.v1 import event_pb2

ASSET: Final = "NGN"
FUNDS: Final = 100_000_000_000_000
LARGEST: Final = 1_000_000
SEED: Final = 1
SETUP_BATCH: Final = 1_000
WARM_UP_S: Final = 0.5
FIRST_GUESS: Final = 10_000.0

TPC_B_DATABASE: Final = "bench"
TPC_B_SCALE: Final = 20
TPC_B_LOAD: Final = ("-M", "prepared", "-c", "8", "-j", "2")
_TPS: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)

BOOKS: Final = ("core.entries", "core.transfers", "core.resolutions")
OUTBOX: Final = ("core.outbox",)

_STORED: Final = f"""
SELECT sum(debits_posted) AS debits, sum(credits_posted) AS credits,
    (SELECT sum(units) FROM core.transfers WHERE tenant_id = ANY($1)) AS moved,
    (SELECT count(*) FROM core.transfers WHERE tenant_id = ANY($1)) AS transfers,
    ({EVENTS_WAITING}) AS waiting
FROM core.accounts WHERE tenant_id = ANY($1)
"""

_EVENTS: Final = """
SELECT payload FROM core.outbox WHERE tenant_id = ANY($1) AND type = 'entries.committed'
"""

_SIZE: Final = """
SELECT sum(pg_total_relation_size(part.relid))::bigint
FROM unnest($1::text[]) AS parent, pg_partition_tree(parent::regclass) AS part
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to post.

    Attributes:
        wanted: the multiple of TPC-B that is the goal.
        batch: entries in one call.
        callers: who call one tenant at the same time, each again when it has its answer.
    """

    name: str
    wanted: float
    batch: int = 1
    callers: int = 1


CASES: Final = (
    Case("single, 512 waiting", wanted=5, callers=256),
    Case("batch of 32", wanted=3, batch=32),
    Case("batch of 256", wanted=6, batch=256),
    Case("batch of 1024", wanted=7, batch=1024),
    Case("batch of 8190", wanted=12, batch=8190),
)


@dataclass(slots=True, kw_only=True)
class Book:
    """A tenant's book and what is posted to it.

    Attributes:
        accounts: the customers', each with more than it will ever pay.
        is_hot: every other transfer, on average, debits the first account.
        acknowledged: transfers of which we were told that they are committed.
    """

    journal: Journal
    ids: RandomIds
    random: Random
    tenant_id: TenantId
    asset: Asset
    accounts: list[AccountId]
    is_hot: bool
    operator: str
    acknowledged: int = 0

    def some(self, count: int) -> list[Entry]:
        """Make entries between accounts taken at random."""
        return [
            self.entry(*self._debit_and_credit(), self.random.randint(1, LARGEST))
            for _ in range(count)
        ]

    def entry(self, debit: AccountId, credit: AccountId, units: int) -> Entry:
        id = self.ids.new(EntryId)
        transfer = Transfer(
            id=self.ids.new(TransferId),
            debit_account_id=debit,
            credit_account_id=credit,
            amount=Amount(self.asset, units),
        )
        return Entry(
            id=id,
            transfers=(transfer,),
            source=EntrySource.OPERATOR,
            reference=self.operator,
        )

    async def post(self, entries: Sequence[Entry]) -> None:
        """Commit them; who comes meanwhile shares the next transaction."""
        call = str(self.ids.new(CallId))
        if await self.journal.post(self.tenant_id, entries, correlation_id=call) is None:
            raise Broken("an entry was refused, or known before")
        self.acknowledged += len(entries)

    def _debit_and_credit(self) -> tuple[AccountId, AccountId]:
        debit, credit = self.random.sample(self.accounts, 2)
        if self.is_hot and self.random.random() < 0.5:
            hot = self.accounts[0]
            return hot, debit if credit == hot else credit
        return debit, credit


@dataclass(frozen=True, slots=True)
class TpcB:
    """The yardstick, in a database of its own on the same server."""

    pgbench: Path
    owner_url: str

    async def prepare(self) -> None:
        connection = await asyncpg.connect(self.owner_url)
        try:
            await connection.execute(f"CREATE DATABASE {TPC_B_DATABASE}")
        finally:
            await connection.close()
        await self._run("-i", "-q", "-s", str(TPC_B_SCALE))

    async def per_second(self, seconds: float) -> float:
        """Return the transactions a second; pgbench takes whole seconds."""
        said = await self._run("-n", *TPC_B_LOAD, "-T", str(math.ceil(seconds)))
        found = _TPS.search(said)
        if found is None:
            raise Broken(f"pgbench said no tps:\n{said}")
        return float(found[1])

    async def _run(self, *arguments: str) -> str:
        owner = urlsplit(self.owner_url)
        host = owner.netloc.rpartition("@")[2]
        target = owner._replace(netloc=f"{owner.username}@{host}", path=f"/{TPC_B_DATABASE}")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        result = await asyncio.to_thread(
            subprocess.run,
            [str(self.pgbench), *arguments, target.geturl()],
            env=kept | {"LC_ALL": "C.UTF-8", "PGPASSWORD": unquote(owner.password or "")},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise Broken(f"pgbench failed:\n{result.stderr.strip()}")
        return result.stdout


async def measure(ready: ReadyStack, pgbench: Path, options: argparse.Namespace) -> Json:
    owner_url = await _over_socket(ready.database_url)
    tpc_b = TpcB(pgbench, owner_url)
    await tpc_b.prepare()
    await tpc_b.per_second(WARM_UP_S)
    alone = await tpc_b.per_second(options.seconds)
    engine = make_engine(role_url(owner_url, APP_ROLE), pool_size=POOL_SIZE, name="reli bench")
    try:
        books = await _make_books(engine, options)
        result = await _measure(tpc_b, books, options)
    except DomainError as e:
        raise Broken(f"{e.reason}: {e}") from e
    finally:
        await engine.dispose()
    found = await _look_into_database(owner_url, books)
    return {"tpc_b_alone_per_s": round(alone, 1)} | result | found


async def _over_socket(url: str) -> str:
    """Return the URL by which the stack's own parts reach the same server, if it has a socket."""
    connection = await asyncpg.connect(url)
    try:
        directory = await connection.fetchval("SHOW unix_socket_directories")
    finally:
        await connection.close()
    if not directory:
        return url
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    query = f"host={quote(directory)}&port={parts.port}"
    return parts._replace(netloc=f"{login}@", query=query).geturl()


async def _make_books(engine: AsyncEngine, options: argparse.Namespace) -> Sequence[Book]:
    """Make tenants with accounts, and fund each of them."""
    clock = SystemClock()
    ids = RandomIds(clock)
    market = PostgresMarket(engine, clock)
    units_of_work = PostgresUnitOfWorkFactory(engine, market, AccountIdCache())
    journal = PostgresJournal(PostgresClock(engine, clock), units_of_work, Announce(ids).committed)
    asset = (await market.catalogue()).assets[ASSET]
    books = []
    for number in range(options.tenants):
        book = Book(
            journal=journal,
            ids=ids,
            random=Random(SEED + number),
            tenant_id=ids.new(TenantId),
            asset=asset,
            accounts=[],
            is_hot=options.hot,
            operator=str(ids.new(ApiKeyId)),
        )
        await _open(book, units_of_work, f"bench-{number}", options.accounts)
        books.append(book)
    return books


async def _open(book: Book, units_of_work: UnitOfWorkFactory, slug: str, accounts: int) -> None:
    tenant = Tenant(
        id=book.tenant_id, slug=slug, display_name="Bench", branding={}, settings=TenantSettings()
    )
    rail = AccountKey(AccountKind.EXTERNAL, book.asset, "bank")
    async with units_of_work.begin(book.tenant_id) as uow:
        await uow.tenants.add(tenant)
        external = (await uow.ledger.open_accounts([rail]))[rail]
    while missing := accounts - len(book.accounts):
        keys = [
            AccountKey(AccountKind.CUSTOMER, book.asset, str(book.ids.new(CustomerId)))
            for _ in range(min(missing, SETUP_BATCH))
        ]
        async with units_of_work.begin(book.tenant_id) as uow:
            opened = list((await uow.ledger.open_accounts(keys)).values())
        await book.post([book.entry(external, account, FUNDS) for account in opened])
        book.accounts += opened


async def _measure(tpc_b: TpcB, books: Sequence[Book], options: argparse.Namespace) -> Json:
    rates = dict.fromkeys(CASES, FIRST_GUESS)
    await _round(tpc_b, books, WARM_UP_S, rates)
    rounds = [await _round(tpc_b, books, options.seconds, rates) for _ in range(options.rounds)]
    return {
        "tpc_b_per_s": median(one["tpc_b_per_s"] for one in rounds),
        "cases": {
            case.name: {
                "wanted": case.wanted,
                **{
                    figure: median(one["cases"][case.name][figure] for one in rounds)
                    for figure in ("transfers_per_s", "times_tpc_b")
                },
            }
            for case in CASES
        },
        "rounds": rounds,
    }


async def _round(
    tpc_b: TpcB, books: Sequence[Book], seconds: float, rates: dict[Case, float]
) -> Json:
    """Measure a slice of everything; `rates` says how much is a slice, and then how much was."""
    yardstick = await tpc_b.per_second(seconds)
    cases: Json = {}
    for case in CASES:
        done = await _slice(books, case, calls=round(rates[case] * seconds / case.batch))
        rates[case] = done.per_second
        cases[case.name] = {
            "transfers": len(done.done),
            "transfers_per_s": round(done.per_second, 1),
            "times_tpc_b": round(done.per_second / yardstick, 2),
        }
    return {"tpc_b_per_s": round(yardstick, 1), "cases": cases}


async def _slice(books: Sequence[Book], case: Case, *, calls: int) -> Slice[Entry]:
    """Post that many batches, or as many as there are callers; all are made beforehand."""
    each = max(math.ceil(calls / len(books)), case.callers)
    batches = {book.tenant_id: [book.some(case.batch) for _ in range(each)] for book in books}

    async def call(book: Book, left: Iterator[list[Entry]]) -> None:
        for batch in left:
            await book.post(batch)

    calling = []
    for book in books:
        left = iter(batches[book.tenant_id])
        calling += [call(book, left) for _ in range(case.callers)]
    settle_down()
    began = time.perf_counter()
    await asyncio.gather(*calling)
    seconds = time.perf_counter() - began
    done = [entry for those in batches.values() for batch in those for entry in batch]
    return Slice(seconds, done)


async def _look_into_database(url: str, books: Sequence[Book]) -> Json:
    """Compare what we were told with what is there, and weigh it."""
    connection = await asyncpg.connect(url)
    try:
        stored = await connection.fetchrow(_STORED, [book.tenant_id.uuid for book in books])
        payloads = await connection.fetch(_EVENTS, [book.tenant_id.uuid for book in books])
        sizes = [await connection.fetchval(_SIZE, tables) for tables in (BOOKS, OUTBOX)]
        server = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    if not stored["debits"] == stored["credits"] == stored["moved"]:
        raise Broken(f"the books do not balance: {dict(stored)}")
    acknowledged = sum(book.acknowledged for book in books)
    events = [event_pb2.Event.FromString(row["payload"]) for row in payloads]
    told = len({id for event in events for id in event.committed_entries.entry_ids})
    if not stored["transfers"] == told == acknowledged:
        raise Broken(f"{acknowledged} transfers were acknowledged, {told} told: {dict(stored)}")
    return {
        "transfers": acknowledged,
        "bytes_per_transfer": {
            name: round(size / acknowledged)
            for name, size in zip(("books", "outbox"), sizes, strict=True)
        },
        "events_waiting_at_the_end": stored["waiting"],
        "server": server,
    }


def _find_pgbench() -> Path:
    """Return the one beside our server, or else the newest that the machine has."""
    found = [binary("pgbench"), *(Path(path) for path in [which("pgbench")] if path)]
    installed = Path("/usr/lib/postgresql").glob("*/bin/pgbench")
    found += sorted(installed, key=lambda path: float(path.parts[-3]), reverse=True)
    for path in found:
        if os.access(path, os.X_OK):
            return path
    raise Broken("no pgbench found")


def _on_stack(options: argparse.Namespace) -> Json:
    pgbench = _find_pgbench()
    with running_stack(work=options.work) as ready:
        return uvloop.run(measure(ready, pgbench, options))


def report(result: Json) -> str:
    """Return the figures as a table."""
    rounds = result["rounds"]
    slices = "  ".join(f"{one['tpc_b_per_s']:.0f}" for one in rounds)
    lines = [
        f"{'':<22}{'a second':>10}{'× TPC-B':>10}{'wanted':>8}   slices",
        f"{'TPC-B':<22}{result['tpc_b_per_s']:>10.0f}{'':>18}   {slices}",
    ]
    for name, case in result["cases"].items():
        slices = "  ".join(f"{one['cases'][name]['times_tpc_b']:.2f}" for one in rounds)
        multiples = f"{case['times_tpc_b']:>10.2f}{case['wanted']:>8.0f}"
        lines.append(f"{name:<22}{case['transfers_per_s']:>10.0f}{multiples}   {slices}")
    weighs = result["bytes_per_transfer"]
    lines += [
        "",
        f"{result['transfers']} transfers, all of them stored, and the books balance",
        f"a transfer takes {weighs['books']} bytes in the books, {weighs['outbox']} in the outbox",
        f"{result['events_waiting_at_the_end']} events were waiting at the end",
        f"TPC-B before there were any: {result['tpc_b_alone_per_s']:.0f} a second",
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.ledger", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="of each slice")
    parser.add_argument("--rounds", type=int, default=5, help="of slices")
    parser.add_argument("--tenants", type=int, default=2, help="who post at the same time")
    parser.add_argument("--accounts", type=int, default=10_000, help="of each tenant")
    parser.add_argument("--hot", action="store_true", help="one account pays half of all transfers")
    parser.add_argument("--work", type=int, default=1, help="workers; without one no event leaves")
    return parser


def main() -> int:
    return 0 if run(_parser(), _on_stack, report) else 1


if __name__ == "__main__":
    sys.exit(main())
