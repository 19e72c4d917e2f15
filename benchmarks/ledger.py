"""How many transfers a second the books take, as multiples of TPC-B on the same server.

Entries of one transfer each are posted to the books of two tenants: at the ledger port in batches,
one after the other for each tenant, and one by one by many callers at once; with half of all
transfers paid by one account; and from outside, by CreateEntries over gRPC and CreateEntry over
REST. A worker empties the outbox meanwhile. Rounds of slices alternate the cases with pgbench's
TPC-B; what is printed are medians over the rounds. Then the same batches are posted to one tenant
and to many in turn, and to books that have grown.
"""

import argparse
import asyncio
import math
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import asyncpg
import grpc
import uvloop

from adapters.postgres.engine import make_engine
from adapters.wire.ledger import transfer_message
from app.audit.run import audit
from app.collector import settle_down
from app.database_url import APP_ROLE, role_url
from app.serve import POOL_SIZE
from app.stack.stack import ReadyStack
from benchmarks.book import Book, BookMaker
from benchmarks.client import Client, Json
from benchmarks.ground import (
    EVENTS_WAITING,
    Broken,
    operator_of,
    over_socket,
    run,
    running_stack,
    say,
)
from benchmarks.load import Slice, closed_loop
from benchmarks.picture import draw
from benchmarks.tpc_b import TpcB, find_pgbench
from benchmarks.wire import CALL_TIMEOUT_S
from domain.errors import DomainError
from domain.ledger.entry import Entry
from reli.event.v1 import event_pb2
from reli.ledger.v1 import ledger_service_pb2 as pb

WARM_UP_S: Final = 0.5
FIRST_GUESS: Final = 10_000.0
RPC_CALLERS: Final = 64
TURN_BATCH: Final = 64
TURN_ACCOUNTS: Final = 50
SHEETS_TIMEOUT_S: Final = 120.0
STORED_BATCH: Final = 1_024
FILL_BATCH: Final = 8_190
SIZES: Final = (100_000, 1_000_000)

BOOKS: Final = ("core.entries", "core.transfers", "core.resolutions")
OUTBOX: Final = ("core.outbox",)

_STORED: Final = f"""
SELECT sum(debits_posted) AS debits, sum(credits_posted) AS credits,
    (SELECT sum(units) FROM core.transfers) AS moved,
    (SELECT count(*) FROM core.transfers) AS transfers,
    ({EVENTS_WAITING}) AS waiting
FROM core.accounts
"""

_EVENTS: Final = "SELECT payload FROM core.outbox WHERE type = 'entries.committed'"

_WITH_SHEETS: Final = """
SELECT count(*) FROM core.liability_heads WHERE tenant_id = ANY($1) AND looked_at IS NOT NULL
"""

_SIZE: Final = """
SELECT sum(pg_total_relation_size(part.relid))::bigint
FROM unnest($1::text[]) AS parent, pg_partition_tree(parent::regclass) AS part
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to post.

    Attributes:
        wanted, goal: multiples of TPC-B; none where another figure is judged.
        batch: entries in one call.
        callers: who call one tenant at the same time, each again when it has its answer.
        is_hot: one account pays half of all transfers.
        is_outside: over gRPC, CreateEntries.
    """

    name: str
    wanted: float = 0
    goal: float = 0
    batch: int = 1
    callers: int = 1
    is_hot: bool = False
    is_outside: bool = False


CASES: Final = (
    Case("single, 512 waiting", 5, 7, callers=256),
    Case("batch of 32", 3, 4.5, batch=32),
    Case("batch of 256", 6, 8, batch=256),
    Case("batch of 1024", 7, 9, batch=1024),
    Case("batch of 8190", 12, 14, batch=8190),
    Case("single, hot", callers=256, is_hot=True),
    Case("batch of 1024, hot", batch=1024, is_hot=True),
    Case("CreateEntries of 1024", batch=1024, is_outside=True),
    Case("CreateEntries of 8190", batch=8190, is_outside=True),
)

SHARES: Final = (
    ("hot account, single", "single, hot", "single, 512 waiting", 0.5),
    ("hot account, 1024", "batch of 1024, hot", "batch of 1024", 0.5),
    ("CreateEntries, 1024", "CreateEntries of 1024", "batch of 1024", 0.6),
    ("CreateEntries, 8190", "CreateEntries of 8190", "batch of 8190", 0.6),
    ("CreateEntry ÷ yardstick call", "CreateEntry", "yardstick call", 0.6),
)
"""What is judged as a share of something else in the same round, and how much is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is measured, and by what.

    Attributes:
        inside, outside: books that this process posts to, and those that the server posts to;
            each remembers the balances of its own.
    """

    owner_url: str
    tpc_b: TpcB
    maker: BookMaker
    inside: Sequence[Book]
    outside: Sequence[Book]
    create_entries: Callable[[bytes], Awaitable[bytes]]
    rest: Client
    operator: Mapping[str, str]

    @property
    def books(self) -> Sequence[Book]:
        return [*self.inside, *self.outside]


