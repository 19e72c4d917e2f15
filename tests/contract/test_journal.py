"""What every journal does: it posts what is new, plain and funded, and leaves the rest alone.

A journal joins by one more parameter of the fixture `rig`.
"""

import asyncio
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any
from uuid import UUID

import pytest

import adapters.postgres.journal as journal_adapter
from domain.ids import AccountId, EntryId, TenantId
from domain.ledger.entry import Entry
from domain.ledger.errors import InsufficientFunds
from domain.ledger.transfer import TransferKind
from ports.journal import Journal
from ports.request import RequestKey
from reli.event.v1 import event_pb2
from tests.support.ledger_rig import Rig, a_rig
from tests.support.locks import no_deadlock, until_waiting
from tests.support.platform import Platform

PENDING, POST = TransferKind.PENDING, TransferKind.POST


@pytest.fixture(params=["postgres"])
async def rig(platform: Platform) -> Rig:
    return await a_rig(platform)


@pytest.fixture
def journal(platform: Platform) -> Journal:
    return platform.container.journal()


@pytest.fixture
def elsewhere(platform: Platform) -> Journal:
    """The journal of another process, with a memory of its own."""
    return platform.work_container.journal()


async def test_what_is_posted_is_in_the_books(rig: Rig) -> None:
    hold = rig.transfer("ada", "markup", 30, kind=PENDING, purpose="hold")
    entries = [
        rig.entry(rig.transfer("lp", "ada", 100), rig.transfer("ada", "bob", 40)),
        rig.entry(hold),
    ]

    recorded_at = await rig.post(*entries)

    assert recorded_at
    ada = await rig.account("ada")
    assert (ada.balance, ada.held, ada.version) == (60, 30, 3)
    assert (await rig.account("lp")).balance == -100
    async with rig.begin() as uow:
        for entry in entries:
            kept = await uow.ledger.get_entry(entry.id)
            assert (kept.entry, kept.recorded_at) == (entry.recorded(recorded_at), recorded_at)
    assert [line.balance_after.units for line in await rig.lines("ada")] == [60, 60, 100]


async def test_its_events_name_the_entries(rig: Rig) -> None:
    entries = [rig.entry(rig.transfer("lp", "ada")) for _ in range(1_001)]

    await rig.post(*entries)

    told = await _events(rig)
    assert [len(event.committed_entries.entry_ids) for event in told] == [1_000, 1]
    named = [id for event in told for id in event.committed_entries.entry_ids]
    assert named == [str(entry.id) for entry in entries]
    assert {(event.type, event.correlation_id) for event in told} == {
        ("entries.committed", "a call")
    }
    assert not told[0].committed_entries.correlation_ids


async def test_calls_that_are_committed_together_share_an_event(rig: Rig, journal: Journal) -> None:
    calls = {f"call {number}": rig.entry(rig.transfer("lp", "ada")) for number in range(9)}

    await asyncio.gather(
        *(
            journal.post(rig.tenant_id, [entry], correlation_id=call)
            for call, entry in calls.items()
        )
    )

    told = await _events(rig)
    assert len(told) < len(calls)
    named = {
        id: call or event.correlation_id
        for event in told
        for id, call in zip_longest(
            event.committed_entries.entry_ids, event.committed_entries.correlation_ids
        )
    }
    assert named == {str(entry.id): call for call, entry in calls.items()}


async def test_those_who_come_meanwhile_share_the_next_statement(rig: Rig) -> None:
    await asyncio.gather(*(rig.post(rig.entry(rig.transfer("lp", "ada"))) for _ in range(200)))

    statements = await rig.platform.owner.fetchval(
        "SELECT count(DISTINCT recorded_at) FROM core.entries WHERE tenant_id = $1",
        rig.tenant_id.uuid,
    )
    assert (await rig.account("ada")).balance == 200
    assert statements <= 3


