"""Entries are posted while connections are cut and processes die: all that was told is true."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import asyncpg
import grpc
import pytest

from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from app.audit.run import audit
from domain.ids import EntryId, TransferId
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as pb
from reli.ledger.v1.ledger_service_pb2_grpc import LedgerAdminServiceStub
from tests.chaos.stack import POSTGRES
from tests.support.platform import amount
from tests.support.stage import SERVE, Stage, open_stage

STORM_S: Final = 20.0
CALLERS: Final = 12
ACCOUNTS: Final = 6
MAY_PASS: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}

CUT: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = 'reli_app' AND datname = current_database() ORDER BY random() LIMIT 2
"""
IDLE_IN_TRANSACTION: Final = """
SELECT FROM pg_stat_activity WHERE usename = 'reli_app' AND state LIKE 'idle in transaction%'
"""
STORED: Final = """
SELECT e.id, count(t.id) AS transfers FROM core.entries AS e
LEFT JOIN core.transfers AS t ON t.tenant_id = e.tenant_id AND t.entry_id = e.id
WHERE e.source = 'operator' GROUP BY e.id
"""


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(workers=1) as stage:
        yield stage


@dataclass
class Poster:
    """Callers of the operator, who send a call again until they know what became of it.

    Attributes:
        transfers: of every entry that was ever sent.
        told: the outcome of every entry that somebody was told about.
    """

    stub: Any
    metadata: tuple[tuple[str, str], ...]
    tenant_id: str
    accounts: Sequence[str] = ()
    chance: Random = field(default_factory=lambda: Random(3))
    ids: RandomIds = field(default_factory=lambda: RandomIds(SystemClock()))
    transfers: dict[str, int] = field(default_factory=dict)
    told: dict[str, bool] = field(default_factory=dict)
    is_over: bool = False

    async def post(self) -> None:
        while not self.is_over:
            if self.chance.random() < 0.5:
                await self._batch()
            else:
                await self._single()

    async def _batch(self) -> None:
        entries = [self._entry() for _ in range(self.chance.choice([2, 30, 150]))]
        request = pb.CreateEntriesRequest(tenant_id=self.tenant_id, entries=entries)
        answer = await self._until_told(self.stub.CreateEntries, request)
        for entry, result in zip(entries, answer.results, strict=True):
            self.told[entry.entry_id] = result.outcome != pb.ENTRY_OUTCOME_REFUSED

    async def _single(self) -> None:
        entry = self._entry()
        request = pb.CreateEntryRequest(
            tenant_id=self.tenant_id,
            entry_id=entry.entry_id,
            transfers=entry.transfers,
            request_id=entry.entry_id,
        )
        self.told[entry.entry_id] = (
            await self._until_told(self.stub.CreateEntry, request) is not None
        )

    def _entry(self) -> pb.NewEntry:
        transfers = [self._transfer() for _ in range(self.chance.choice([1, 1, 3]))]
        entry = pb.NewEntry(entry_id=str(self.ids.new(EntryId)), transfers=transfers)
        self.transfers[entry.entry_id] = len(transfers)
        return entry

    def _transfer(self) -> ledger_pb2.Transfer:
        debit, credit = self.chance.sample(range(ACCOUNTS), 2)
        return ledger_pb2.Transfer(
            id=str(self.ids.new(TransferId)),
            debit_account_id=self.accounts[debit],
            credit_account_id=self.accounts[credit],
            amount=amount(f"{self.chance.randint(1, 300)}.00", "NGN"),
        )

    async def _until_told(self, method: Any, request: Any) -> Any:
        """Return the answer, or None for a refusal that is about the entry."""
        while True:
            try:
                return await method(request, metadata=self.metadata, timeout=5)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                    return None
                if error.code() not in MAY_PASS:
                    raise
            await asyncio.sleep(0.05)


async def test_what_was_told_is_in_the_books_and_the_rest_is_not(stage: Stage) -> None:
    owner = stage.database
    async with grpc.aio.insecure_channel(stage.ready.serve_targets[0]) as channel:
        poster = await _a_poster(stage, channel)
        posting = [asyncio.create_task(poster.post()) for _ in range(CALLERS)]
        kills = await _storm(stage, Random(5))
        poster.is_over = True
        await asyncio.wait_for(asyncio.gather(*posting), 60)

    assert kills["cut"] > 10, kills
    assert kills[SERVE] > 1, kills
    assert kills[POSTGRES] > 1, kills
    stored = {str(EntryId(row["id"])): row["transfers"] for row in await owner.fetch(STORED)}
    committed = {id for id, is_committed in poster.told.items() if is_committed}
    assert len(committed) > 500, "hardly anything was posted"
    assert committed < poster.told.keys(), "nothing was refused"
    assert committed == stored.keys() & poster.told.keys()
    assert stored == {id: poster.transfers[id] for id in stored}
    assert not await owner.fetch(IDLE_IN_TRANSACTION)
    await stage.until_quiet()
    report = await audit(stage.ready.database_url, stage.ready.venue_books)
    assert report.is_clean, [finding for finding in report.findings if finding.violations]


async def _a_poster(stage: Stage, channel: Any) -> Poster:
    """Make a tenant with an external account, which may go below zero, and customers of nothing."""
    key = stage.ready.operator_key
    made = await stage.post("/v1/tenants", key, {"slug": "storm", "display_name": "Storm"})
    tenant_id = made["tenant"]["id"]
    accounts = []
    for number in range(ACCOUNTS):
        opened = await stage.post(
            "/v1/ledger/accounts",
            key,
            {
                "tenant_id": tenant_id,
                "kind": "ACCOUNT_KIND_EXTERNAL" if number < 2 else "ACCOUNT_KIND_LP",
                "owner": f"somebody {number}",
                "asset": "NGN",
            },
        )
        accounts.append(opened["account"]["id"])
    treasury = await stage.post(
        "/v1/ledger/accounts",
        key,
        {"tenant_id": tenant_id, "kind": "ACCOUNT_KIND_TREASURY", "asset": "NGN"},
    )
    accounts[-1] = treasury["account"]["id"]
    return Poster(
        LedgerAdminServiceStub(channel),
        (("authorization", f"Bearer {key}"),),
        tenant_id,
        accounts,
    )


async def _storm(stage: Stage, chance: Random) -> dict[str, int]:
    """Cut connections, and kill the server and the database, for as long as a storm lasts."""
    counts = {"cut": 0, SERVE: 0, POSTGRES: 0}
    loop = asyncio.get_running_loop()
    end = loop.time() + STORM_S
    while loop.time() < end:
        await asyncio.sleep(chance.uniform(0.1, 0.5))
        victim = chance.choices(["cut", SERVE, POSTGRES], [8, 1, 1])[0]
        counts[victim] += 1
        if victim == "cut":
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await stage.database.fetch(CUT)
            continue
        stage.kill(victim)
        await asyncio.sleep(chance.uniform(0, 0.3))
        stage.restart(victim)
        await stage.until_ready(victim)
    stage.heal(workers=1)
    await stage.all_ready()
    return counts
