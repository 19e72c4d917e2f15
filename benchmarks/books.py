"""How far checkpoints are behind while entries are posted, and how long books take to be checked.

Batches are posted to the books of some tenants at the same time, as fast as the ledger port takes
them, while a worker chains and signs what was posted; how long ago the oldest entry was
acknowledged that no checkpoint covers yet is looked at several times a second. Then the largest
book is exported and verified by the commands that its tenant would use.
"""

import argparse
import asyncio
import math
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.request import urlopen
from uuid import UUID

import asyncpg
import uvloop

from adapters.postgres.engine import make_engine
from app.collector import settle_down
from app.database_url import APP_ROLE, role_url
from app.ledger import verify_books
from app.serve import POOL_SIZE
from app.stack.stack import ReadyStack
from benchmarks.book import Book, BookMaker
from benchmarks.ground import Broken, operator_of, over_socket, run, running_stack, say
from domain.ledger.entry import Entry

BATCH: Final = 8_190
LOOK_EVERY_S: Final = 0.25
CATCH_UP_WITHIN_S: Final = 300
COMMAND_WITHIN_S: Final = 600
WANTED_LAG_S: Final = 5.0
WANTED_CHECK_S: Final = 60.0

_COVERED: Final = """
SELECT tenant_id, max(entries) AS entries FROM core.checkpoints GROUP BY tenant_id
"""


@dataclass(slots=True)
class Follower:
    """How far behind the checkpoints of one book are.

    Attributes:
        waiting: when how many entries had been acknowledged, of which some are not covered yet.
    """

    book: Book
    waiting: deque[tuple[float, int]] = field(default_factory=deque)

    def acknowledged(self) -> None:
        self.waiting.append((time.perf_counter(), self.book.acknowledged))

    def lag_s(self, covered: int) -> float:
        """Return the age of the oldest acknowledged entry that is not covered."""
        while self.waiting and self.waiting[0][1] <= covered:
            self.waiting.popleft()
        return time.perf_counter() - self.waiting[0][0] if self.waiting else 0.0


async def _lag_and_fill(ready: ReadyStack, options: argparse.Namespace) -> dict[str, Any]:
    url = await over_socket(ready.database_url)
    engine = make_engine(role_url(url, APP_ROLE), pool_size=POOL_SIZE, name="reli bench")
    owner = await asyncpg.connect(url)
    try:
        say("opening books")
        maker = BookMaker(engine, await operator_of(url))
        books = await maker.open(options.tenants, accounts=options.accounts)
        followers = {book.tenant_id.uuid: Follower(book) for book in books}
        for follower in followers.values():
            follower.acknowledged()
        await _catch_up(owner, followers)
        each = math.ceil(options.posted / BATCH / len(books))
        batches = [[book.some(BATCH) for _ in range(each)] for book in books]
        settle_down()
        say(f"posting {each * BATCH * len(books):,} entries")
        began = time.perf_counter()
        looking = asyncio.create_task(_look(owner, followers))
        async with asyncio.TaskGroup() as group:
            for follower, mine in zip(followers.values(), batches, strict=True):
                group.create_task(_post(follower, mine))
        seconds = time.perf_counter() - began
        looking.cancel()
        lags = await looking
        caught_up_s = await _catch_up(owner, followers)
        largest = followers[books[0].tenant_id.uuid]
        if missing := math.ceil((options.entries - books[0].acknowledged) / BATCH):
            say(f"posting {missing * BATCH:,} more to one book")
            for _ in range(missing):
                await _post(largest, [books[0].some(BATCH)])
            await _catch_up(owner, followers)
        return {
            "tenant_id": str(books[0].tenant_id),
            "entries": books[0].acknowledged,
            "posted_per_s": round(each * BATCH * len(books) / seconds, 1),
            "lag_median_s": round(median(lags), 2),
            "lag_max_s": round(max(lags), 2),
            "caught_up_s": round(caught_up_s, 2),
        }
    finally:
        await owner.close()
        await engine.dispose()


