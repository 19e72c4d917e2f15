"""Giving a tenant's treasury a credit line."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.amount import Amount
from domain.errors import InvalidArgument
from domain.ids import AccountId
from domain.ledger.account import Account, AccountKind
from domain.ledger.errors import AssetMismatch, OverdraftTooSmall
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class SetOverdraftLimit:
    """Only a treasury can have one; customers never go below zero."""

    once: Once

    async def __call__(self, call: Call, account_id: AccountId, limit: Amount) -> Account:
        """Return the account, or raise `AccountNotFound`, `AssetMismatch`, `OverdraftTooSmall`."""

        async def effect(uow: UnitOfWork) -> Change[Account]:
            account = await uow.ledger.get_account(account_id, lock=True)
            if account.key.kind is not AccountKind.TREASURY:
                raise InvalidArgument("the account is no treasury", field="account_id")
            if account.asset != limit.asset:
                raise AssetMismatch(
                    "the limit must be in the account's asset",
                    account_asset=account.asset,
                    limit_asset=limit.asset,
                )
            changed = account._replace(overdraft_limit=limit.units)
            if not changed.is_within_limit:
                raise OverdraftTooSmall(
                    "the account is already further below zero",
                    account_id=account_id,
                    available=account.amount(account.available),
                )
            await uow.ledger.set_overdraft_limit(changed)
            return Change(changed, after=changed, before=account)

        async def replay(uow: UnitOfWork, id: UUID) -> Account:
            return await uow.ledger.get_account(AccountId(id))

        return await self.once(call, account_id, effect, replay)
