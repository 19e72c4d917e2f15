"""Taking over what an LP executed after all: it is the house's, since no trade accounts for it."""

from dataclasses import dataclass

from domain.amount import Amount
from domain.ids import AccountId, EntryId, TransferId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer
from domain.reconciliation.break_ import Break
from ports.ids import IdSource
from ports.unit_of_work import UnitOfWork

PURPOSE = "late_fill"


@dataclass(frozen=True, slots=True)
class TakeInventory:
    """Moves a late fill between the LP's account and the inventory, in the house's book.

    What was bought for a customer who did not need it any more raises the inventory by the base,
    and lowers it by the quote that the LP is owed; a sale mirrors that.
    """

    ids: IdSource

    async def __call__(self, uow: UnitOfWork, found: Break) -> None:
        """Post one entry of two transfers; the unit of work is one of the house."""
        fill = found.late_fill
        assert fill is not None
        pairs = [
            (
                AccountKey(AccountKind.INVENTORY, gained.asset),
                AccountKey(AccountKind.LP, gained.asset, fill.lp),
                gained,
            )
            for gained in fill.gained
        ]
        accounts = await uow.ledger.open_accounts([key for *keys, _ in pairs for key in keys])
        await uow.ledger.commit(
            Entry(
                id=self.ids.new(EntryId),
                transfers=tuple(
                    self._transfer(accounts[inventory], accounts[lp], gained)
                    for inventory, lp, gained in pairs
                ),
                source=EntrySource.BREAK,
                reference=str(found.id),
                effective_at=await uow.now(),
            ),
            is_new=True,
        )

    def _transfer(self, inventory: AccountId, lp: AccountId, gained: Amount) -> Transfer:
        rises = gained.is_positive
        return Transfer(
            id=self.ids.new(TransferId),
            debit_account_id=lp if rises else inventory,
            credit_account_id=inventory if rises else lp,
            amount=gained if rises else -gained,
            purpose=PURPOSE,
        )
