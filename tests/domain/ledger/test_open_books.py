"""A batch is decided as its entries are one by one, however many there are."""

from random import Random

import pytest

from domain.amount import Amount
from domain.errors import DomainError
from domain.ids import TransferId
from domain.ledger.entry import Entry
from domain.ledger.posting import Decision, OpenBooks
from domain.ledger.transfer import Transfer, TransferKind
from tests.support.book import Book
from tests.support.builders import NGN, a_transfer, an_account, an_entry, an_id

ACCOUNTS = [an_account(posted=units) for units in (0, 50, 100, 500)]


@pytest.mark.parametrize("seed", range(200))
def test_a_batch_is_decided_as_its_entries_are_one_by_one(seed: int) -> None:
    random = Random(seed)
    entries: list[Entry] = []
    for _ in range(random.randint(1, 30)):
        entries.append(_an_entry(random, entries))
    one_by_one, whole = _a_book(), _a_book()

    expected = [one_by_one.result_of(entry) for entry in entries]
    cut = random.randint(0, len(entries))
    found = [
        result
        for part in (entries[:cut], entries[cut:])
        for result in _keep(whole, part, _decide_all(part, whole))
    ]

    assert [_told(one) for one in found] == [_told(one) for one in expected]
    assert whole.accounts == one_by_one.accounts
    assert whole.failed == one_by_one.failed


def _an_entry(random: Random, before: list[Entry]) -> Entry:
    if before and random.random() < 0.1:
        return random.choice(before)
    return an_entry(*(_a_transfer(random, before) for _ in range(random.randint(1, 3))))


def _a_transfer(random: Random, before: list[Entry]) -> Transfer:
    known = [transfer for entry in before for transfer in entry.transfers]
    holds = [transfer for transfer in known if transfer.kind is TransferKind.PENDING]
    if holds and random.random() < 0.4:
        hold = random.choice(holds)
        kind = random.choice([TransferKind.POST, TransferKind.VOID])
        units = hold.amount.units - random.choice([0, 0, 1])
        return Transfer(
            id=an_id(TransferId),
            debit_account_id=hold.debit_account_id,
            credit_account_id=hold.credit_account_id,
            amount=Amount(NGN, units),
            kind=kind,
            pending_id=hold.id,
        )
    if known and random.random() < 0.05:
        return random.choice(known)
    kind = random.choice([TransferKind.REGULAR, TransferKind.REGULAR, TransferKind.PENDING])
    debit, credit = random.choices(ACCOUNTS, k=2)
    return a_transfer(debit, credit, random.randint(1, 120), kind=kind)


def _a_book() -> Book:
    return Book(accounts={account.id: account for account in ACCOUNTS})


def _decide_all(entries: list[Entry], book: Book) -> list[Decision | DomainError]:
    books = OpenBooks(book.books)
    return [books.result_of(entry) for entry in entries]


def _keep(
    book: Book, entries: list[Entry], results: list[Decision | DomainError]
) -> list[Decision | DomainError]:
    """Do to the book what was decided, by deciding it again."""
    for entry in entries:
        book.result_of(entry)
    return results


def _told(result: Decision | DomainError) -> object:
    if isinstance(result, DomainError):
        return type(result), result.message, result.metadata
    return result.entry, result.is_replay, result.recorded_at, result.postings
