"""An account: four columns, and what they mean."""

import pytest

from domain.ids import AccountId
from domain.ledger.account import MAX_COLUMN, UNLIMITED_KINDS, Account, AccountKey, AccountKind
from tests.support.builders import NGN, an_account, an_id, ngn


def test_a_new_account_is_empty_and_has_no_overdraft() -> None:
    account = Account(id=an_id(AccountId), key=AccountKey(AccountKind.CUSTOMER, NGN, "ada"))

    assert (account.balance, account.held, account.available, account.version) == (0, 0, 0, 0)
    assert (account.debits_pending, account.debits_posted) == (0, 0)
    assert (account.credits_pending, account.credits_posted) == (0, 0)
    assert account.overdraft_limit == 0
    assert account.is_within_limit
    assert account.asset == NGN
    assert account.amount(5) == ngn("0.05")


def test_a_debit_changes_only_the_columns_that_it_names() -> None:
    account = an_account(posted=100)

    held, spent, touched = (
        account.debited(pending=7),
        account.debited(posted=7),
        account.debited(),
    )

    assert (held.debits_pending, held.debits_posted) == (7, 0)
    assert (held.balance, held.held, held.available) == (100, 7, 93)
    assert (spent.debits_pending, spent.debits_posted) == (0, 7)
    assert (spent.balance, spent.held, spent.available) == (93, 0, 93)
    assert (touched.balance, touched.held, touched.version) == (100, 0, 1)


def test_a_credit_changes_only_the_columns_that_it_names() -> None:
    account = an_account(posted=100)

    announced, paid, touched = (
        account.credited(pending=7),
        account.credited(posted=7),
        account.credited(),
    )

    assert (announced.credits_pending, announced.credits_posted) == (7, 100)
    assert (announced.balance, announced.available) == (100, 100), "not there yet"
    assert (paid.credits_pending, paid.credits_posted) == (0, 107)
    assert (touched.credits_pending, touched.balance, touched.version) == (0, 100, 1)


def test_the_largest_column_has_thirty_eight_digits() -> None:
    assert str(MAX_COLUMN) == "9" * 38
    assert not an_account(posted=MAX_COLUMN).overflows
    assert an_account(posted=MAX_COLUMN + 1).overflows


@pytest.mark.parametrize(
    ("posted", "held", "limit", "is_within"),
    [
        (0, 0, 0, True),
        (-1, 0, 0, False),
        (5, 5, 0, True),
        (5, 6, 0, False),
        (-50, 50, 100, True),
        (-50, 51, 100, False),
        (-(10**30), 10**30, None, True),
    ],
)
def test_the_limit_counts_holds(posted: int, held: int, limit: int | None, is_within: bool) -> None:
    account = an_account(posted=posted, held=held, overdraft_limit=limit)

    assert account.is_within_limit is is_within


def test_only_mirrors_of_other_books_and_our_own_loss_are_without_limit() -> None:
    assert {kind.value for kind in UNLIMITED_KINDS} == {"lp", "external", "slippage", "inventory"}
