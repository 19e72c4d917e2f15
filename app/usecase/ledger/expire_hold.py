"""Releasing a hold whose time is over."""

from dataclasses import dataclass

from app.usecase.announce import Announce
from domain.ids import CallId, EntryId, TenantId, TransferId
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.errors import LedgerRefusal
from domain.ledger.transfer import Transfer, TransferKind
from ports.ids import IdSource
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ExpireHold:
    """Whoever resolves a hold first wins; the ledger decides, under the accounts' locks."""

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    announce: Announce

    async def __call__(self, tenant_id: TenantId, transfer_id: TransferId) -> bool:
        """Return whether the hold was released here, not posted or voided by somebody else."""
        async with self.units_of_work.begin(tenant_id) as uow:
            pending = (await uow.ledger.get_transfers([transfer_id]))[transfer_id]
            expiry = Transfer(
                id=self.ids.new(TransferId),
                debit_account_id=pending.debit_account_id,
                credit_account_id=pending.credit_account_id,
                amount=pending.amount,
                kind=TransferKind.EXPIRE,
                pending_id=pending.id,
                purpose=pending.purpose,
            )
            entry = Entry(
                id=self.ids.new(EntryId),
                transfers=(expiry,),
                source=EntrySource.EXPIRY,
                reference=str(transfer_id),
            )
            try:
                decision = await uow.ledger.commit(entry)
            except LedgerRefusal:
                return False
            await self.announce.entries(uow, [decision], correlation_id=str(self.ids.new(CallId)))
            return True
