"""camt.053 holds for whatever a statement can be about, or says that it cannot say it."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.statement_out.camt_053 import NAMESPACE, Camt053Statement
from domain.asset import Asset
from domain.ids import AccountId, EntryId, TransferId, TypedId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.errors import StatementNotExpressible
from domain.ledger.statement import Period, Statement, StatementLine, Totals
from tests.support.camt_053 import assert_valid
from tests.support.platform import uuid_at

NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
LARGEST: Final = 10**18 - 1


def an_id(kind: type[TypedId]) -> str:
    return str(kind(uuid_at(NOON)))


def written(
    opening: int, *changes: int, asset: Asset | None = None, words: str = "", purpose: str = ""
) -> bytes:
    statement = Statement(
        account_id=AccountId(uuid_at(NOON)),
        account=AccountKey(AccountKind.TREASURY, asset or Asset("NGN", 2)),
        period=Period(NOON, NOON + timedelta(days=1)),
        recorded_by=NOON,
        opening=opening,
        closing=opening + sum(changes),
    )
    lines = [
        StatementLine(
            effective_at=NOON,
            version=version,
            recorded_at=NOON,
            change=change,
            entry_id=an_id(EntryId),
            transfer_id=an_id(TransferId),
            counter_account_id=an_id(AccountId),
            purpose=purpose,
            description=words,
        )
        for version, change in enumerate(changes, start=1)
    ]
    file = Camt053Statement(statement)
    return (file.opening() + file.lines(lines) + file.closing(Totals())).encode()


@settings(max_examples=60, deadline=None)
@given(
    opening=st.integers(-(10**15), 10**15),
    changes=st.lists(st.integers(-(10**15), 10**15).filter(bool), max_size=4),
    words=st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=200),
    purpose=st.from_regex(r"[a-z_]{0,32}", fullmatch=True),
    scale=st.integers(0, 5),
)
def test_the_schema_accepts_every_statement(
    opening: int, changes: list[int], words: str, purpose: str, scale: int
) -> None:
    content = written(opening, *changes, asset=Asset("XTS", scale), words=words, purpose=purpose)

    document = assert_valid(content)

    entries = document.findall(f".//{{{NAMESPACE}}}Ntry")
    assert len(entries) == len(changes)


def test_a_balance_below_zero_is_a_debit() -> None:
    document = assert_valid(written(-150, 50))

    balances = document.findall(f".//{{{NAMESPACE}}}Bal/{{{NAMESPACE}}}CdtDbtInd")
    assert [balance.text for balance in balances] == ["DBIT", "DBIT"]


@pytest.mark.parametrize("asset", [Asset("BTC", 8), Asset("USDT", 2), Asset("1INCH", 2)])
def test_an_asset_that_is_no_currency_is_refused(asset: Asset) -> None:
    with pytest.raises(StatementNotExpressible):
        written(0, asset=asset)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_amount_has_at_most_18_digits(sign: int) -> None:
    assert_valid(written(0, sign * LARGEST))

    with pytest.raises(StatementNotExpressible):
        written(0, sign * (LARGEST + 1))
    with pytest.raises(StatementNotExpressible):
        written(sign * (LARGEST + 1))
