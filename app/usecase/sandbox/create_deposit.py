"""Crediting play money."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from app.usecase.trade.bookkeeping import party_key
from domain.amount import Amount
from domain.ids import DepositId, EntryId, TransferId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer
from domain.party import Party
from ports.ids import IdSource
from ports.sandbox import Deposit
from ports.unit_of_work import UnitOfWork

RAIL = "sandbox"


@dataclass(frozen=True, slots=True)
class CreateDeposit:
    """Moves from the sandbox rail's external account to the party, as a real deposit will."""

    once: Once
    ids: IdSource
    announce: Announce

    async def __call__(self, call: Call, *, party: Party, amount: Amount) -> Deposit:
        """Credit the party, or raise `SandboxOnly`, `CustomerNotFound` or `CustomerSuspended`."""
        deposit_id, entry_id = self.ids.new(DepositId), self.ids.new(EntryId)

        async def effect(uow: UnitOfWork) -> Change[Deposit]:
            acting = await uow.tenants.acting(party)
            acting.require_active()
            now = acting.now
            external = AccountKey(AccountKind.EXTERNAL, amount.asset, RAIL)
            own = party_key(party, amount.asset)
            accounts = await uow.ledger.open_accounts([external, own])
            transfer = Transfer(
                id=self.ids.new(TransferId),
                debit_account_id=accounts[external],
                credit_account_id=accounts[own],
                amount=amount,
                purpose="deposit",
            )
            await uow.ledger.commit(
                Entry(
                    id=entry_id,
                    transfers=(transfer,),
                    source=EntrySource.DEPOSIT,
                    reference=str(deposit_id),
                ),
                is_new=True,
            )
            deposit = Deposit(
                id=deposit_id, party=party, amount=amount, entry_id=entry_id, created_at=now
            )
            await uow.deposits.add(deposit)
            await self.announce(
                uow, "deposit.created", deposit, correlation_id=call.correlation_id, now=now
            )
            return Change(deposit, after=deposit)

        async def replay(uow: UnitOfWork, id: UUID) -> Deposit:
            return await uow.deposits.get(DepositId(id))

        return await self.once(call, deposit_id, effect, replay)
