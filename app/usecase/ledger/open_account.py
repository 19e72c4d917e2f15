"""Opening an account by its name."""

from dataclasses import dataclass

from app.usecase.audit_trail import AuditTrail
from app.usecase.call import Call
from domain.errors import InvalidArgument
from domain.ids import CustomerId
from domain.ledger.account import Account, AccountKey, AccountKind
from ports.unit_of_work import UnitOfWorkFactory

OWNED = frozenset({AccountKind.CUSTOMER, AccountKind.LP, AccountKind.EXTERNAL})


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Opening an account that is open returns it, so the call may be repeated freely."""

    units_of_work: UnitOfWorkFactory
    audit_trail: AuditTrail

    async def __call__(self, call: Call, key: AccountKey) -> Account:
        """Return the account, or raise `CustomerNotFound` or `InvalidArgument` for its owner."""
        if (key.kind in OWNED) != bool(key.owner):
            raise InvalidArgument(
                f"a {key.kind} account {'needs an' if key.kind in OWNED else 'has no'} owner",
                field="owner",
            )
        async with self.units_of_work.begin(call.tenant_id) as uow:
            await uow.tenants.get()
            if key.kind is AccountKind.CUSTOMER:
                await uow.customers.get(CustomerId.parse(key.owner, field="owner"))
            known = await uow.ledger.find_account(key)
            if known is not None:
                return known
            accounts = await uow.ledger.open_accounts([key])
            account = await uow.ledger.get_account(accounts[key])
            await uow.audit_log.add(self.audit_trail.record(call, account))
            return account
