"""The decision of the ledger: every refusal, their order, replays, and two phases."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from inspect import getmembers, isclass
from itertools import combinations
from typing import Final
from uuid import UUID

import pytest

from domain.amount import MAX_UNITS
from domain.errors import DomainError
from domain.ids import EntryId, TransferId
from domain.ledger import errors
from domain.ledger.account import MAX_COLUMN, Account, AccountKind
from domain.ledger.entry import MAX_TRANSFERS, Entry, EntrySource
from domain.ledger.posting import Books, Decision, decide
from domain.ledger.transfer import Transfer, TransferKind
from tests.support.book import Book
from tests.support.builders import (
    NGN,
    NOW,
    USD,
    a_transfer,
    a_uuid,
    an_account,
    an_entry,
    an_id,
    seconds,
    the_books,
)

PENDING, POST, VOID, EXPIRE = (
    TransferKind.PENDING,
    TransferKind.POST,
    TransferKind.VOID,
    TransferKind.EXPIRE,
)

# --- Every refusal, and which one is heard first -----------------------------------------------


@dataclass
class Case:
    """A valid posting of a hold of 100 units, into which faults are put."""

    entry_id: EntryId = field(default_factory=lambda: an_id(EntryId))
    transfer_id: TransferId = field(default_factory=lambda: an_id(TransferId))
    debit: Account = field(default_factory=lambda: an_account(posted=100, held=100))
    credit: Account = field(
        default_factory=lambda: an_account(kind=AccountKind.TENANT_MARKUP, incoming=100)
    )
    other: Account = field(default_factory=an_account)
    source: EntrySource = EntrySource.OPERATOR
    kind: TransferKind = POST
    units: int = 100
    has_pending_id: bool = True
    effective_at: datetime | None = None
    reverses: EntryId | None = None
    is_in_usd: bool = False
    expires_at: datetime | None = None
    credits_itself: bool = False
    copies: int = 1
    repeats_id: bool = False
    known_entry: Entry | None = None
    known: set[TransferId] = field(default_factory=set)
    failed: set[bytes] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    pending_is_known: bool = True
    pending_kind: TransferKind = PENDING
    pending_units: int = 100
    pending_expires_at: datetime | None = None
    pending_credits_other: bool = False
    resolution: TransferKind | None = None

    def decide(self) -> None:
        pending = a_transfer(
            self.debit,
            self.other if self.pending_credits_other else self.credit,
            self.pending_units,
            kind=self.pending_kind,
            expires_at=self.pending_expires_at,
        )
        first = a_transfer(
            self.debit,
            self.debit if self.credits_itself else self.credit,
            self.units,
            id=self.transfer_id,
            asset=USD if self.is_in_usd else NGN,
            kind=self.kind,
            pending_id=pending.id if self.has_pending_id else None,
            expires_at=self.expires_at,
        )
        rest = [first._replace(id=an_id(TransferId)) for _ in range(self.copies - 1)]
        transfers = ([first] * (1 if self.copies else 0)) + rest
        if self.repeats_id:
            transfers.append(first)
        here = {"debit": self.debit, "credit": self.credit, "other": self.other}
        known = [first._replace(id=known_id) for known_id in self.known]
        decide(
            an_entry(*transfers, id=self.entry_id, source=self.source)._replace(
                effective_at=self.effective_at,
                reverses=self.reverses,
                has_callers_ids=True,
            ),
            the_books(
                *(account for name, account in here.items() if name not in self.missing),
                transfers=[pending, *known] if self.pending_is_known else known,
                resolutions={pending.id: self.resolution} if self.resolution else {},
                entry=self.known_entry and self.known_entry._replace(id=self.entry_id),
                failed=dict.fromkeys(self.failed, "INSUFFICIENT_FUNDS"),
                reversals={self.reverses: an_id(EntryId)} if self.reverses else {},
            ),
        )

    def lose_funds(self) -> None:
        self.kind, self.has_pending_id = TransferKind.REGULAR, False
        self.debit = self.debit._replace(credits_posted=199)

    def credit_the_clearing(self) -> None:
        key = replace(self.credit.key, kind=AccountKind.TRADE_CLEARING)
        self.credit = self.credit._replace(key=key)

    def overflow(self) -> None:
        self.credit = self.credit._replace(credits_posted=MAX_COLUMN - 99)


@dataclass(frozen=True)
class Fault:
    """Attributes:
    reason: what the entry hears when nothing else is wrong.
    put: puts the fault into a case.
    about: what it changes; two faults about the same thing exclude each other.
    """

    reason: str
    put: Callable[[Case], object]
    about: frozenset[str]


def _fault(reason: str, about: str, **values: object) -> Fault:
    def put(case: Case) -> None:
        for name, value in values.items():
            setattr(case, name, value)

    return Fault(reason, put, frozenset(about.split()))


# In the stated order.
FAULTS: Final = [
    _fault("EMPTY_ENTRY", "copies repeat transfer", copies=0),
    _fault("TOO_MANY_TRANSFERS", "copies", copies=MAX_TRANSFERS + 1),
    _fault("DUPLICATE_TRANSFER_ID", "repeat", repeats_id=True),
    _fault("ACCOUNTS_MUST_DIFFER", "transfer credit", credits_itself=True),
    _fault("AMOUNT_NOT_POSITIVE", "transfer amount", units=0),
    _fault("AMOUNT_NOT_POSITIVE", "transfer amount", units=-1),
    _fault("AMOUNT_TOO_LARGE", "transfer amount", units=MAX_UNITS + 1),
    _fault("PENDING_ID_REQUIRED", "transfer pending_id", has_pending_id=False),
    _fault("PENDING_ID_UNEXPECTED", "transfer kind", kind=TransferKind.REGULAR),
    _fault("PENDING_ID_UNEXPECTED", "transfer kind", kind=PENDING),
    _fault("EXPIRY_UNEXPECTED", "transfer expiry", expires_at=NOW + seconds(9)),
    _fault("ENTRY_CONFLICT", "", known_entry=an_entry(a_transfer(an_account(), an_account()))),
    Fault("ENTRY_ALREADY_FAILED", lambda c: c.failed.add(c.entry_id.bytes), frozenset()),
    _fault("EFFECTIVE_TIME_OUT_OF_WINDOW", "effect", effective_at=NOW - timedelta(days=367)),
    _fault("EFFECTIVE_TIME_OUT_OF_WINDOW", "effect", effective_at=NOW + timedelta(days=32)),
    _fault("ENTRY_ALREADY_REVERSED", "", reverses=an_id(EntryId)),
    Fault("TRANSFER_ALREADY_FAILED", lambda c: c.failed.add(c.transfer_id.bytes), frozenset()),
    Fault("TRANSFER_CONFLICT", lambda c: c.known.add(c.transfer_id), frozenset()),
    _fault("ID_OUT_OF_WINDOW", "entry_id", entry_id=an_id(EntryId, at=NOW - timedelta(days=2))),
    Fault("ACCOUNT_NOT_FOUND", lambda c: c.missing.add("debit"), frozenset()),
    Fault("ACCOUNT_NOT_FOUND", lambda c: c.missing.add("credit"), frozenset({"credit"})),
    Fault("ACCOUNT_RESERVED", Case.credit_the_clearing, frozenset({"credit", "transfer"})),
    _fault("ASSET_MISMATCH", "asset", is_in_usd=True),
    _fault("PENDING_TRANSFER_NOT_FOUND", "hold", pending_is_known=False),
    _fault("TRANSFER_NOT_PENDING", "hold pending_kind", pending_kind=TransferKind.REGULAR),
    _fault("PENDING_ACCOUNTS_DIFFER", "hold", pending_credits_other=True),
    _fault("EXCEEDS_PENDING_AMOUNT", "hold", pending_units=99),
    _fault("PENDING_ALREADY_POSTED", "hold", resolution=POST),
    _fault("PENDING_ALREADY_VOIDED", "hold", resolution=VOID),
    _fault("PENDING_EXPIRED", "hold", resolution=EXPIRE),
    _fault("PENDING_NOT_EXPIRED", "hold kind", kind=EXPIRE),
    _fault("PENDING_EXPIRED", "hold", pending_expires_at=NOW),
    Fault("BALANCE_OVERFLOW", Case.overflow, frozenset({"amount"})),
    Fault("INSUFFICIENT_FUNDS", Case.lose_funds, frozenset({"hold", "kind", "pending_id"})),
]

# Faults of one hold, again in order, where a hold can have both.
HOLD_FAULTS: Final = [
    _fault("PENDING_TRANSFER_NOT_FOUND", "known", pending_is_known=False),
    _fault("TRANSFER_NOT_PENDING", "pending_kind", pending_kind=TransferKind.REGULAR),
    _fault("PENDING_ACCOUNTS_DIFFER", "pending_accounts", pending_credits_other=True),
    _fault("EXCEEDS_PENDING_AMOUNT", "amount", pending_units=99),
    _fault("PENDING_ALREADY_POSTED", "resolution", resolution=POST),
    _fault("PENDING_ALREADY_VOIDED", "resolution", resolution=VOID),
    _fault("PENDING_EXPIRED", "resolution", resolution=EXPIRE),
    _fault("PENDING_NOT_EXPIRED", "kind", kind=EXPIRE, pending_expires_at=NOW + seconds(1)),
    _fault("PENDING_EXPIRED", "kind", pending_expires_at=NOW),
]


def test_the_case_without_faults_is_accepted() -> None:
    Case().decide()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.reason)
def test_each_fault_is_refused_by_its_own_reason(fault: Fault) -> None:
    case = Case()
    fault.put(case)

    assert _reason(case.decide) == fault.reason


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pair
        for faults in (FAULTS, HOLD_FAULTS)
        for pair in combinations(faults, 2)
        if not pair[0].about & pair[1].about
    ],
    ids=lambda fault: fault.reason,
)
def test_a_request_with_two_faults_hears_the_first_in_the_stated_order(
    first: Fault, second: Fault
) -> None:
    case = Case()
    second.put(case)
    first.put(case)

    assert _reason(case.decide) == first.reason


def test_every_refusal_of_the_ledger_has_its_place_in_the_order() -> None:
    stated = list(dict.fromkeys(fault.reason for fault in FAULTS))
    refusals = [
        cls
        for _, cls in getmembers(errors, isclass)
        if issubclass(cls, errors.LedgerRefusal) and cls is not errors.LedgerRefusal
    ]
    shared = {"AMOUNT_NOT_POSITIVE", "AMOUNT_TOO_LARGE"}

    assert {cls.reason for cls in refusals} | shared == set(stated)
    burning = {cls.reason for cls in refusals if cls.burns_ids}
    assert burning == {"BALANCE_OVERFLOW", "INSUFFICIENT_FUNDS"}


@pytest.mark.parametrize("source", [s for s in EntrySource if s is not EntrySource.TRADE])
def test_only_its_trade_resolves_a_hold_on_the_clearing_account(source: EntrySource) -> None:
    case = Case(source=source)
    case.credit_the_clearing()
    assert _reason(case.decide) == "ACCOUNT_RESERVED"

    case.source = EntrySource.TRADE
    case.decide()


def test_the_shape_of_every_transfer_is_looked_at_before_any_balance() -> None:
    poor, rich = an_account(), an_account(posted=1_000)
    entry = an_entry(a_transfer(poor, rich), a_transfer(rich, rich))

    assert _refusal(entry, the_books(poor, rich)) == "ACCOUNTS_MUST_DIFFER"


def test_transfers_are_looked_at_one_after_the_other() -> None:
    poor, rich, nowhere = an_account(), an_account(posted=1_000), an_account()
    short, lost = a_transfer(poor, rich), a_transfer(rich, nowhere)

    assert _refusal(an_entry(short, lost), the_books(poor, rich)) == "INSUFFICIENT_FUNDS"
    assert _refusal(an_entry(lost, short), the_books(poor, rich)) == "ACCOUNT_NOT_FOUND"


@pytest.mark.parametrize("side", ["debit", "credit"])
def test_a_transfer_needs_both_accounts_in_its_asset(side: str) -> None:
    one, other = an_account(posted=1_000), an_account(posted=1_000)
    if side == "debit":
        one = an_account(asset=USD, posted=1_000)
    else:
        other = an_account(asset=USD)

    entry = an_entry(a_transfer(one, other, asset=NGN))

    assert _refusal(entry, the_books(one, other)) == "ASSET_MISMATCH"


def test_an_entry_takes_a_hundred_transfers_and_amounts_up_to_ten_to_the_thirty() -> None:
    lp, ada = an_account(kind=AccountKind.LP, overdraft_limit=None), an_account()
    entry = an_entry(*(a_transfer(lp, ada, MAX_UNITS) for _ in range(MAX_TRANSFERS)))

    decision = decide(entry, the_books(lp, ada))

    assert decision.accounts[ada.id].balance == 100 * 10**30
    assert decision.accounts[lp.id].balance == -100 * 10**30


# --- Ids: replay, conflict, failed, window -----------------------------------------------------


def test_the_same_entry_again_is_a_replay_and_writes_nothing() -> None:
    ada, bob = an_account(posted=100), an_account()
    entry = an_entry(a_transfer(ada, bob))
    again = entry._replace(effective_at=NOW + seconds(60), description="other words")

    # The account is empty by now: a replay looks at no balance.
    decision = decide(again, the_books(an_account(), bob, entry=entry))

    assert decision.is_replay
    assert decision.asked is entry
    assert not decision.accounts
    assert not decision.postings


def test_a_known_id_is_a_replay_whatever_its_age() -> None:
    ada, bob = an_account(posted=100), an_account()
    old = NOW - timedelta(days=400)
    entry = _callers_entry(ada, bob, an_id(EntryId, at=old).uuid, an_id(TransferId, at=old).uuid)

    assert decide(entry, the_books(ada, bob, entry=entry)).is_replay
    assert _refusal(entry, the_books(ada, bob)) == "ID_OUT_OF_WINDOW"


@pytest.mark.parametrize(
    "change",
    [
        {"amount": an_account().amount(101)},
        {"purpose": "fee"},
        {"kind": PENDING},
        {"id": an_id(TransferId)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_known_id_with_other_content_is_a_conflict(change: dict[str, object]) -> None:
    ada, bob = an_account(posted=500), an_account()
    known = an_entry(a_transfer(ada, bob))
    other = known._replace(transfers=(known.transfers[0]._replace(**change),))  # type: ignore[arg-type]

    assert _refusal(other, the_books(ada, bob, entry=known)) == "ENTRY_CONFLICT"


def test_of_a_known_id_whose_transfers_are_archived_nothing_is_said_but_that() -> None:
    ada, bob = an_account(posted=500), an_account()
    known = an_entry(a_transfer(ada, bob))
    books = the_books(ada, bob, entry=known._replace(transfers=()))

    assert _refusal(known, books) == "LINES_ARCHIVED"


def test_a_known_id_of_another_source_or_with_more_transfers_is_a_conflict() -> None:
    ada, bob = an_account(posted=500), an_account()
    known = an_entry(a_transfer(ada, bob), a_transfer(ada, bob))
    books = the_books(ada, bob, entry=known)

    for other in (
        known._replace(source=EntrySource.DEPOSIT),
        known._replace(transfers=known.transfers[:1]),
        known._replace(transfers=known.transfers[::-1]),
    ):
        assert _refusal(other, books) == "ENTRY_CONFLICT"


@pytest.mark.parametrize("failing", ["INSUFFICIENT_FUNDS", "BALANCE_OVERFLOW"])
def test_an_id_that_failed_on_balance_stays_failed_though_the_balance_is_there_now(
    failing: str,
) -> None:
    book = Book()
    lp = book.open(an_account(kind=AccountKind.LP, overdraft_limit=None))
    ada, bob = book.open(an_account()), book.open(an_account())
    if failing == "BALANCE_OVERFLOW":
        book.accounts[bob.id] = bob._replace(credits_posted=MAX_COLUMN)
        book.accounts[ada.id] = ada._replace(credits_posted=100)
    fine, failed = (
        a_transfer(lp, bob if failing == "INSUFFICIENT_FUNDS" else ada),
        a_transfer(ada, bob),
    )
    entry = an_entry(fine, failed)

    assert _book_reason(book, entry) == failing
    book.accounts[ada.id], book.accounts[bob.id] = an_account(posted=999), bob

    again = an_entry(failed)
    assert _book_reason(book, entry) == "ENTRY_ALREADY_FAILED"
    assert _book_reason(book, again) == "TRANSFER_ALREADY_FAILED"
    with pytest.raises(errors.EntryAlreadyFailed) as caught:
        book.commit(entry)
    assert caught.value.metadata["first_reason"] == failing
    book.accounts[ada.id] = ada._replace(credits_posted=999)
    assert book.commit(an_entry(fine)).postings, "a transfer beside the failed one is free"


def test_a_refusal_of_another_sort_leaves_the_ids_free() -> None:
    book = Book()
    ada, bob = book.open(an_account(posted=100)), an_account()
    entry = an_entry(a_transfer(ada, bob))

    assert _book_reason(book, entry) == "ACCOUNT_NOT_FOUND"
    book.open(bob)

    assert not book.commit(entry).is_replay


@pytest.mark.parametrize("kind", [EntryId, TransferId])
@pytest.mark.parametrize(
    ("age", "fits"),
    [
        (timedelta(hours=24), True),
        (timedelta(hours=24, milliseconds=1), False),
        (timedelta(minutes=-1), True),
        (timedelta(minutes=-1, milliseconds=-1), False),
    ],
)
def test_a_callers_new_ids_are_a_day_old_at_most_and_a_minute_ahead(
    kind: type[EntryId] | type[TransferId], age: timedelta, fits: bool
) -> None:
    ada, bob = an_account(posted=100), an_account()
    ids = {EntryId: an_id(EntryId), TransferId: an_id(TransferId)} | {
        kind: an_id(kind, at=NOW - age)
    }
    entry = _callers_entry(ada, bob, ids[EntryId].uuid, ids[TransferId].uuid)

    if fits:
        assert decide(entry, the_books(ada, bob)).postings
    else:
        assert _refusal(entry, the_books(ada, bob)) == "ID_OUT_OF_WINDOW"


@pytest.mark.parametrize(
    "uuid",
    [
        UUID(int=a_uuid().int & ~(0xF << 76) | 4 << 76),
        UUID(int=0),
        UUID(int=a_uuid().int | 0xFFFFFFFFFFFF << 80),
    ],
    ids=["version 4", "nil", "past the year 9999"],
)
def test_a_callers_new_ids_are_time_ordered(uuid: UUID) -> None:
    ada, bob = an_account(posted=100), an_account()

    for entry in (
        _callers_entry(ada, bob, uuid, a_uuid()),
        _callers_entry(ada, bob, a_uuid(), uuid),
    ):
        assert _refusal(entry, the_books(ada, bob)) == "ID_OUT_OF_WINDOW"


@pytest.mark.parametrize("source", EntrySource)
@pytest.mark.parametrize("age", [timedelta(days=30), timedelta(minutes=-30)])
def test_ids_that_the_platform_minted_are_of_any_time(source: EntrySource, age: timedelta) -> None:
    ada, bob = an_account(posted=100), an_account()
    entry = an_entry(a_transfer(ada, bob), source=source)

    assert decide(entry, the_books(ada, bob, now=NOW + age)).postings


def test_whose_ids_they_were_is_not_kept() -> None:
    ada, bob = an_account(posted=100), an_account()
    entry = _callers_entry(ada, bob, a_uuid(), a_uuid())

    kept = decide(entry, the_books(ada, bob)).entry

    assert kept == entry._replace(effective_at=NOW, has_callers_ids=False)


# --- Two phases --------------------------------------------------------------------------------


def test_a_hold_reserves_and_posting_all_of_it_moves_it() -> None:
    book, ada, clearing, hold = _book_with_hold(100)

    assert _columns(book, ada) == (100, 0, 0, 150)
    assert _columns(book, clearing) == (0, 0, 100, 0)

    book.commit(an_entry(_resolve(hold, POST)))

    assert _columns(book, ada) == (0, 100, 0, 150)
    assert _columns(book, clearing) == (0, 0, 0, 100)


def test_posting_a_part_of_a_hold_releases_the_rest() -> None:
    book, ada, clearing, hold = _book_with_hold(100)

    book.commit(an_entry(_resolve(hold, POST, units=30)))

    assert _columns(book, ada) == (0, 30, 0, 150)
    assert _columns(book, clearing) == (0, 0, 0, 30)


@pytest.mark.parametrize("kind", [VOID, EXPIRE])
def test_a_void_or_an_expiry_releases_all_of_a_hold(kind: TransferKind) -> None:
    book, ada, clearing, hold = _book_with_hold(100, expires_at=NOW)

    book.commit(an_entry(_resolve(hold, kind)))

    assert _columns(book, ada) == (0, 0, 0, 150)
    assert _columns(book, clearing) == (0, 0, 0, 0)


@pytest.mark.parametrize("kind", [VOID, EXPIRE])
@pytest.mark.parametrize("units", [99, 101])
def test_a_void_or_an_expiry_is_of_the_exact_amount(kind: TransferKind, units: int) -> None:
    book, _, _, hold = _book_with_hold(100, expires_at=NOW)

    entry = an_entry(_resolve(hold, kind, units=units))

    assert _book_reason(book, entry) == "EXCEEDS_PENDING_AMOUNT"


@pytest.mark.parametrize("second", [POST, VOID, EXPIRE])
@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (POST, "PENDING_ALREADY_POSTED"),
        (VOID, "PENDING_ALREADY_VOIDED"),
        (EXPIRE, "PENDING_EXPIRED"),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_a_hold_is_resolved_exactly_once(
    first: TransferKind, reason: str, second: TransferKind, together: bool
) -> None:
    book, _, _, hold = _book_with_hold(100, expires_at=NOW + seconds(5))
    book.now = NOW + seconds(5 if first is EXPIRE else 4)
    one, other = _resolve(hold, first), _resolve(hold, second)
    if together:
        assert _book_reason(book, an_entry(one, other)) == reason
        return
    book.commit(an_entry(one))

    assert _book_reason(book, an_entry(other)) == reason


def test_a_hold_and_its_posting_fit_in_one_entry() -> None:
    book, ada, clearing, _ = _book_with_hold(100)
    hold = a_transfer(ada, clearing, 50, kind=PENDING)

    book.commit(an_entry(hold, _resolve(hold, POST)))

    assert _columns(book, ada) == (100, 50, 0, 150)
    assert book.resolutions == {hold.id: POST}


def test_a_hold_is_not_resolved_before_it_is_made() -> None:
    book, ada, clearing, _ = _book_with_hold(100)
    hold = a_transfer(ada, clearing, 50, kind=PENDING)

    entry = an_entry(_resolve(hold, POST), hold)

    assert _book_reason(book, entry) == "PENDING_TRANSFER_NOT_FOUND"


@pytest.mark.parametrize("which", ["debit", "credit", "swapped"])
def test_a_hold_is_posted_between_its_own_accounts_only(which: str) -> None:
    book, _, _, hold = _book_with_hold(100)
    other = book.open(an_account(posted=100))
    accounts = {
        "debit": (other.id, hold.credit_account_id),
        "credit": (hold.debit_account_id, other.id),
        "swapped": (hold.credit_account_id, hold.debit_account_id),
    }[which]
    post = _resolve(hold, POST)._replace(
        debit_account_id=accounts[0], credit_account_id=accounts[1]
    )

    assert _book_reason(book, an_entry(post)) == "PENDING_ACCOUNTS_DIFFER"


@pytest.mark.parametrize(
    ("kind", "before", "at"),
    [
        (POST, None, "PENDING_EXPIRED"),
        (VOID, None, None),
        (EXPIRE, "PENDING_NOT_EXPIRED", None),
    ],
)
def test_a_hold_expires_at_its_instant(
    kind: TransferKind, before: str | None, at: str | None
) -> None:
    expires_at = NOW + seconds(5)
    for now, reason in ((expires_at - timedelta(microseconds=1), before), (expires_at, at)):
        book, _, _, hold = _book_with_hold(100, expires_at=expires_at)
        book.now = now
        entry = an_entry(_resolve(hold, kind))

        if reason is None:
            book.commit(entry)
        else:
            assert _book_reason(book, entry) == reason


def test_a_hold_without_expiry_never_expires() -> None:
    book, _, _, hold = _book_with_hold(100)
    book.now = NOW + timedelta(days=400)

    assert _book_reason(book, an_entry(_resolve(hold, EXPIRE))) == "PENDING_NOT_EXPIRED"
    book.commit(an_entry(_resolve(hold, POST)))


# --- Reversals --------------------------------------------------------------------------------


def _reversal_of(entry: Entry) -> Entry:
    return entry.reversal(
        an_id(EntryId),
        lambda: an_id(TransferId),
        reference="a key",
        description="typed twice",
        effective_at=None,
    )


def test_a_reversal_brings_every_account_back_to_where_it_was() -> None:
    ada, bob, eve = an_account(posted=100), an_account(posted=5), an_account()
    book = Book()
    for account in (ada, bob, eve):
        book.open(account)
    entry = an_entry(
        a_transfer(ada, bob, 100), a_transfer(bob, eve, 105), source=EntrySource.OPERATOR
    )
    book.commit(entry)

    reversal = _reversal_of(entry)
    book.commit(reversal)

    assert reversal.reverses == entry.id
    assert {id: account.balance for id, account in book.accounts.items()} == {
        ada.id: 100,
        bob.id: 5,
        eve.id: 0,
    }


def test_what_a_trade_a_hold_or_a_reversal_did_is_not_reversed() -> None:
    ada, bob = an_account(posted=100), an_account()
    plain = an_entry(a_transfer(ada, bob, 1), source=EntrySource.OPERATOR)
    for entry in (
        plain._replace(source=EntrySource.TRADE),
        plain._replace(source=EntrySource.BREAK),
        an_entry(a_transfer(ada, bob, 1, kind=PENDING), source=EntrySource.OPERATOR),
        _reversal_of(plain),
    ):
        with pytest.raises(errors.EntryNotReversible):
            _reversal_of(entry)


# --- Times -------------------------------------------------------------------------------------


def test_an_entry_that_names_no_time_counts_when_it_is_recorded() -> None:
    ada, bob = an_account(posted=100), an_account()

    decision = decide(an_entry(a_transfer(ada, bob, 1)), the_books(ada, bob))

    assert decision.entry.effective_at == decision.recorded_at == NOW
    assert {line.effective_at for line in decision.postings} == {NOW}


@pytest.mark.parametrize("days", [-366, 31])
def test_an_entry_may_count_at_either_end_of_the_window(days: int) -> None:
    ada, bob = an_account(posted=100), an_account()
    then = NOW + timedelta(days=days)

    decision = decide(an_entry(a_transfer(ada, bob, 1), effective_at=then), the_books(ada, bob))

    assert decision.entry.effective_at == then
    assert decision.recorded_at == NOW


def test_no_line_is_recorded_before_the_one_before_it_even_if_the_clock_went_back() -> None:
    later = NOW + seconds(5)
    ada, bob = an_account(posted=100), an_account()._replace(recorded_at=later)

    decision = decide(an_entry(a_transfer(ada, bob, 1)), the_books(ada, bob))

    assert decision.recorded_at == later
    assert {account.recorded_at for account in decision.accounts.values()} == {later}


def test_a_hold_is_over_by_the_time_at_which_its_post_would_be_recorded() -> None:
    ada, bob = an_account(posted=100, held=100), an_account(incoming=100)
    hold = a_transfer(ada, bob, 100, kind=PENDING, expires_at=NOW + seconds(1))
    later = ada._replace(recorded_at=NOW + seconds(2))

    with pytest.raises(errors.PendingExpired):
        decide(an_entry(_resolve(hold, POST)), the_books(later, bob, transfers=[hold]))


# --- Limits and columns ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TransferKind.REGULAR, PENDING])
def test_an_account_is_spent_to_its_last_unit_holds_counted(kind: TransferKind) -> None:
    ada, bob = an_account(posted=150, held=50), an_account()

    assert decide(an_entry(a_transfer(ada, bob, 100, kind=kind)), the_books(ada, bob)).postings
    with pytest.raises(errors.InsufficientFunds) as caught:
        decide(an_entry(a_transfer(ada, bob, 101, kind=kind)), the_books(ada, bob))
    assert caught.value.message == "1.00 NGN available, 1.01 NGN needed"
    assert caught.value.metadata["available"] == "1.00"
    assert caught.value.metadata["needed"] == "1.01"
    assert caught.value.metadata["account_id"] == str(ada.id)


def test_pending_credits_cannot_be_spent() -> None:
    ada, bob = an_account(posted=0, incoming=1_000), an_account()

    assert _refusal(an_entry(a_transfer(ada, bob, 1)), the_books(ada, bob)) == "INSUFFICIENT_FUNDS"


def test_an_overdraft_is_used_to_its_last_unit() -> None:
    treasury = an_account(kind=AccountKind.TREASURY, posted=-20, held=30, overdraft_limit=150)
    bob = an_account()
    books = the_books(treasury, bob)

    assert decide(an_entry(a_transfer(treasury, bob, 100)), books).postings
    assert _refusal(an_entry(a_transfer(treasury, bob, 101)), books) == "INSUFFICIENT_FUNDS"


def test_only_the_debit_account_is_held_to_its_limit() -> None:
    indebted = an_account(posted=-500, overdraft_limit=0)
    ada = an_account(posted=100)

    assert decide(an_entry(a_transfer(ada, indebted)), the_books(ada, indebted)).postings


def test_each_transfer_sees_the_effect_of_those_before_it() -> None:
    ada, bob, eve = an_account(posted=100), an_account(), an_account()
    books = the_books(ada, bob, eve)
    there, on = a_transfer(ada, bob), a_transfer(bob, eve)

    decision = decide(an_entry(there, on), books)

    assert [decision.accounts[a.id].balance for a in (ada, bob, eve)] == [0, 0, 100]
    assert _refusal(an_entry(on, there), books) == "INSUFFICIENT_FUNDS"


def test_an_entry_may_not_lean_on_a_later_transfer_of_its_own() -> None:
    ada, bob = an_account(posted=100), an_account()
    books = the_books(ada, bob)
    entry = an_entry(a_transfer(ada, bob, 101), a_transfer(bob, ada, 101))

    assert _refusal(entry, books) == "INSUFFICIENT_FUNDS"
    assert books == the_books(ada, bob), "what was read is not touched"


@pytest.mark.parametrize("kind", [TransferKind.REGULAR, PENDING])
@pytest.mark.parametrize("side", ["debit", "credit"])
def test_no_column_grows_past_its_largest_value(kind: TransferKind, side: str) -> None:
    phase = "pending" if kind is PENDING else "posted"
    column = f"{side}s_{phase}"
    lp = an_account(kind=AccountKind.LP, overdraft_limit=None)
    other = an_account(kind=AccountKind.EXTERNAL, overdraft_limit=None)

    def enter(filled: int) -> Decision:
        full = lp._replace(**{column: filled})  # type: ignore[arg-type]
        debit, credit = (full, other) if side == "debit" else (other, full)
        return decide(an_entry(a_transfer(debit, credit, 100, kind=kind)), the_books(debit, credit))

    assert getattr(enter(MAX_COLUMN - 100).accounts[lp.id], column) == MAX_COLUMN
    with pytest.raises(errors.BalanceOverflow) as caught:
        enter(MAX_COLUMN - 99)
    assert caught.value.metadata["account_id"] == str(lp.id)


# --- What is written ---------------------------------------------------------------------------


def test_every_transfer_makes_two_lines_debit_first() -> None:
    ada, bob = an_account(posted=150), an_account(posted=7)
    move, hold = a_transfer(ada, bob, 100), a_transfer(ada, bob, 20, kind=PENDING)
    entry = an_entry(move, hold, _resolve(hold, POST, units=5))

    lines = decide(entry, the_books(ada, bob)).postings

    assert [
        (line.account_id, line.change.units, line.held_change.units, line.balance_after.units)
        for line in lines
    ] == [
        (ada.id, -100, 0, 50),
        (bob.id, 100, 0, 107),
        (ada.id, 0, 20, 50),
        (bob.id, 0, 0, 107),
        (ada.id, -5, -20, 45),
        (bob.id, 5, 0, 112),
    ]
    assert [line.version for line in lines] == [1, 1, 2, 2, 3, 3]
    assert [line.transfer.id for line in lines[::2]] == [t.id for t in entry.transfers]
    assert {(line.entry_id, line.recorded_at) for line in lines} == {(entry.id, NOW)}


def test_only_accounts_that_moved_are_written() -> None:
    ada, bob, eve = an_account(posted=100), an_account(), an_account()

    decision = decide(an_entry(a_transfer(ada, bob)), the_books(ada, bob, eve))

    assert set(decision.accounts) == {ada.id, bob.id}


def _book_with_hold(
    units: int, *, expires_at: datetime | None = None
) -> tuple[Book, Account, Account, Transfer]:
    book = Book()
    ada = book.open(an_account(posted=150))
    clearing = book.open(an_account(kind=AccountKind.TENANT_MARKUP, owner=""))
    hold = a_transfer(ada, clearing, units, kind=PENDING, expires_at=expires_at)
    book.commit(an_entry(hold))
    return book, ada, clearing, hold


def _resolve(hold: Transfer, kind: TransferKind, *, units: int | None = None) -> Transfer:
    amount = hold.amount if units is None else replace(hold.amount, units=units)
    return hold._replace(
        id=an_id(TransferId),
        kind=kind,
        amount=amount,
        pending_id=hold.id,
        expires_at=None,
    )


def _callers_entry(ada: Account, bob: Account, entry_id: UUID, transfer_id: UUID) -> Entry:
    return an_entry(
        a_transfer(ada, bob, id=TransferId(transfer_id)),
        id=EntryId(entry_id),
        source=EntrySource.OPERATOR,
    )._replace(has_callers_ids=True)


def _columns(book: Book, account: Account) -> tuple[int, int, int, int]:
    now = book.accounts[account.id]
    return now.debits_pending, now.debits_posted, now.credits_pending, now.credits_posted


def _refusal(entry: Entry, books: Books) -> str:
    return _reason(lambda: decide(entry, books))


def _book_reason(book: Book, entry: Entry) -> str:
    return _reason(lambda: book.commit(entry))


def _reason(act: Callable[[], object]) -> str:
    with pytest.raises(DomainError) as caught:
        act()
    return caught.value.reason