async def measure(ready: ReadyStack, options: argparse.Namespace) -> Json:
    owner_url = await over_socket(ready.database_url)
    tpc_b = TpcB(find_pgbench(), owner_url)
    await tpc_b.prepare()
    await tpc_b.per_second(WARM_UP_S)
    engine = make_engine(role_url(owner_url, APP_ROLE), pool_size=POOL_SIZE, name="reli bench")
    maker = BookMaker(engine, await operator_of(owner_url))
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=2 * RPC_CALLERS, keepalive_timeout=60)
    operator = {"authorization": f"Bearer {ready.operator_key}"}
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            grpc.aio.insecure_channel(ready.serve_targets[0]) as channel,
        ):
            say("opening books")
            ground = Ground(
                owner_url=owner_url,
                tpc_b=tpc_b,
                maker=maker,
                inside=await maker.open(options.tenants, accounts=options.accounts),
                outside=await maker.open(options.tenants, accounts=options.accounts),
                create_entries=_create_entries(channel, tuple(operator.items())),
                rest=Client(session, ready.rest_url),
                operator=operator | {"content-type": "application/json"},
            )
            result: Json = {}
            turned = 0
            if options.soak:
                result["soak"] = await _soak(ground, options)
            else:
                result |= await _measure(ground, options)
                result["tenants"], turned = await _tenants_in_turn(ground, options)
                result["stored"] = await _stored(ground, options)
    except DomainError as e:
        raise Broken(f"{e.reason}: {e}") from e
    finally:
        await engine.dispose()
    result |= await _look_into_database(owner_url, turned, ground)
    return result | {"audit": await _audit(ready, result["transfers"])}


async def _measure(ground: Ground, options: argparse.Namespace) -> Json:
    rates = {case.name: FIRST_GUESS for case in CASES}
    say("warming up")
    await _round(ground, WARM_UP_S, rates)
    rounds = []
    for number in range(options.rounds):
        say(f"round {number + 1} of {options.rounds}")
        rounds.append(await _round(ground, options.seconds, rates))
    return {
        "tpc_b_per_s": median(one["tpc_b_per_s"] for one in rounds),
        "cases": {
            name: {
                figure: median(one["cases"][name][figure] for one in rounds)
                for figure in rounds[0]["cases"][name]
            }
            for name in rounds[0]["cases"]
        },
        "shares": {
            name: {
                "wanted": wanted,
                "share": median(
                    one["cases"][part]["per_s"] / one["cases"][whole]["per_s"] for one in rounds
                ),
            }
            for name, part, whole, wanted in SHARES
        },
        "rounds": rounds,
    }


async def _round(ground: Ground, seconds: float, rates: dict[str, float]) -> Json:
    """Measure a slice of everything; `rates` says how much is a slice, and then how much was."""
    yardstick = await ground.tpc_b.per_second(seconds)
    cases: Json = {}
    for case in CASES:
        calls = math.ceil(rates[case.name] * seconds / case.batch)
        done = await _slice(ground, case, calls=calls)
        rates[case.name] = done.per_second
        cases[case.name] = {
            "per_s": round(done.per_second, 1),
            "times_tpc_b": round(done.per_second / yardstick, 2),
        }
    for name, rate in (await _rest(ground, seconds)).items():
        cases[name] = {"per_s": round(rate, 1), "times_tpc_b": round(rate / yardstick, 2)}
    return {"tpc_b_per_s": round(yardstick, 1), "cases": cases}


