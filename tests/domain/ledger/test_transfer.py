"""A transfer as it is asked for, and what its pending transfer fills in."""

import pytest

from domain.errors import InvalidArgument
from domain.ids import TransferId
from domain.ledger.errors import PendingTransferNotFound
from domain.ledger.transfer import NewTransfer, Transfer, TransferKind
from tests.support.builders import NOW, a_transfer, an_account, an_id, ngn

HOLD = a_transfer(an_account(), an_account(), 100, kind=TransferKind.PENDING, purpose="hold")
GIVEN = a_transfer(an_account(), an_account(), 30)
POST = NewTransfer(
    id=an_id(TransferId),
    kind=TransferKind.POST,
    debit_account_id=None,
    credit_account_id=None,
    amount=None,
    pending_id=HOLD.id,
    expires_at=None,
    purpose="payment",
)


def test_what_is_left_out_is_taken_from_the_pending_transfer() -> None:
    assert POST.completed(HOLD) == Transfer(
        id=POST.id,
        debit_account_id=HOLD.debit_account_id,
        credit_account_id=HOLD.credit_account_id,
        amount=HOLD.amount,
        kind=TransferKind.POST,
        pending_id=HOLD.id,
        purpose="payment",
    )


def test_what_is_given_stays() -> None:
    asked = POST._replace(
        debit_account_id=GIVEN.debit_account_id,
        credit_account_id=GIVEN.credit_account_id,
        amount=ngn("0"),
        expires_at=NOW,
    )

    for pending in (HOLD, None):
        made = asked.completed(pending)

        assert made.debit_account_id == GIVEN.debit_account_id
        assert made.credit_account_id == GIVEN.credit_account_id
        assert made.amount == ngn("0"), "zero is an answer, though one that the ledger refuses"
        assert (made.expires_at, made.kind, made.purpose) == (NOW, TransferKind.POST, "payment")


@pytest.mark.parametrize("field", ["debit_account_id", "credit_account_id", "amount"])
def test_what_nobody_says_is_missing(field: str) -> None:
    given = {
        name: getattr(GIVEN, name) for name in ("debit_account_id", "credit_account_id", "amount")
    }
    asked = POST._replace(kind=TransferKind.REGULAR, pending_id=None, **{**given, field: None})

    with pytest.raises(InvalidArgument) as caught:
        asked.completed(None)

    assert caught.value.metadata == {"field": field, "transfer_id": str(POST.id)}


def test_an_unknown_pending_transfer_cannot_fill_in_anything() -> None:
    with pytest.raises(PendingTransferNotFound) as caught:
        POST.completed(None)

    assert caught.value.metadata["pending_id"] == str(HOLD.id)


def test_only_posts_voids_and_expiries_resolve() -> None:
    resolving = {kind.value for kind in TransferKind if GIVEN._replace(kind=kind).resolves}

    assert resolving == {"post", "void", "expire"}
