"""Taking over what an LP executed after all: it is the house's, since no trade accounts for it."""

from app.usecase.house.draft import Change, Draft
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import EntrySource
from domain.reconciliation.break_ import Break

PURPOSE = "late_fill"


def inventory_taken(found: Break) -> Draft:
    """Return what a late fill moves between the LP's account and the inventory.

    What was bought for a customer who did not need it any more raises the inventory by the base,
    and lowers it by the quote that the LP is owed; a sale mirrors that.
    """
    fill = found.late_fill
    assert fill is not None
    changes = [
        Change(
            account=AccountKey(AccountKind.INVENTORY, gained.asset),
            against=AccountKey(AccountKind.LP, gained.asset, fill.lp),
            amount=gained,
            purpose=PURPOSE,
        )
        for gained in fill.gained
    ]
    return Draft(
        changes, EntrySource.BREAK, str(found.id), (str(fill.attempt_id), fill.venue_order_id)
    )
