"""The ledger against a second, simpler model of itself, under any sequence of entries."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.amount import Amount
from domain.errors import DomainError
from domain.ids import AccountId, TransferId
from domain.ledger.account import Account, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer, TransferKind
from tests.support.book import Book
from tests.support.builders import NGN, NOW, USD, a_transfer, an_account, an_entry, an_id, seconds

T = TypeVar("T")

REGULAR, PENDING, POST, VOID, EXPIRE = TransferKind
RESOLVING = st.sampled_from([POST, VOID, EXPIRE])
RESOLVED = {
    POST: "PENDING_ALREADY_POSTED",
    VOID: "PENDING_ALREADY_VOIDED",
    EXPIRE: "PENDING_EXPIRED",
}
NAIRA = ("ada", "bob", "markup", "treasury", "lp")
DOLLARS = ("ada in dollars", "lp in dollars")

NUMBERS = st.integers(0, 1_000)
UNITS = st.integers(1, 200)
LASTS_S = st.sampled_from([None, 1, 1, 2, 5])
SOURCES = st.sampled_from(EntrySource)
PAIRS = st.sampled_from(
    [(debit, credit) for debit in NAIRA for credit in NAIRA if debit != credit]
    + [("lp", "ada"), ("lp", "bob"), DOLLARS[::-1]] * 4
)


@dataclass
class Model:
    """What there should be: final balances, and holds one by one instead of columns."""

    posted: Counter[AccountId] = field(default_factory=Counter)
    open: dict[TransferId, Transfer] = field(default_factory=dict)
    done: dict[TransferId, TransferKind] = field(default_factory=dict)
    known: dict[TransferId, Transfer] = field(default_factory=dict)
    failed: set[bytes] = field(default_factory=set)

    def copy(self) -> "Model":
        return Model(
            posted=self.posted.copy(),
            open=dict(self.open),
            done=dict(self.done),
            known=dict(self.known),
            failed=set(self.failed),
        )

    def refusal(self, transfer: Transfer, accounts: dict[AccountId, Account], now: datetime) -> str:
        """Apply a transfer, or return why not."""
        debit, credit = accounts[transfer.debit_account_id], accounts[transfer.credit_account_id]
        if transfer.id.bytes in self.failed:
            return "TRANSFER_ALREADY_FAILED"
        if transfer.id in self.known:
            return "TRANSFER_CONFLICT"
        if len({debit.asset, credit.asset, transfer.amount.asset}) > 1:
            return "ASSET_MISMATCH"
        if transfer.pending_id is not None:
            reason = self._resolve(transfer, transfer.pending_id, now)
        else:
            limit = debit.overdraft_limit
            short = limit is not None and self._free(debit) + limit < transfer.amount.units
            reason = "INSUFFICIENT_FUNDS" if short else ""
        if reason:
            return reason
        self.known[transfer.id] = transfer
        if transfer.kind is PENDING:
            self.open[transfer.id] = transfer
        elif transfer.kind in {REGULAR, POST}:
            self.posted[debit.id] -= transfer.amount.units
            self.posted[credit.id] += transfer.amount.units
        return ""

    def _resolve(self, transfer: Transfer, hold_id: TransferId, now: datetime) -> str:
        hold = self.known.get(hold_id)
        if hold is None:
            return "PENDING_TRANSFER_NOT_FOUND"
        if hold.kind is not PENDING:
            return "TRANSFER_NOT_PENDING"
        if hold.debit_account_id != transfer.debit_account_id:
            return "PENDING_ACCOUNTS_DIFFER"
        rest = hold.amount.units - transfer.amount.units
        if rest < 0 or (rest and transfer.kind is not POST):
            return "EXCEEDS_PENDING_AMOUNT"
        if hold_id in self.done:
            return RESOLVED[self.done[hold_id]]
        is_over = hold.expires_at is not None and hold.expires_at <= now
        if transfer.kind is POST and is_over:
            return "PENDING_EXPIRED"
        if transfer.kind is EXPIRE and not is_over:
            return "PENDING_NOT_EXPIRED"
        del self.open[hold_id]
        self.done[hold_id] = transfer.kind
        return ""

    def _free(self, account: Account) -> int:
        return self.posted[account.id] - self.held(account.id)

    def held(self, account_id: AccountId) -> int:
        return sum(
            hold.amount.units for hold in self.open.values() if hold.debit_account_id == account_id
        )

    def incoming(self, account_id: AccountId) -> int:
        return sum(
            hold.amount.units for hold in self.open.values() if hold.credit_account_id == account_id
        )


class LedgerAgainstModel(RuleBasedStateMachine):
    @initialize()
    def open_accounts(self) -> None:
        self.book, self.model = Book(), Model()
        accounts = [
            an_account(owner="ada"),
            an_account(owner="bob"),
            an_account(kind=AccountKind.TENANT_MARKUP, owner=""),
            an_account(kind=AccountKind.TREASURY, owner="", overdraft_limit=300),
            an_account(kind=AccountKind.LP, owner="alpha", overdraft_limit=None),
            an_account(asset=USD, owner="ada"),
            an_account(asset=USD, kind=AccountKind.LP, owner="alpha", overdraft_limit=None),
        ]
        self.ids = {
            name: self.book.open(account).id
            for name, account in zip(NAIRA + DOLLARS, accounts, strict=True)
        }
        self.limits = {account.id: account.overdraft_limit for account in accounts}
        self.failed_entries: list[Entry] = []

    @rule(pair=PAIRS, units=UNITS, source=SOURCES)
    def move(self, pair: tuple[str, str], units: int, source: EntrySource) -> None:
        self._enter(an_entry(self._transfer(pair, units), source=source))

    @rule(to=st.sampled_from(["ada", "bob"]), units=st.integers(200, 1_000))
    def deposit(self, to: str, units: int) -> None:
        self._enter(an_entry(self._transfer(("lp", to), units)))

    @rule(pair=PAIRS, units=UNITS, lasts_s=LASTS_S)
    def hold(self, pair: tuple[str, str], units: int, lasts_s: int | None) -> None:
        self._enter(an_entry(self._hold(pair, units, lasts_s)))

    @precondition(lambda self: self.model.open)
    @rule(number=NUMBERS, cut=st.integers(0, 200))
    def post(self, number: int, cut: int) -> None:
        hold = _pick(self.model.open.values(), number)
        self._enter(an_entry(_resolution(hold, POST, max(hold.amount.units - cut, 1))))

    @precondition(lambda self: self.model.open)
    @rule(number=NUMBERS, kind=st.sampled_from([VOID, EXPIRE]))
    def release(self, number: int, kind: TransferKind) -> None:
        hold = _pick(self.model.open.values(), number)
        self._enter(an_entry(_resolution(hold, kind, hold.amount.units)))

    @precondition(lambda self: self.model.known)
    @rule(number=NUMBERS, kind=RESOLVING, more=st.sampled_from([-1, 0, 0, 0, 1]))
    def resolve_anything(self, number: int, kind: TransferKind, more: int) -> None:
        target = _pick(self.model.known.values(), number)
        self._enter(an_entry(_resolution(target, kind, max(target.amount.units + more, 1))))

    @precondition(lambda self: self.model.done)
    @rule(number=NUMBERS, kind=RESOLVING)
    def resolve_twice(self, number: int, kind: TransferKind) -> None:
        hold = self.model.known[_pick(self.model.done, number)]
        self._enter(an_entry(_resolution(hold, kind, hold.amount.units)))

    @precondition(lambda self: self.model.open)
    @rule(number=NUMBERS, kind=RESOLVING)
    def resolve_the_wrong_way_round(self, number: int, kind: TransferKind) -> None:
        hold = _pick(self.model.open.values(), number)
        made = _resolution(hold, kind, hold.amount.units)
        turned = made._replace(
            debit_account_id=made.credit_account_id,
            credit_account_id=made.debit_account_id,
        )
        self._enter(an_entry(turned))

    @rule(pair=PAIRS, units=UNITS, kind=RESOLVING)
    def resolve_nothing(self, pair: tuple[str, str], units: int, kind: TransferKind) -> None:
        made = _resolution(self._transfer(pair, units), kind, units)
        self._enter(an_entry(made._replace(pending_id=an_id(TransferId))))

    @rule(debit=st.sampled_from(NAIRA), credit=st.sampled_from(DOLLARS), units=UNITS)
    def mix_assets(self, debit: str, credit: str, units: int) -> None:
        self._enter(an_entry(self._transfer((debit, credit), units)))

    @rule(
        pairs=st.lists(PAIRS, min_size=2, max_size=4),
        units=st.integers(1, 60),
        resolves=st.booleans(),
        number=NUMBERS,
    )
    def enter_several(
        self, pairs: list[tuple[str, str]], units: int, resolves: bool, number: int
    ) -> None:
        hold = self._hold(pairs[0], units, None)
        transfers = [hold, *(self._transfer(pair, units) for pair in pairs[1:])]
        if resolves:
            transfers.append(_resolution(hold, POST, units))
        if self.model.open:
            older = _pick(self.model.open.values(), number)
            transfers.append(_resolution(older, VOID, older.amount.units))
        self._enter(an_entry(*transfers))

    @precondition(lambda self: self.model.known or self.failed_entries)
    @rule(number=NUMBERS)
    def enter_a_known_or_failed_transfer_again(self, number: int) -> None:
        failed = [t for entry in self.failed_entries for t in entry.transfers]
        self._enter(an_entry(_pick([*self.model.known.values(), *failed], number)))

    @precondition(lambda self: self.book.entries)
    @rule(number=NUMBERS, later_s=st.integers(0, 100))
    def replay(self, number: int, later_s: int) -> None:
        known = _pick(self.book.entries.values(), number)
        before = self.book.copy()

        decision = self.book.commit(known._replace(effective_at=NOW + seconds(later_s)))

        assert decision.is_replay
        assert decision.entry == known
        assert self.book == before

    @precondition(lambda self: self.book.entries)
    @rule(number=NUMBERS, more=st.integers(1, 5))
    def send_other_content_under_a_known_id(self, number: int, more: int) -> None:
        known = _pick(self.book.entries.values(), number)
        first, *rest = known.transfers
        other = first._replace(amount=Amount(first.amount.asset, first.amount.units + more))

        self._assert_refused(known._replace(transfers=(other, *rest)), "ENTRY_CONFLICT")

    @precondition(lambda self: self.failed_entries)
    @rule(number=NUMBERS)
    def send_a_failed_entry_again(self, number: int) -> None:
        entry = _pick(self.failed_entries, number)

        self._assert_refused(entry, "ENTRY_ALREADY_FAILED")

    @rule(number=st.integers(1, 10))
    def time_passes(self, number: int) -> None:
        self.book.now += seconds(number)

    @rule()
    def sweep_what_has_expired(self) -> None:
        due = [
            hold
            for hold in self.model.open.values()
            if hold.expires_at is not None and hold.expires_at <= self.book.now
        ]
        if due:
            sweep = [_resolution(hold, EXPIRE, hold.amount.units) for hold in due]
            self._enter(an_entry(*sweep, source=EntrySource.EXPIRY))
            assert all(self.model.done[hold.id] is EXPIRE for hold in due)

    def _transfer(self, pair: tuple[str, str], units: int) -> Transfer:
        debit, credit = (self.book.accounts[self.ids[name]] for name in pair)
        return a_transfer(debit, credit, units)

    def _hold(self, pair: tuple[str, str], units: int, lasts_s: int | None) -> Transfer:
        until = None if lasts_s is None else self.book.now + seconds(lasts_s)
        return self._transfer(pair, units)._replace(kind=PENDING, expires_at=until)

    def _enter(self, entry: Entry) -> None:
        after = self.model.copy()
        for transfer in entry.transfers:
            reason = after.refusal(transfer, self.book.accounts, self.book.now)
            if reason == "INSUFFICIENT_FUNDS":
                burnt = (entry.id.bytes, transfer.id.bytes)
                self._assert_refused(entry, reason, burns=burnt)
                self.failed_entries.append(entry)
                self.model.failed.update(burnt)
                return
            if reason:
                self._assert_refused(entry, reason)
                return
        decision = self.book.commit(entry)

        assert not decision.is_replay
        assert len(decision.postings) == 2 * len(entry.transfers)
        self.model = after

    def _assert_refused(self, entry: Entry, reason: str, *, burns: tuple[bytes, ...] = ()) -> None:
        """Assert the reason, and that nothing changed but the ids that it burns."""
        expected = self.book.copy()
        expected.failed |= dict.fromkeys(burns, reason)
        heard = ""
        try:
            self.book.commit(entry)
        except DomainError as refusal:
            heard = refusal.reason

        assert heard == reason
        assert self.book == expected

    @invariant()
    def posted_balances_add_up_to_zero_per_asset(self) -> None:
        for asset in (NGN, USD):
            assert sum(a.balance for a in self._accounts() if a.asset == asset) == 0

    @invariant()
    def pending_debits_pending_credits_and_open_holds_are_the_same_sum(self) -> None:
        for asset in (NGN, USD):
            accounts = [a for a in self._accounts() if a.asset == asset]
            holds = [h.amount.units for h in self.model.open.values() if h.amount.asset == asset]
            assert sum(a.debits_pending for a in accounts) == sum(holds)
            assert sum(a.credits_pending for a in accounts) == sum(holds)

    @invariant()
    def every_account_is_what_the_model_says(self) -> None:
        for account in self._accounts():
            assert account.balance == self.model.posted[account.id]
            assert account.held == self.model.held(account.id)
            assert account.credits_pending == self.model.incoming(account.id)
            assert account.available == account.balance - account.held

    @invariant()
    def no_account_is_beyond_its_limit_and_no_column_below_zero(self) -> None:
        for account in self._accounts():
            limit = self.limits[account.id]
            assert limit is None or account.balance - account.debits_pending >= -limit
            assert (
                min(
                    account.debits_pending,
                    account.debits_posted,
                    account.credits_pending,
                    account.credits_posted,
                )
                >= 0
            )

    @invariant()
    def each_hold_is_resolved_at_most_once(self) -> None:
        resolved = Counter(
            t.pending_id
            for e in self.book.entries.values()
            for t in e.transfers
            if t.pending_id is not None
        )
        assert all(times == 1 for times in resolved.values())
        assert set(resolved) == set(self.model.done)
        assert self.book.resolutions == self.model.done

    @invariant()
    def the_lines_of_an_account_tell_its_whole_story(self) -> None:
        for account in self._accounts():
            lines = [line for line in self.book.postings if line.account_id == account.id]
            assert [line.version for line in lines] == list(range(1, account.version + 1))
            balance = held = 0
            for line in lines:
                balance += line.change.units
                held += line.held_change.units
                assert line.balance_after.units == balance
            assert (balance, held) == (account.balance, account.held)

    def _accounts(self) -> list[Account]:
        return list(self.book.accounts.values())


def _pick(things: Iterable[T], number: int) -> T:
    choices = list(things)
    return choices[number % len(choices)]


def _resolution(hold: Transfer, kind: TransferKind, units: int) -> Transfer:
    return hold._replace(
        id=an_id(TransferId),
        kind=kind,
        amount=Amount(hold.amount.asset, units),
        pending_id=hold.id,
        expires_at=None,
    )


LedgerAgainstModel.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
test_the_ledger_agrees_with_its_model = LedgerAgainstModel.TestCase
