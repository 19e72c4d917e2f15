"""What every ledger store does: as the domain decides, and however many write at once.

A store joins by one more parameter of the fixture `rig`.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.amount import Amount
from domain.errors import DomainError, VersionConflict
from domain.ids import AccountId, EntryId, TransferId
from domain.ledger.account import Account, AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.errors import (
    AccountNotFound,
    EntryAlreadyFailed,
    EntryConflict,
    EntryNotFound,
    InsufficientFunds,
    LedgerRefusal,
    PendingAlreadyPosted,
    PendingAlreadyVoided,
    TransferAlreadyFailed,
    TransferConflict,
)
from domain.ledger.posting import Decision
from domain.ledger.transfer import Posting, Transfer, TransferKind
from ports.ledger import RecordedEntry
from ports.page import PageRequest
from tests.support.book import Book
from tests.support.builders import NGN, NOW
from tests.support.ledger_rig import CREDIT_LINE, KEYS, Rig, a_rig
from tests.support.platform import Platform

REGULAR, PENDING, POST, VOID, EXPIRE = TransferKind


@pytest.fixture(params=["postgres"])
async def rig(platform: Platform) -> Rig:
    return await a_rig(platform)


async def test_an_account_is_opened_once_by_its_name(rig: Rig) -> None:
    key = AccountKey(AccountKind.EXTERNAL, NGN, "rail")

    async def open_account() -> AccountId:
        async with rig.begin() as uow:
            opened = await uow.ledger.open_accounts([key, KEYS["ada"]])
            assert opened[KEYS["ada"]] == rig.ids["ada"]
            return opened[key]

    (id,) = set(await asyncio.gather(*(open_account() for _ in range(8))))

    async with rig.begin() as uow:
        account = await uow.ledger.get_account(id)
    assert account == Account(id=id, key=key, overdraft_limit=None)
    assert (await rig.account("ada")).overdraft_limit == 0


async def test_an_account_whose_opening_was_undone_is_opened_again(rig: Rig) -> None:
    key = AccountKey(AccountKind.CUSTOMER, NGN, "eve")

    async def open_in_vain() -> None:
        async with rig.begin() as uow:
            first = await uow.ledger.open_accounts([key])
            assert await uow.ledger.open_accounts([key]) == first
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await open_in_vain()
    async with rig.begin() as uow:
        opened = await uow.ledger.open_accounts([key])
    async with rig.begin() as uow:
        assert (await uow.ledger.get_account(opened[key])).key == key


async def test_a_committed_entry_reads_back_as_it_was(rig: Rig) -> None:
    hold = rig.transfer("lp", "markup", 7, kind=PENDING, purpose="hold")
    expires_at = hold.id.created_at + timedelta(hours=1)
    other = rig.transfer("lp", "ada", 9, kind=PENDING, expires_at=expires_at)
    entry = rig.entry(rig.transfer("lp", "ada", 5), hold, rig.resolution(hold, POST), other)

    decision = await rig.commit(entry)

    async with rig.begin() as uow:
        kept = RecordedEntry(decision.entry, decision.recorded_at)
        assert await uow.ledger.get_entry(entry.id) == kept
        found = await uow.ledger.get_transfers([t.id for t in entry.transfers] + [_nobodys(rig)])
        assert found == {transfer.id: transfer for transfer in entry.transfers}
    accounts = await rig.accounts()
    assert {id: accounts[id] for id in decision.accounts} == decision.accounts
    lines = await rig.lines("lp") + await rig.lines("ada") + await rig.lines("markup")
    assert sorted(lines, key=repr) == sorted(decision.postings, key=repr)


async def test_what_does_not_exist_is_not_found(rig: Rig) -> None:
    async with rig.begin() as uow:
        with pytest.raises(EntryNotFound):
            await uow.ledger.get_entry(rig.platform.ids.new(EntryId))
        with pytest.raises(AccountNotFound):
            await uow.ledger.get_account(rig.platform.ids.new(AccountId))
        assert await uow.ledger.get_transfers([]) == {}


async def test_the_same_entry_again_is_a_replay_and_another_one_a_conflict(rig: Rig) -> None:
    entry = await rig.enter(rig.transfer("lp", "ada", 5))
    before = await rig.accounts()

    again = await rig.commit(
        entry._replace(effective_at=entry.id.created_at - timedelta(seconds=1))
    )
    with pytest.raises(EntryConflict):
        await rig.commit(rig.entry(rig.transfer("lp", "ada", 5), id=entry.id))
    with pytest.raises(TransferConflict):
        await rig.commit(rig.entry(*entry.transfers))

    assert again.is_replay
    assert again.entry == entry
    assert await rig.accounts() == before


async def test_a_refused_entry_changes_nothing_not_even_by_its_good_transfers(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))
    before = await rig.accounts()
    entry = rig.entry(
        rig.transfer("ada", "bob", 60), rig.transfer("lp", "bob"), rig.transfer("ada", "bob", 60)
    )

    with pytest.raises(InsufficientFunds):
        await rig.commit(entry)

    assert await rig.accounts() == before
    async with rig.begin() as uow:
        assert await uow.ledger.get_transfers([t.id for t in entry.transfers]) == {}
        with pytest.raises(EntryNotFound):
            await uow.ledger.get_entry(entry.id)


async def test_new_entries_are_committed_in_order_as_one_by_one(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))
    entries = [
        rig.entry(rig.transfer("ada", "bob", 100)),
        rig.entry(rig.transfer("bob", "ada", 40), rig.transfer("ada", "markup", 30)),
    ]

    async with rig.begin() as uow:
        decisions = await uow.ledger.commit_new(entries)
        assert await uow.ledger.commit_new([]) == []

    assert [decision.entry.id for decision in decisions] == [entry.id for entry in entries]
    assert [line.balance_after.units for line in reversed(await rig.lines("ada"))] == [
        *(100, 0, 40, 10)
    ]
    async with rig.begin() as uow:
        for decision in decisions:
            kept = RecordedEntry(decision.entry, decision.recorded_at)
            assert await uow.ledger.get_entry(decision.entry.id) == kept


async def test_of_new_entries_none_is_committed_when_one_is_refused(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))
    entries = [rig.entry(rig.transfer("ada", "bob", 60)) for _ in range(2)]

    with pytest.raises(InsufficientFunds):
        async with rig.begin() as uow:
            await uow.ledger.commit_new(entries)

    assert (await rig.account("ada")).balance == 100


async def test_in_a_batch_who_is_refused_keeps_nobody_else_from_anything(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))
    entries = [
        rig.entry(rig.transfer("ada", "bob", 60)),
        rig.entry(rig.transfer("ada", "bob", 60)),
        rig.entry(rig.transfer("ada", "bob", 40), rig.transfer("bob", "markup", 100)),
        rig.entry(rig.transfer("ada", "ada", 1)),
    ]

    results = await rig.commit_all([*entries, entries[0]])

    told = [one.reason if isinstance(one, DomainError) else one.is_replay for one in results]
    assert told == [False, "INSUFFICIENT_FUNDS", False, "ACCOUNTS_MUST_DIFFER", True]
    assert (await rig.account("markup")).balance == 100
    assert await rig.commit_all([]) == []


async def test_a_batch_that_comes_again_changes_nothing_and_hears_the_same(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))
    hold = rig.transfer("ada", "bob", 50, kind=PENDING)
    entries = [
        rig.entry(hold),
        rig.entry(rig.transfer("ada", "bob", 51)),
        rig.entry(rig.resolution(hold, POST, amount=Amount(NGN, 20))),
    ]
    first = await rig.commit_all(entries)
    accounts = await rig.accounts()

    again = await rig.commit_all(entries)

    assert [type(one) for one in first] == [Decision, InsufficientFunds, Decision]
    assert [type(one) for one in again] == [Decision, EntryAlreadyFailed, Decision]
    assert all(one.is_replay for one in again if isinstance(one, Decision))
    assert await rig.accounts() == accounts


async def test_an_id_used_meanwhile_for_other_accounts_fails_the_batch_to_be_sent_again(
    rig: Rig,
) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10), rig.transfer("lp", "bob", 10))
    taken = rig.transfer("ada", "markup")
    other = taken._replace(debit_account_id=rig.ids["bob"], credit_account_id=rig.ids["treasury"])
    batch = [rig.entry(other), rig.entry(rig.transfer("bob", "treasury"))]

    async with rig.begin() as slow:
        await slow.ledger.commit(rig.entry(taken))
        waiting = asyncio.create_task(_result(rig.commit_all(batch)))
        await asyncio.sleep(0.3)

    assert await waiting == "VERSION_CONFLICT"
    first, second = await rig.commit_all(batch)
    assert isinstance(first, TransferConflict)
    assert isinstance(second, Decision)


async def test_holds_of_a_batch_lapse_when_their_time_is_over(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10))
    async with rig.begin() as uow:
        soon = await uow.now() + timedelta(hours=1)
    kept, released = (rig.transfer("ada", "bob", kind=PENDING, expires_at=soon) for _ in range(2))
    void = rig.resolution(released, VOID, amount=released.amount)

    await rig.commit_all([rig.entry(kept), rig.entry(released), rig.entry(void)])

    rows = await rig.platform.owner.fetch(
        "SELECT transfer_id FROM core.expiring_holds WHERE tenant_id = $1", rig.tenant_id.uuid
    )
    assert [row["transfer_id"] for row in rows] == [kept.id.uuid]


async def test_burned_ids_stay_failed_when_the_funds_are_there(rig: Rig) -> None:
    failing = rig.transfer("ada", "bob", 5)
    entry = rig.entry(rig.transfer("lp", "bob"), failing)
    with pytest.raises(InsufficientFunds) as caught:
        await rig.commit(entry)
    await rig.burn(entry, caught.value)
    await rig.burn(entry, caught.value)
    await rig.enter(rig.transfer("lp", "ada", 100))

    with pytest.raises(EntryAlreadyFailed) as again:
        await rig.commit(entry)
    assert again.value.metadata["first_reason"] == "INSUFFICIENT_FUNDS"
    with pytest.raises(TransferAlreadyFailed):
        await rig.commit(rig.entry(failing))
    # The transfer before the failing one is as good as new.
    await rig.enter(entry.transfers[0], failing._replace(id=rig.platform.ids.new(TransferId)))


async def test_the_ids_of_an_entry_that_was_committed_after_its_refusal_are_not_burned(
    rig: Rig,
) -> None:
    entry = rig.entry(rig.transfer("ada", "bob", 5))
    with pytest.raises(InsufficientFunds) as refused:
        await rig.commit(entry)
    await rig.enter(rig.transfer("lp", "ada", 5))
    await rig.commit(entry)

    with pytest.raises(VersionConflict):
        await rig.burn(entry, refused.value)

    assert (await rig.commit(entry)).is_replay


async def test_a_treasury_goes_below_zero_as_far_as_its_credit_line(rig: Rig) -> None:
    await rig.enter(rig.transfer("treasury", "bob", CREDIT_LINE - 1))
    await rig.enter(rig.transfer("treasury", "markup", 1, kind=PENDING))

    with pytest.raises(InsufficientFunds):
        await rig.enter(rig.transfer("treasury", "bob", 1))


async def test_who_moves_money_both_ways_at_once_never_deadlocks(rig: Rig) -> None:
    names = ("ada", "bob", "lp")
    for name in names[:2]:
        await rig.enter(rig.transfer("lp", name, 1_000))
    rounds = [(a, b) for a in names for b in names if a != b] * 10

    await asyncio.gather(*(rig.enter(rig.transfer(*pair)) for pair in rounds))

    balances = [(await rig.account(name)).balance for name in names]
    assert balances == [1_000, 1_000, -2_000], "every way was gone as often as its opposite"
    assert (await rig.account("ada")).version == 1 + 40


async def test_no_two_spend_the_same_funds(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 10 * 7 + 6))

    results = await asyncio.gather(
        *(_result(rig.enter(rig.transfer("ada", "bob", 7))) for _ in range(30))
    )

    assert sorted(results) == ["INSUFFICIENT_FUNDS"] * 20 + ["done"] * 10
    assert (await rig.account("ada")).balance == 6


async def test_of_twenty_who_resolve_one_hold_exactly_one_does(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))
    for _ in range(5):
        hold = rig.transfer("ada", "markup", 10, kind=PENDING)
        await rig.enter(hold)
        before = (await rig.account("ada")).balance
        kinds = [POST, VOID] * 10
        attempts = [rig.entry(rig.resolution(hold, kind)) for kind in kinds]

        results = await asyncio.gather(*(_result(rig.commit(entry)) for entry in attempts))

        (winner,) = [kind for kind, result in zip(kinds, results, strict=True) if result == "done"]
        heard = PendingAlreadyPosted if winner is POST else PendingAlreadyVoided
        assert sorted(results) == sorted([heard.reason] * 19 + ["done"])
        ada = await rig.account("ada")
        assert ada.held == 0
        assert ada.balance == before - (10 if winner is POST else 0)


async def test_twenty_times_the_same_entry_at_once_is_one_entry(rig: Rig) -> None:
    entry = rig.entry(rig.transfer("lp", "ada", 5), rig.transfer("lp", "bob", 7))

    decisions = await asyncio.gather(*(rig.commit(entry) for _ in range(20)))

    assert sorted(decision.is_replay for decision in decisions) == [False] + [True] * 19
    assert (await rig.account("ada")).balance == 5
    assert (await rig.account("lp")).version == 2


@pytest.mark.parametrize("shared", ["entry", "transfer"])
async def test_of_two_entries_with_one_id_on_different_accounts_one_is_a_conflict(
    rig: Rig, shared: str
) -> None:
    for _ in range(5):
        one = rig.entry(rig.transfer("lp", "ada"))
        other = rig.entry(rig.transfer("lp in dollars", "ada in dollars"))
        if shared == "entry":
            other = other._replace(id=one.id)
        else:
            other = other._replace(transfers=(other.transfers[0]._replace(id=one.transfers[0].id),))

        results = await asyncio.gather(_result(rig.commit(one)), _result(rig.commit(other)))

        assert sorted(results) == [f"{shared.upper()}_CONFLICT", "done"]


@pytest.mark.parametrize("size", [1, 7, 200])
async def test_the_pages_of_an_account_tell_its_story_without_gap_or_repeat(
    rig: Rig, size: int
) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))
    for units in range(1, 5):
        hold = rig.transfer("ada", "markup", units, kind=PENDING)
        await rig.enter(hold)
        await rig.enter(rig.resolution(hold, POST), rig.transfer("ada", "bob", units))
        await rig.enter(rig.transfer("bob", "ada", units))

    lines = await rig.lines("ada", size)

    assert [line.version for line in lines] == list(range(1 + 4 * 4, 0, -1))
    assert {line.account_id for line in lines} == {rig.ids["ada"]}
    for after, before in pairwise(lines):
        assert after.balance_after == before.balance_after + after.change
    ada = await rig.account("ada")
    assert (lines[0].balance_after.units, lines[0].version) == (ada.balance, ada.version)
    assert sum(line.held_change.units for line in lines) == ada.held


async def test_pages_stay_whole_while_lines_are_added(rig: Rig) -> None:
    for _ in range(6):
        await rig.enter(rig.transfer("lp", "ada"))
    async with rig.begin() as uow:
        first = await uow.ledger.list_postings(rig.ids["ada"], PageRequest(size=3))
    await rig.enter(rig.transfer("lp", "ada"))

    async with rig.begin() as uow:
        request = PageRequest(size=3, before=first.next_before)
        second = await uow.ledger.list_postings(rig.ids["ada"], request)

    assert [line.version for line in (*first.items, *second.items)] == [6, 5, 4, 3, 2, 1]
    assert second.next_before is None


async def test_the_pages_of_accounts_hold_each_of_them_once_the_newest_first(rig: Rig) -> None:
    found: list[AccountId] = []
    before: Any = None
    while True:
        async with rig.begin() as uow:
            page = await uow.ledger.list_accounts(PageRequest(size=2, before=before))
        found += [account.id for account in page.items]
        assert len(found) <= len(KEYS)
        before = page.next_before
        if before is None:
            break

    assert sorted(found) == sorted(rig.ids.values())
    assert found == sorted(found, reverse=True)


# --- The store against the pure decision --------------------------------------------------------

NAMES: Final = list(KEYS)
NUMBERS: Final = st.integers(0, 99)
PAIRS: Final = st.one_of(
    st.sampled_from([("lp", "ada"), ("lp", "bob"), ("lp in dollars", "ada in dollars")]),
    st.tuples(st.sampled_from(NAMES[:5]), st.sampled_from(NAMES[:5])),
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)),
)
LIVES: Final = st.sampled_from([None, timedelta(hours=1), timedelta(hours=-1)])

Draft = tuple[str, tuple[str, str], int, Any]
DRAFTS: Final = st.one_of(
    st.tuples(st.just("move"), PAIRS, st.integers(0, 400), st.none()),
    st.tuples(st.just("hold"), PAIRS, st.integers(1, 200), LIVES),
    st.tuples(
        st.just("resolve"),
        PAIRS,
        NUMBERS,
        st.tuples(st.sampled_from([POST, VOID, EXPIRE]), st.sampled_from([0, 0, 0, -1, 1])),
    ),
    st.tuples(st.just("known transfer"), PAIRS, NUMBERS, st.none()),
)
AGES: Final = st.sampled_from([timedelta(), timedelta(), timedelta(), timedelta(days=2)])
BATCHES: Final = st.lists(
    st.tuples(
        st.lists(DRAFTS, min_size=1, max_size=4),
        st.sampled_from(EntrySource),
        AGES,
        st.sampled_from(["new", "new", "new", "again", "changed"]),
        NUMBERS,
    ),
    min_size=1,
    max_size=10,
)


class Twins:
    """One book in memory and one in the store, to which the same is done."""

    def __init__(self, rig: Rig, accounts: dict[AccountId, Account]) -> None:
        self.rig = rig
        self.book = Book(accounts=accounts)
        self.tried: list[Entry] = []

    def draft(self, entry: Sequence[Draft], source: EntrySource, age: timedelta) -> Entry:
        transfers: list[Transfer] = []
        for what, pair, number, detail in entry:
            known = [*self.book.transfers.values(), *transfers]
            transfers.append(self._transfer(what, pair, number, detail, known))
        is_operators = source is EntrySource.OPERATOR
        made = self.rig.entry(*transfers, source=source, has_callers_ids=is_operators)
        return made._replace(id=_older(made.id, age)) if age else made

    def _transfer(
        self, what: str, pair: tuple[str, str], number: int, detail: Any, known: list[Transfer]
    ) -> Transfer:
        if what == "hold":
            expires_at = self.book.now + detail if detail else None
            return self.rig.transfer(*pair, number, kind=PENDING, expires_at=expires_at)
        if what == "move" or not known:
            return self.rig.transfer(*pair, number)
        holds = [transfer for transfer in known if transfer.kind is PENDING]
        target = (holds or known)[number % len(holds or known)]
        if what == "known transfer":
            return known[number % len(known)]
        kind, more = detail
        amount = Amount(target.amount.asset, target.amount.units + more)
        return self.rig.resolution(target, kind, amount=amount)

    def twisted(
        self, drafts: Sequence[Draft], source: EntrySource, age: timedelta, twist: str, number: int
    ) -> Entry:
        """Return a new entry, or one that was tried before, as it was or changed."""
        entry = self.draft(drafts, source, age)
        if twist != "new" and self.tried:
            entry = self.tried[number % len(self.tried)]
        if twist == "changed":
            entry = entry._replace(reference="another reference", transfers=entry.transfers[::-1])
        return entry

    async def assert_same_lines(self) -> None:
        for name in NAMES:
            id = self.rig.ids[name]
            of_account = [line for line in self.book.postings if line.account_id == id]
            assert _lines(await self.rig.lines(name)) == _lines(of_account[::-1])

    def expect(self, entry: Entry) -> Decision | DomainError:
        """Do it to the book in memory alone."""
        self.tried.append(entry)
        return self.book.result_of(entry)

    async def enter(self, entry: Entry) -> None:
        """Assert that both decide the same, and are the same afterwards."""
        expected = self.expect(entry)
        found: Decision | LedgerRefusal | DomainError
        try:
            found = await self.rig.commit(entry)
        except DomainError as refusal:
            found = refusal
            if isinstance(refusal, LedgerRefusal) and refusal.burns_ids:
                await self.rig.burn(entry, refusal)
        assert _told(found) == _told(expected)
        if isinstance(found, Decision):
            assert isinstance(expected, Decision)
            assert _timeless(found.accounts) == _timeless(expected.accounts)
            async with self.rig.begin() as uow:
                assert (await uow.ledger.get_entry(entry.id)).entry == found.entry
        assert _timeless(await self.rig.accounts()) == _timeless(self.book.accounts)


@settings(max_examples=30, deadline=None)
@given(batch=BATCHES)
async def test_the_store_decides_and_keeps_what_the_domain_does(
    platform: Platform, batch: list[Any]
) -> None:
    rig = await a_rig(platform)
    twins = await some_twins(rig)
    for draft in batch:
        await twins.enter(twins.twisted(*draft))
    await twins.assert_same_lines()


@settings(max_examples=30, deadline=None)
@given(batch=BATCHES, cuts=st.lists(st.integers(1, 5), min_size=10, max_size=10))
async def test_batches_of_any_split_do_what_the_domain_does_one_by_one(
    platform: Platform, batch: list[Any], cuts: list[int]
) -> None:
    rig = await a_rig(platform)
    twins = await some_twins(rig)
    entries = deque[Entry]()
    expected: list[Decision | DomainError] = []
    for draft in batch:
        entries.append(twins.twisted(*draft))
        expected.append(twins.expect(entries[-1]))

    found: list[Decision | DomainError] = []
    for size in cuts:
        part = [entries.popleft() for _ in range(min(size, len(entries)))]
        found += await rig.commit_all(part)

    assert list(map(_told, found)) == list(map(_told, expected))
    assert _timeless(await rig.accounts()) == _timeless(twins.book.accounts)
    await twins.assert_same_lines()


@settings(max_examples=40, deadline=None)
@given(
    batch=BATCHES,
    cuts=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=10, max_size=10),
)
async def test_whoever_writes_the_books_the_domain_has_decided(
    platform: Platform, batch: list[Any], cuts: list[tuple[int, int]]
) -> None:
    """Two processes post what they can without locking the books, and others lock them."""
    rig = await a_rig(platform)
    twins = await some_twins(rig)
    entries = deque[Entry]()
    expected = deque[Decision | DomainError]()
    for draft in batch:
        entries.append(twins.twisted(*draft))
        expected.append(twins.expect(entries[-1]))
    journals = [None, platform.container.journal(), platform.work_container.journal()]

    for size, writer in cuts:
        part = [entries.popleft() for _ in range(min(size, len(entries)))]
        told = [expected.popleft() for _ in part]
        journal = journals[writer]
        if part and journal and await rig.post(*part, journal=journal):
            assert all(isinstance(one, Decision) and not one.is_replay for one in told)
        else:
            assert list(map(_told, await rig.commit_all(part))) == list(map(_told, told))

    assert _timeless(await rig.accounts()) == _timeless(twins.book.accounts)
    await twins.assert_same_lines()


async def some_twins(rig: Rig) -> Twins:
    twins = Twins(rig, await rig.accounts())
    async with rig.begin() as uow:
        twins.book.now = await uow.now()
    return twins


def _told(result: object) -> object:
    """Return what a caller is told, but for the instant."""
    if isinstance(result, DomainError):
        return type(result), result.message, result.metadata
    assert isinstance(result, Decision)
    entry = result.entry._replace(effective_at=NOW)
    return result.is_replay, entry, _lines(result.postings)


def _lines(postings: Sequence[Posting]) -> list[Posting]:
    return [replace(posting, effective_at=NOW, recorded_at=NOW) for posting in postings]


def _timeless(accounts: Mapping[AccountId, Account]) -> dict[AccountId, Account]:
    return {id: account._replace(recorded_at=NOW) for id, account in accounts.items()}


def _older(id: EntryId, age: timedelta) -> EntryId:
    milliseconds = age // timedelta(milliseconds=1)
    return EntryId(type(id.uuid)(int=id.uuid.int - (milliseconds << 80)))


def _nobodys(rig: Rig) -> TransferId:
    return rig.platform.ids.new(TransferId)


async def _result(work: Coroutine[Any, Any, object]) -> str:
    try:
        await work
    except DomainError as error:
        return error.reason
    return "done"


async def held_for(rig: Rig, name: str) -> dict[str, tuple[int, int]]:
    async with rig.begin() as uow:
        account, holds = await uow.ledger.get_holds(rig.ids[name])
    assert account == await rig.account(name)
    assert sum(held.units for held in holds) == account.held
    return {held.purpose: (held.units, held.holds) for held in holds}


async def test_what_is_held_is_told_by_purpose(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))
    assert await held_for(rig, "ada") == {}
    kept = rig.transfer("ada", "bob", 7, kind=PENDING, purpose="withdrawal")
    posted = rig.transfer("ada", "bob", 20, kind=PENDING, purpose="hold")
    voided = rig.transfer("ada", "markup", 30, kind=PENDING, purpose="hold")
    others = [rig.transfer("ada", "bob", units, kind=PENDING, purpose="hold") for units in (2, 3)]
    await rig.enter(kept, posted, voided, *others)

    await rig.enter(rig.resolution(posted, POST), rig.resolution(voided, VOID))

    assert await held_for(rig, "ada") == {"hold": (5, 2), "withdrawal": (7, 1)}
    assert await held_for(rig, "bob") == {}


async def test_what_is_held_adds_up_while_others_hold_and_release(rig: Rig) -> None:
    await rig.enter(rig.transfer("lp", "ada", 100))

    async def hold_and_release() -> None:
        for _ in range(5):
            hold = rig.transfer("ada", "bob", 3, kind=PENDING, purpose="hold")
            await rig.enter(hold)
            await rig.enter(rig.resolution(hold, VOID))

    async def look() -> None:
        for _ in range(15):
            async with rig.begin() as uow:
                account, holds = await uow.ledger.get_holds(rig.ids["ada"])
            assert sum(held.units for held in holds) == account.held

    await asyncio.gather(*(hold_and_release() for _ in range(4)), look(), look())


async def test_an_account_that_is_not_there_holds_nothing(rig: Rig) -> None:
    async with rig.begin() as uow:
        with pytest.raises(AccountNotFound):
            await uow.ledger.get_holds(rig.platform.ids.new(AccountId))
