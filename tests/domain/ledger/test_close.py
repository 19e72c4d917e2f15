"""A daily close adds up, or there is none."""

import json
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pytest

from domain.errors import InvalidArgument
from domain.ids import TenantId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.close import (
    GRACE,
    AccountDay,
    BooksUnbalanced,
    DailyClose,
    TrialBalance,
    close_day,
    ends_of,
    latest_closable,
    read_day,
)
from tests.support.builders import NGN, an_id

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
TENANT = an_id(TenantId)


def a_day(
    kind: AccountKind,
    opening: int,
    debits: int,
    credits: int,
    *,
    owner: str = "",
    closing: int | None = None,
) -> AccountDay:
    expected = opening + credits - debits
    return AccountDay(
        AccountKey(kind, NGN, owner),
        opening,
        debits,
        credits,
        expected if closing is None else closing,
        1,
    )


def closed(*accounts: AccountDay) -> DailyClose:
    return close_day(TENANT, DAY, TrialBalance.empty().plus(accounts), closed_at=NOON)


def test_a_close_has_the_trial_balance_and_what_it_means() -> None:
    close = closed(
        a_day(AccountKind.CUSTOMER, 500, 150, 0, owner="ada"),
        a_day(AccountKind.CUSTOMER, 100, 0, 0, owner="bob"),
        a_day(AccountKind.LP, -600, 0, 100, owner="alpha"),
        a_day(AccountKind.PLATFORM_FEE, 0, 0, 20),
        a_day(AccountKind.TENANT_MARKUP, 0, 5, 35),
    )

    content = json.loads(close.content)

    assert content["day"] == "2026-03-02"
    assert content["trial_balance"][0] == {
        "kind": "customer",
        "asset": "NGN",
        "opening": "6.00",
        "debits": "1.50",
        "credits": "0.00",
        "closing": "4.50",
        "accounts": 2,
        "lines": 2,
    }
    assert content["fees"] == [{"asset": "NGN", "value": "0.20"}]
    assert content["markups"] == [{"asset": "NGN", "value": "0.30"}]
    assert content["positions"] == [
        {"kind": "lp", "owner": "alpha", "asset": "NGN", "value": "-5.00"}
    ]
    assert close.digest == sha256(close.content).digest()


def test_the_content_does_not_depend_on_the_order_of_accounts_or_on_when_it_was_made() -> None:
    accounts = [
        a_day(AccountKind.LP, -600, 0, 100, owner="beta"),
        a_day(AccountKind.LP, 0, 0, 0, owner="alpha"),
        a_day(AccountKind.CUSTOMER, 600, 100, 0),
    ]
    later = close_day(
        TENANT,
        DAY,
        TrialBalance.empty().plus(accounts[::-1][:1]).plus(accounts[::-1][1:]),
        closed_at=NOON + timedelta(days=1),
    )

    assert later.content == closed(*accounts).content
    assert later.content.startswith(b'{"accounts":3,"day":"2026-03-02","fees":[],"key_id":')


@pytest.mark.parametrize(
    "accounts",
    [
        [a_day(AccountKind.LP, 0, 0, 5, closing=6)],
        [a_day(AccountKind.LP, 1, 0, 0)],
        [a_day(AccountKind.LP, 0, 5, 5), a_day(AccountKind.CUSTOMER, 0, 0, 5)],
        [a_day(AccountKind.LP, -5, 0, 5), a_day(AccountKind.CUSTOMER, 0, 0, 0)],
    ],
)
def test_books_that_do_not_add_up_are_not_closed(accounts: list[AccountDay]) -> None:
    with pytest.raises(BooksUnbalanced):
        closed(*accounts)


def test_a_day_is_closed_when_it_is_over_and_the_grace_too() -> None:
    _, end = ends_of(DAY)

    assert latest_closable(end + GRACE) == DAY
    assert latest_closable(end + GRACE - timedelta(microseconds=1)) == DAY - timedelta(days=1)


@pytest.mark.parametrize(
    "text",
    ["", "today", "2026-02-29", "20260302", "2026-W10-1", "1969-12-31", "9999-12-31", "2026-3-2"],
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_day(text)

    assert caught.value.metadata["field"] == "day"
