"""Many at once over the same accounts while connections are cut: all or nothing, no deadlock."""

import asyncio
import random
from typing import Any, Final

import pytest

from domain.errors import DomainError, may_pass
from domain.ids import EntryId
from domain.ledger.entry import Entry
from tests.support.audit import assert_books_balance
from tests.support.ledger_rig import Rig, a_rig
from tests.support.locks import DEADLOCKS
from tests.support.platform import Platform

WRITERS: Final = 64
ROUNDS: Final = 4
CUTS: Final = 12

CUT_ONE: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = 'reli_app' AND state <> 'idle' AND datname = current_database()
ORDER BY random() LIMIT 1
"""
IDLE_IN_TRANSACTION: Final = """
SELECT FROM pg_stat_activity WHERE usename = 'reli_app' AND state LIKE 'idle in transaction%'
"""
STORED: Final = """
SELECT e.id, count(t.id) AS transfers FROM core.entries AS e
LEFT JOIN core.transfers AS t ON t.tenant_id = e.tenant_id AND t.entry_id = e.id
WHERE e.tenant_id = $1 GROUP BY e.id
"""


@pytest.fixture
async def rig(platform: Platform) -> Rig:
    return await a_rig(platform)


def an_entry_around(rig: Rig, chance: random.Random) -> Entry:
    """Return an entry over three accounts, which others touch in other orders."""
    first, second, third = chance.sample(["ada", "bob", "markup", "treasury"], 3)
    return rig.entry(
        rig.transfer("lp", first), rig.transfer(first, second), rig.transfer("lp", third)
    )


async def test_no_entry_is_halved_or_lost_and_nobody_deadlocks(rig: Rig) -> None:
    owner: Any = rig.platform.owner
    chance = random.Random(7)
    before = await owner.fetchval(DEADLOCKS)
    acknowledged: set[EntryId] = set()
    posted: set[EntryId] = set()

    journals = [rig.platform.container.journal(), rig.platform.work_container.journal()]

    async def write(batches: list[list[Entry]]) -> None:
        for batch in batches:
            try:
                journal = chance.choice([None, *journals])
                if journal and await rig.post(*batch, journal=journal):
                    posted.update(entry.id for entry in batch)
                elif len(batch) == 1:
                    await rig.commit(batch[0])
                else:
                    await rig.commit_all(batch)
            except DomainError as error:
                if not may_pass(error):
                    raise
            else:
                acknowledged.update(entry.id for entry in batch)

    async def cut() -> None:
        for _ in range(CUTS):
            await asyncio.sleep(0.05)
            await owner.fetch(CUT_ONE)

    await asyncio.gather(
        cut(),
        *(
            write(
                [
                    [an_entry_around(rig, chance) for _ in range(chance.choice([1, 3]))]
                    for _ in range(ROUNDS)
                ]
            )
            for _ in range(WRITERS)
        ),
    )

    for journal in journals:
        # Whatever it remembers by now, it is wrong; once it is calm that costs one more look.
        entry = an_entry_around(rig, chance)
        assert await rig.post(entry, journal=journal), "the books were locked although it is calm"
        posted.add(entry.id)
        acknowledged.add(entry.id)

    stored = {
        EntryId(row["id"]): row["transfers"]
        for row in await owner.fetch(STORED, rig.tenant_id.uuid)
    }
    assert set(stored.values()) == {3}
    assert acknowledged <= stored.keys()
    assert len(acknowledged) > WRITERS, "hardly anything was written"
    assert posted < acknowledged, "nobody had to lock the books"
    assert not await owner.fetch(IDLE_IN_TRANSACTION)
    assert await owner.fetchval(DEADLOCKS) == before
    await assert_books_balance(owner, str(rig.tenant_id))