async def _post(follower: Follower, batches: Sequence[Sequence[Entry]]) -> None:
    for batch in batches:
        await follower.book.post(batch)
        follower.acknowledged()


async def _look(owner: Any, followers: Mapping[UUID, Follower]) -> list[float]:
    """Return how far behind the checkpoints were, each time, until canceled."""
    lags: list[float] = []
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            lags.append(await _lag(owner, followers))
    return lags


async def _catch_up(owner: Any, followers: Mapping[UUID, Follower]) -> float:
    """Return how long it took until everything is covered."""
    began = time.perf_counter()
    async with asyncio.timeout(CATCH_UP_WITHIN_S):
        while await _lag(owner, followers):  # noqa: ASYNC110 - the database does not call
            await asyncio.sleep(LOOK_EVERY_S)
    return time.perf_counter() - began


async def _lag(owner: Any, followers: Mapping[UUID, Follower]) -> float:
    covered = {row["tenant_id"]: row["entries"] for row in await owner.fetch(_COVERED)}
    return max(one.lag_s(covered.get(id, 0)) for id, one in followers.items())


def _check(ready: ReadyStack, tenant_id: str, home: Path) -> dict[str, Any]:
    """Export a book and verify it, each by its command."""
    books, jwks = home / "books", home / "jwks.json"
    jwks.write_bytes(urlopen(f"{ready.rest_url}/.well-known/jwks.json", timeout=10).read())
    env = {**os.environ, "RELI_DATABASE_URL": ready.database_url}
    say("exporting")
    began = time.perf_counter()
    command = [sys.executable, "-m", "app", "ledger", "export", tenant_id, str(books)]
    subprocess.run(command, env=env, check=True, timeout=COMMAND_WITHIN_S)
    exported = time.perf_counter()
    say("verifying")
    command = [sys.executable, "-I", verify_books.__file__, str(books), str(jwks)]
    ran = subprocess.run(
        command, check=False, timeout=COMMAND_WITHIN_S, capture_output=True, text=True
    )
    if ran.returncode:
        raise Broken(f"the books do not verify: {ran.stderr.strip()}")
    return {
        "verdict": ran.stdout.strip(),
        "megabytes": round(books.stat().st_size / 1e6, 1),
        "export_s": round(exported - began, 1),
        "verify_s": round(time.perf_counter() - exported, 1),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with running_stack() as ready, TemporaryDirectory(prefix="reli-bench-") as home:
        result = uvloop.run(_lag_and_fill(ready, options))
        return result | _check(ready, result["tenant_id"], Path(home))


def report(result: dict[str, Any]) -> str:
    return "\n".join(
        (
            f"checkpoints, while {result['posted_per_s']:,.0f} entries a second are posted "
            f"(wanted: within {WANTED_LAG_S:.0f} s)",
            f"  behind      {result['lag_median_s']:>8.2f} s median, "
            f"{result['lag_max_s']:.2f} s at most; {result['caught_up_s']:.2f} s after the last",
            f"a book of {result['entries']:,} entries, {result['megabytes']} MB "
            f"(wanted: below {WANTED_CHECK_S:.0f} s together)",
            f"  export      {result['export_s']:>8.1f} s",
            f"  verify      {result['verify_s']:>8.1f} s: {result['verdict']}",
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.books", description=__doc__)
    parser.add_argument("--tenants", type=int, default=2, help="who post at the same time")
    parser.add_argument("--accounts", type=int, default=10_000, help="of each tenant")
    parser.add_argument("--posted", type=int, default=400_000, help="entries posted under watch")
    parser.add_argument("--entries", type=int, default=1_000_000, help="in the exported book")
    return parser


def main() -> int:
    return 0 if run(_parser(), measure, report) else 1


if __name__ == "__main__":
    sys.exit(main())