@pytest.mark.parametrize(
    "change",
    [
        {"effective_at": "an hour ago"},
        {"reverses": "another entry"},
        {"transfers": "a post"},
        {"transfers": "a hold that lapses"},
    ],
    ids=lambda change: next(iter(change.values())),
)
async def test_an_entry_that_is_not_plain_is_left_alone(rig: Rig, change: dict[str, str]) -> None:
    hold = rig.transfer("lp", "ada", kind=PENDING)
    await rig.enter(hold)
    soon = hold.id.created_at + timedelta(hours=1)
    changes: dict[str, Any] = {
        "an hour ago": soon - timedelta(hours=2),
        "another entry": rig.platform.ids.new(EntryId),
        "a post": (rig.resolution(hold, POST),),
        "a hold that lapses": (rig.transfer("lp", "ada", kind=PENDING, expires_at=soon),),
    }
    ((field, what),) = change.items()
    plain = rig.entry(rig.transfer("lp", "ada"))

    await _is_left_alone(rig, plain._replace(**{field: changes[what]}))


async def test_what_would_be_refused_is_left_alone_and_its_neighbors_are_posted(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10))
    nobody = rig.transfer("lp", "ada")._replace(credit_account_id=rig.platform.ids.new(AccountId))
    wrong = [
        rig.entry(rig.transfer("ada", "bob", 11)),
        rig.entry(nobody),
        rig.entry(rig.transfer("ada", "ada")),
        rig.entry(rig.transfer("ada", "lp in dollars")),
        rig.entry(),
    ]
    right = [rig.entry(rig.transfer("lp", "bob", 5)) for _ in wrong]

    results = await asyncio.gather(
        *(rig.post(entry) for pair in zip(right, wrong, strict=True) for entry in pair)
    )

    assert [bool(one) for one in results] == [True, False] * len(wrong)
    assert (await rig.account("bob")).balance == 5 * len(wrong)
    assert await _stored(rig, wrong) == set()


async def test_a_credit_line_that_was_taken_back_is_seen(rig: Rig) -> None:
    await rig.post(rig.entry(rig.transfer("treasury", "ada", 10)))
    async with rig.begin() as uow:
        treasury = await uow.ledger.get_account(rig.ids["treasury"], lock=True)
        await uow.ledger.set_overdraft_limit(treasury._replace(overdraft_limit=10))
    beyond = rig.entry(rig.transfer("treasury", "ada", 1))
    neighbor = rig.entry(rig.transfer("lp", "bob", 5))

    results = await asyncio.gather(rig.post(neighbor), rig.post(beyond))

    assert [bool(one) for one in results] == [True, False]
    with pytest.raises(InsufficientFunds):
        await rig.commit(beyond)


async def test_all_of_a_call_is_posted_or_none(rig: Rig) -> None:
    fine, wrong = rig.entry(rig.transfer("lp", "ada")), rig.entry(rig.transfer("bob", "ada"))

    assert await rig.post(fine, wrong) is None

    assert await _stored(rig, [fine, wrong]) == set()
    assert await _events(rig) == []


async def test_a_known_id_is_left_alone_and_its_neighbors_are_posted(rig: Rig) -> None:
    known = await rig.enter(rig.transfer("lp", "ada"))
    failing = rig.entry(rig.transfer("bob", "ada"))
    await rig.burn(failing, InsufficientFunds("", transfer_id=failing.transfers[0].id))
    await rig.enter(rig.transfer("lp", "bob"))
    left = [
        known._replace(effective_at=None),
        rig.entry(known.transfers[0]),
        failing,
        rig.entry(failing.transfers[0]),
    ]
    right = [rig.entry(rig.transfer("lp", "ada")) for _ in range(20)]

    results = await asyncio.gather(*map(rig.post, [*right, *left, *right]))

    posted = [entry for entry, at in zip([*right, *left, *right], results, strict=True) if at]
    assert sorted(entry.id for entry in posted) == sorted(entry.id for entry in right)
    assert (await rig.account("ada")).balance == 1 + len(right)


async def test_an_entry_is_not_posted_if_its_ids_are_burned_while_the_statement_waits(
    rig: Rig, platform: Platform
) -> None:
    funding, failing = rig.entry(rig.transfer("lp", "ada")), rig.entry(rig.transfer("ada", "bob"))
    async with rig.begin() as uow:
        (refusal,) = await uow.ledger.commit_all([failing])
        assert isinstance(refusal, InsufficientFunds)
        posting = asyncio.create_task(rig.post(funding, failing))
        await until_waiting(platform.owner, "test serve")

    assert await posting is None

    assert await _stored(rig, [funding, failing]) == set()


