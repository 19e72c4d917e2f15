"""Opening an account by its name."""

from dataclasses import dataclass

from domain.errors import InvalidArgument
from domain.ids import CustomerId, TenantId
from domain.ledger.account import Account, AccountKey, AccountKind
from ports.unit_of_work import UnitOfWorkFactory

OWNED = frozenset({AccountKind.CUSTOMER, AccountKind.LP, AccountKind.EXTERNAL})


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Opening an account that is open returns it, so the call may be repeated freely."""

    units_of_work: UnitOfWorkFactory

    async def __call__(self, tenant_id: TenantId, key: AccountKey) -> Account:
        """Return the account, or raise `CustomerNotFound` or `InvalidArgument` for its owner."""
        if (key.kind in OWNED) != bool(key.owner):
            raise InvalidArgument(
                f"a {key.kind} account {'needs an' if key.kind in OWNED else 'has no'} owner",
                field="owner",
            )
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.tenants.get()
            if key.kind is AccountKind.CUSTOMER:
                await uow.customers.get(CustomerId.parse(key.owner, field="owner"))
            accounts = await uow.ledger.open_accounts([key])
            return await uow.ledger.get_account(accounts[key])