async def _slice(ground: Ground, case: Case, *, calls: int) -> Slice[Entry]:
    """Post that many batches, or as many as there are callers; all are made beforehand."""
    books = ground.outside if case.is_outside else ground.inside
    each = max(math.ceil(calls / len(books)), case.callers)
    entries = {
        book.tenant_id: [book.some(case.batch, is_hot=case.is_hot) for _ in range(each)]
        for book in books
    }
    asked = {
        id: [_request(id, batch) if case.is_outside else b"" for batch in batches]
        for id, batches in entries.items()
    }

    async def call(book: Book, left: Iterator[tuple[list[Entry], bytes]]) -> None:
        for batch, request in left:
            if case.is_outside:
                answers.append(await ground.create_entries(request))
                book.acknowledged += len(batch)
            else:
                await book.post(batch)

    answers: list[bytes] = []
    calling = []
    for book in books:
        left = iter(list(zip(entries[book.tenant_id], asked[book.tenant_id], strict=True)))
        calling += [call(book, left) for _ in range(case.callers)]
    settle_down()
    began = time.perf_counter()
    await asyncio.gather(*calling)
    seconds = time.perf_counter() - began
    for answer in answers:
        results = pb.CreateEntriesResponse.FromString(answer).results
        if {result.outcome for result in results} != {pb.ENTRY_OUTCOME_COMMITTED}:
            raise Broken("an entry was refused, or known before")
    return Slice(seconds, [one for those in entries.values() for batch in those for one in batch])


async def _rest(ground: Ground, seconds: float) -> Mapping[str, float]:
    """Return how many of each are answered a second: the yardstick's calls, and entries."""
    books = ground.outside
    asked: list[tuple[Book, str, bytes]] = []

    async def read(_number: int) -> None:
        await ground.rest.call("GET", "/v1/assets", dict(ground.operator))

    async def enter(number: int) -> None:
        book, key, body = asked[number]
        headers = {**ground.operator, "idempotency-key": key}
        await ground.rest.call("POST", "/v1/ledger/entries", headers, body)
        book.acknowledged += 1

    reads = await closed_loop(read, seconds=seconds, concurrency=RPC_CALLERS)
    for number in range(math.ceil(reads.per_second * seconds) + RPC_CALLERS):
        book = books[number % len(books)]
        (entry,) = book.some(1)
        asked.append((book, str(entry.id), _body(book, entry)))
    entered = await closed_loop(enter, seconds=seconds, concurrency=RPC_CALLERS)
    if ground.rest.failures:
        raise Broken(f"calls failed: {dict(ground.rest.failures)}")
    return {"yardstick call": reads.per_second, "CreateEntry": entered.per_second}


async def _tenants_in_turn(ground: Ground, options: argparse.Namespace) -> tuple[Json, int]:
    """Post batches of one size to so many tenants in turn, and to one."""
    say(f"opening the books of {options.turns} tenants, each with its first sheet of liabilities")
    books = await ground.maker.open(options.turns, accounts=TURN_ACCOUNTS)
    await _until_all_have_sheets(ground.owner_url, books)
    numbers = sorted({1, 10, 100, options.turns} & set(range(1, options.turns + 1)))
    rates: dict[int, list[float]] = {number: [] for number in numbers}
    # As many for one tenant as for many: what the worker does of it comes a second later.
    calls = max(options.turns, math.ceil(options.seconds * FIRST_GUESS / TURN_BATCH))
    for number in range(options.rounds):
        say(f"tenants in turn, round {number + 1} of {options.rounds}")
        for tenants in numbers:
            turn = [books[call % tenants] for call in range(calls)]
            batches = [(book, book.some(TURN_BATCH)) for book in turn]
            settle_down()
            began = time.perf_counter()
            for book, batch in batches:
                await book.post(batch)
            rates[tenants].append(calls * TURN_BATCH / (time.perf_counter() - began))
    shares = {
        tenants: median(rate / one for rate, one in zip(rates[tenants], rates[1], strict=True))
        for tenants in numbers
    }
    found = {
        str(tenants): {"per_s": round(median(rates[tenants]), 1), "share": round(share, 3)}
        for tenants, share in shares.items()
    }
    return found, sum(book.acknowledged for book in books)


async def _until_all_have_sheets(owner_url: str, books: Sequence[Book]) -> None:
    """Wait for what is done once for a new tenant, and would be taken for a part of its batches."""
    tenants = [book.tenant_id.uuid for book in books]
    connection = await asyncpg.connect(owner_url)
    try:
        async with asyncio.timeout(SHEETS_TIMEOUT_S):
            while await connection.fetchval(  # noqa: ASYNC110 - nobody tells
                _WITH_SHEETS, tenants
            ) < len(tenants):
                await asyncio.sleep(0.5)
    except TimeoutError as e:
        raise Broken("not every new tenant has its sheet of liabilities") from e
    finally:
        await connection.close()