async def test_what_another_process_did_is_seen(
    rig: Rig, journal: Journal, elsewhere: Journal
) -> None:
    """Each remembers a balance that the other has changed."""
    for _ in range(3):
        for here in (journal, elsewhere):
            assert await rig.post(rig.entry(rig.transfer("lp", "ada", 10)), journal=here)
            assert await rig.post(rig.entry(rig.transfer("ada", "bob", 10)), journal=here)
    await rig.enter(rig.transfer("bob", "markup", 60))

    assert await rig.post(rig.entry(rig.transfer("bob", "lp")), journal=journal) is None
    assert [(await rig.account(name)).balance for name in ("ada", "bob", "lp")] == [0, 0, -60]


async def test_money_that_somebody_else_put_there_is_asked_of_the_books(
    rig: Rig, journal: Journal, elsewhere: Journal
) -> None:
    """A refusal would rest on what is remembered, so there is none."""
    assert await rig.post(rig.entry(rig.transfer("lp", "ada", 10)), journal=journal)
    assert await rig.post(rig.entry(rig.transfer("lp", "ada", 10)), journal=elsewhere)
    entry = rig.entry(rig.transfer("ada", "bob", 15))

    assert await rig.post(entry, journal=journal) is None
    assert not (await rig.commit(entry)).is_replay


async def test_two_processes_never_spend_the_same_twice(
    rig: Rig, journal: Journal, elsewhere: Journal
) -> None:
    await rig.enter(rig.transfer("lp", "ada", 50))

    async def spend(here: Journal) -> int:
        entry = rig.entry(rig.transfer("ada", "bob"))
        if await rig.post(entry, journal=here):
            return 1
        (result,) = await rig.commit_all([entry])
        return 0 if isinstance(result, InsufficientFunds) else 1

    spent = await asyncio.gather(*(spend(here) for here in (journal, elsewhere) * 40))

    assert sum(spent) == 50
    assert [(await rig.account(name)).balance for name in ("ada", "bob")] == [0, 50]


async def test_nothing_is_recorded_by_an_instant_that_was_told_about(rig: Rig) -> None:
    """Who asks for a balance as of now hears the same when he asks for that instant again."""
    told = []
    is_over = False

    async def ask() -> None:
        while not is_over:
            async with rig.begin() as uow:
                told.append(await uow.ledger.balance_at(rig.ids["ada"]))

    async def post() -> None:
        nonlocal is_over
        for _ in range(60):
            await rig.post(rig.entry(rig.transfer("lp", "ada")))
        is_over = True

    await asyncio.gather(post(), ask(), ask())

    assert len({one.posted.units for one in told}) > 5, "nobody asked meanwhile"
    for one in told:
        async with rig.begin() as uow:
            assert await uow.ledger.balance_at(rig.ids["ada"], recorded_by=one.recorded_by) == one


async def test_who_asks_as_of_now_waits_for_what_is_being_posted(rig: Rig) -> None:
    first, second = sorted(("ada", "bob"), key=rig.ids.__getitem__)
    await rig.post(rig.entry(rig.transfer("lp", first), rig.transfer("lp", second)))

    async def ask() -> int:
        async with rig.begin() as uow:
            return (await uow.ledger.balance_at(rig.ids[second])).posted.units

    async with rig.begin() as other:
        await other.ledger.get_account(rig.ids[first], lock=True)
        # It has read the clock, and has not come as far as the second account.
        posting = asyncio.create_task(
            rig.post(rig.entry(rig.transfer("lp", first), rig.transfer("lp", second)))
        )
        await asyncio.sleep(0.2)
        asking = asyncio.create_task(ask())
        await asyncio.sleep(0.2)
        assert not posting.done()
        assert not asking.done()

    assert await posting
    assert await asking == 2


async def test_lines_of_an_account_are_in_the_order_of_their_times_whoever_wrote_them(
    rig: Rig, journal: Journal, elsewhere: Journal
) -> None:
    async def write(number: int) -> None:
        entry = rig.entry(rig.transfer("lp", "ada"))
        here = (None, journal, elsewhere)[number % 3]
        if here is None or await rig.post(entry, journal=here) is None:
            await rig.commit(entry)

    await asyncio.gather(*map(write, range(60)))

    lines = await rig.lines("ada")
    assert [line.version for line in lines] == list(range(60, 0, -1))
    times = [line.recorded_at for line in lines]
    assert times == sorted(times, reverse=True)


