"""An entry of the house's book before its accounts are known by their ids."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.amount import Amount
from domain.ids import EntryId, TransferId
from domain.ledger.account import AccountKey
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer
from ports.ids import IdSource
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`account` gains the amount, of either sign, at the cost of `against`."""

    account: AccountKey
    against: AccountKey
    amount: Amount
    purpose: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What one event does to the house's book.

    Attributes:
        orders: by what the LP's statements know the same: the client order id, and the LP's own
            id of the execution.
    """

    changes: Sequence[Change]
    source: EntrySource
    reference: str
    orders: Sequence[str]


async def commit_drafts(uow: UnitOfWork, drafts: Iterable[Draft], ids: IdSource) -> None:
    """Commit an entry for each draft that changes anything, all at once."""
    drafts = [draft for draft in drafts if draft.changes]
    if not drafts:
        return
    keys = [key for draft in drafts for one in draft.changes for key in (one.account, one.against)]
    accounts = await uow.ledger.open_accounts([*dict.fromkeys(keys)])

    def transfer(change: Change) -> Transfer:
        debit, credit = accounts[change.against], accounts[change.account]
        rises = change.amount.is_positive
        return Transfer(
            id=ids.new(TransferId),
            debit_account_id=debit if rises else credit,
            credit_account_id=credit if rises else debit,
            amount=change.amount if rises else -change.amount,
            purpose=change.purpose,
        )

    await uow.ledger.commit_new(
        [
            Entry(
                id=ids.new(EntryId),
                transfers=tuple(transfer(change) for change in draft.changes),
                source=draft.source,
                reference=draft.reference,
                description=" ".join(draft.orders),
            )
            for draft in drafts
        ]
    )
