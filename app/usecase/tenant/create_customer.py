"""Creating a customer."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import CustomerId
from domain.tenant.customer import Customer
from ports.ids import IdSource
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class CreateCustomer:
    """Makes the tenant's end user known; raises `CustomerExists` for a taken external id."""

    once: Once
    ids: IdSource
    announce: Announce

    async def __call__(self, call: Call, *, external_id: str) -> Customer:
        customer = Customer(
            id=self.ids.new(CustomerId), tenant_id=call.tenant_id, external_id=external_id
        )

        async def effect(uow: UnitOfWork) -> Change[Customer]:
            await uow.customers.add(customer)
            await self.announce(
                uow, "customer.created", customer, correlation_id=call.correlation_id
            )
            return Change(customer, after=customer)

        async def replay(uow: UnitOfWork, id: UUID) -> Customer:
            return await uow.customers.get(CustomerId(id))

        return await self.once(call, customer.id, effect, replay)