async def test_a_request_is_recorded_with_its_entry_and_once(rig: Rig, journal: Journal) -> None:
    key = RequestKey(rpc="/a/method", request_id="a request", fingerprint=b"f" * 32)
    first, second = (rig.entry(rig.transfer("lp", "ada")) for _ in range(2))

    assert await journal.post(
        rig.tenant_id, [first], correlation_id="", request=(key, first.id.uuid)
    )
    assert (
        await journal.post(
            rig.tenant_id, [second], correlation_id="", request=(key, second.id.uuid)
        )
        is None
    )

    async with rig.begin() as uow:
        record = await uow.requests.find(key)
    assert record
    assert record.resource_id == first.id.uuid
    assert await _stored(rig, [first, second]) == {first.id}


async def test_a_request_that_is_posted_alone_is_waited_for_before_the_books_are_locked(
    rig: Rig, elsewhere: Journal
) -> None:
    entry, neighbor = (rig.entry(rig.transfer("lp", "ada")) for _ in range(2))
    claimed, may_go_on = asyncio.Event(), asyncio.Event()

    def request_of(entry: Entry) -> tuple[RequestKey, UUID]:
        key = RequestKey(rpc="/a/method", request_id=str(entry.id), fingerprint=b"f" * 32)
        return key, entry.id.uuid

    async def commit_alone() -> None:
        async with rig.begin() as uow:
            assert await uow.requests.claim(*request_of(entry)) is None
            claimed.set()
            await may_go_on.wait()
            await uow.ledger.commit(entry)

    async def post(entry: Entry) -> datetime | None:
        request = request_of(entry)
        return await elsewhere.post(rig.tenant_id, [entry], correlation_id="", request=request)

    alone = asyncio.create_task(commit_alone())
    await claimed.wait()
    posting = asyncio.gather(post(entry), post(neighbor))
    await until_waiting(rig.platform.owner, "test work")
    async with no_deadlock(rig.platform.owner):
        may_go_on.set()
        await alone
        posted = await posting

    assert [bool(at) for at in posted] == [False, True]
    assert (await rig.account("ada")).balance == 2


async def test_there_is_room_for_so_many_balances_and_the_latest_are_kept(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was forgotten is read again."""
    monkeypatch.setattr(journal_adapter, "ACCOUNTS", 5)
    rigs = [await a_rig(platform) for _ in range(3)]

    for _ in range(2):
        for rig in rigs:
            assert await rig.post(rig.entry(rig.transfer("lp", "ada"), rig.transfer("lp", "bob")))

    for rig in rigs:
        assert (await rig.account("lp")).balance == -4


async def test_another_tenants_accounts_do_not_exist(rig: Rig, journal: Journal) -> None:
    entry = rig.entry(rig.transfer("lp", "ada"))
    assert await rig.post(entry, journal=journal)
    other = rig.entry(rig.transfer("lp", "ada"))

    assert await journal.post(rig.platform.ids.new(TenantId), [other], correlation_id="") is None
    assert await _stored(rig, [other]) == set()


async def test_who_gives_up_waiting_keeps_no_neighbor_from_anything(rig: Rig) -> None:
    impatient = asyncio.create_task(rig.post(rig.entry(rig.transfer("lp", "ada"))))
    patient = [asyncio.create_task(rig.post(rig.entry(rig.transfer("lp", "bob")))) for _ in "ab"]
    await asyncio.sleep(0)
    impatient.cancel()

    assert all(await asyncio.gather(*patient))
    assert (await rig.account("bob")).balance == 2


async def _is_left_alone(rig: Rig, entry: Entry) -> None:
    before = await rig.accounts()
    assert await rig.post(entry) is None
    assert await _stored(rig, [entry]) == set()
    assert await rig.accounts() == before


async def _stored(rig: Rig, entries: list[Entry]) -> set[EntryId]:
    rows = await rig.platform.owner.fetch(
        "SELECT id FROM core.entries WHERE tenant_id = $1 AND id = ANY($2)",
        rig.tenant_id.uuid,
        [entry.id.uuid for entry in entries],
    )
    return {EntryId(row["id"]) for row in rows}


async def _events(rig: Rig) -> list[event_pb2.Event]:
    rows = await rig.platform.owner.fetch(
        "SELECT payload FROM core.outbox WHERE tenant_id = $1 ORDER BY id", rig.tenant_id.uuid
    )
    return [event_pb2.Event.FromString(row["payload"]) for row in rows]