async def _stored(ground: Ground, options: argparse.Namespace) -> Json:
    """Fill one book, and measure batches on the way: each time beside TPC-B."""
    book = ground.inside[0]
    found: Json = {}
    smaller = [size for size in SIZES if size < options.stored]
    for stored in [*smaller, options.stored]:
        say(f"filling a book to {stored} transfers")
        while book.acknowledged < stored:
            await book.post(book.some(min(FILL_BATCH, stored - book.acknowledged)))
        rates, multiples = [], []
        for _ in range(options.rounds):
            yardstick = await ground.tpc_b.per_second(options.seconds)
            batches = [
                book.some(STORED_BATCH)
                for _ in range(math.ceil(options.seconds * FIRST_GUESS / STORED_BATCH))
            ]
            settle_down()
            began = time.perf_counter()
            for batch in batches:
                await book.post(batch)
            rates.append(len(batches) * STORED_BATCH / (time.perf_counter() - began))
            multiples.append(rates[-1] / yardstick)
        found[str(stored)] = {
            "per_s": round(median(rates), 1),
            "times_tpc_b": round(median(multiples), 2),
        }
    return found


async def _soak(ground: Ground, options: argparse.Namespace) -> Json:
    """Post batches for so many minutes, and TPC-B once in each."""
    case = next(case for case in CASES if case.batch == STORED_BATCH)
    minutes: list[Json] = []
    rate = FIRST_GUESS
    for number in range(options.soak):
        yardstick = await ground.tpc_b.per_second(options.seconds)
        began = time.perf_counter()
        transfers, seconds = 0, 0.0
        while time.perf_counter() - began < 60 - options.seconds:
            done = await _slice(ground, case, calls=math.ceil(rate * 5 / case.batch))
            rate = done.per_second
            transfers += len(done.done)
            seconds += done.seconds
        minutes.append(
            {
                "tpc_b_per_s": round(yardstick, 1),
                "per_s": round(transfers / seconds, 1),
                "times_tpc_b": round(transfers / seconds / yardstick, 2),
            }
        )
        say(f"minute {number + 1} of {options.soak}: {minutes[-1]}")
    third = max(len(minutes) // 3, 1)
    first, last = minutes[:third], minutes[-third:]
    return {
        "minutes": minutes,
        "last_third_of_the_first": {
            figure: round(
                median(one[figure] for one in last) / median(one[figure] for one in first), 3
            )
            for figure in ("per_s", "times_tpc_b")
        },
    }


def _create_entries(
    channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]
) -> Callable[[bytes], Awaitable[bytes]]:
    """Return a call that takes and gives bytes: reading them is no work of the server's."""
    untyped: Any = channel
    send = untyped.unary_unary("/reli.ledger.v1.LedgerAdminService/CreateEntries")

    async def create(request: bytes) -> bytes:
        answer: bytes = await send(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
        return answer

    return create


def _request(tenant_id: object, entries: Sequence[Entry]) -> bytes:
    return pb.CreateEntriesRequest(
        tenant_id=str(tenant_id),
        entries=[
            pb.NewEntry(
                entry_id=str(entry.id),
                transfers=[transfer_message(transfer) for transfer in entry.transfers],
            )
            for entry in entries
        ],
    ).SerializeToString()


def _body(book: Book, entry: Entry) -> bytes:
    (transfer,) = entry.transfers
    return (
        f'{{"tenant_id": "{book.tenant_id}", "entry_id": "{entry.id}", "transfers": [{{'
        f'"id": "{transfer.id}", "debit_account_id": "{transfer.debit_account_id}", '
        f'"credit_account_id": "{transfer.credit_account_id}", "amount": '
        f'{{"value": "{transfer.amount.value}", "asset": "{transfer.amount.asset}"}}}}]}}'
    ).encode()


async def _look_into_database(url: str, turned: int, ground: Ground) -> Json:
    """Compare what we were told with what is there, and weigh it."""
    connection = await asyncpg.connect(url)
    told = 0
    try:
        stored = await connection.fetchrow(_STORED)
        async with connection.transaction():
            async for row in connection.cursor(_EVENTS):
                event = event_pb2.Event.FromString(row["payload"])
                told += len(event.committed_entries.entry_ids)
        sizes = [await connection.fetchval(_SIZE, tables) for tables in (BOOKS, OUTBOX)]
        server = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    if not stored["debits"] == stored["credits"] == stored["moved"]:
        raise Broken(f"the books do not balance: {dict(stored)}")
    acknowledged = turned + sum(book.acknowledged for book in ground.books)
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


async def _audit(ready: ReadyStack, transfers: int) -> Json:
    """Audit all of it, as `reli audit` does."""
    say("auditing the books")
    report = await audit(ready.database_url, ready.venue_books)
    if not report.is_clean:
        broken = {one.check.id: one.violations[:2] for one in report.findings if one.violations}
        raise Broken(f"the audit found {broken}")
    return {
        "seconds": round(report.seconds, 1),
        "seconds_per_million": round(report.seconds / transfers * 1_000_000, 1),
    }


def _on_stack(options: argparse.Namespace) -> Json:
    find_pgbench()
    with running_stack(work=options.work) as ready:
        result = uvloop.run(measure(ready, options))
    if not options.soak:
        draw(result, {case.name: (case.wanted, case.goal) for case in CASES}, Path(options.picture))
    return result


def report(result: Json) -> str:
    """Return the figures as tables."""
    lines = _soak_lines(result) if "soak" in result else _lines(result)
    weighs, audited = result["bytes_per_transfer"], result["audit"]
    return "\n".join(
        [
            *lines,
            "",
            f"{result['transfers']} transfers, all of them stored, and the books balance",
            f"a transfer takes {weighs['books']} bytes in the books, "
            f"{weighs['outbox']} in the outbox",
            f"{result['events_waiting_at_the_end']} events were waiting at the end",
            f"audited in {audited['seconds']:.0f} s, "
            f"a million transfers in {audited['seconds_per_million']:.0f}",
        ]
    )


def _lines(result: Json) -> list[str]:
    rounds = result["rounds"]
    slices = "  ".join(f"{one['tpc_b_per_s']:.0f}" for one in rounds)
    wanted = {case.name: case for case in CASES}
    lines = [
        f"{'':<24}{'a second':>10}{'× TPC-B':>10}{'wanted':>8}{'goal':>6}   slices",
        f"{'TPC-B':<24}{result['tpc_b_per_s']:>10.0f}{'':>24}   {slices}",
    ]
    for name, case in result["cases"].items():
        slices = "  ".join(f"{one['cases'][name]['times_tpc_b']:.2f}" for one in rounds)
        judged = wanted.get(name)
        marks = f"{judged.wanted:>8g}{judged.goal:>6g}" if judged and judged.wanted else " " * 14
        lines.append(
            f"{name:<24}{case['per_s']:>10.0f}{case['times_tpc_b']:>10.2f}{marks}   {slices}"
        )
    lines += ["", f"{'':<30}{'share':>8}{'wanted':>8}"]
    lines += [
        f"{name:<30}{one['share']:>8.2f}{one['wanted']:>8g}"
        for name, one in result["shares"].items()
    ]
    lines += ["", f"{'tenants in turn':<16}{'a second':>10}{'of one':>8}"]
    lines += [
        f"{tenants:<16}{one['per_s']:>10.0f}{one['share']:>8.2f}"
        for tenants, one in result["tenants"].items()
    ]
    lines += ["", f"{'transfers stored':<16}{'a second':>10}{'× TPC-B':>10}"]
    lines += [
        f"{stored:<16}{one['per_s']:>10.0f}{one['times_tpc_b']:>10.2f}"
        for stored, one in result["stored"].items()
    ]
    return lines


def _soak_lines(result: Json) -> list[str]:
    soak = result["soak"]
    share = soak["last_third_of_the_first"]
    return [
        f"{'minute':<8}{'TPC-B':>8}{'a second':>10}{'× TPC-B':>10}",
        *(
            f"{number:<8}{one['tpc_b_per_s']:>8.0f}{one['per_s']:>10.0f}{one['times_tpc_b']:>10.2f}"
            for number, one in enumerate(soak["minutes"], start=1)
        ),
        "",
        f"the last third of the first: {share['per_s']:.2f}, "
        f"and {share['times_tpc_b']:.2f} as multiples of TPC-B",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.ledger", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="of each slice")
    parser.add_argument("--rounds", type=int, default=5, help="of slices")
    parser.add_argument("--tenants", type=int, default=2, help="who post at the same time")
    parser.add_argument("--accounts", type=int, default=10_000, help="of each tenant")
    parser.add_argument("--turns", type=int, default=1_000, help="tenants that post in turn")
    parser.add_argument("--stored", type=int, default=1_000_000, help="transfers in the end")
    parser.add_argument("--soak", type=int, default=0, metavar="MINUTES", help="nothing but that")
    parser.add_argument("--work", type=int, default=1, help="workers; without one no event leaves")
    parser.add_argument("--picture", default="build/bench-ledger.png", metavar="FILE.png")
    return parser


def main() -> int:
    return 0 if run(_parser(), _on_stack, report) else 1


if __name__ == "__main__":
    sys.exit(main())
