"""Suspending, activating and closing a customer."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import CustomerId
from domain.tenant.customer import Customer, CustomerAction
from domain.tenant.errors import BalanceNotZero
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class ChangeCustomerState:
    """Takes one step in a customer's life; live trades finish whatever the step."""

    once: Once
    announce: Announce

    async def __call__(
        self, call: Call, customer_id: CustomerId, action: CustomerAction
    ) -> Customer:
        async def effect(uow: UnitOfWork) -> Change[Customer]:
            before = await uow.customers.get(customer_id, lock=True)
            customer = before.advance(action)
            if action is CustomerAction.CLOSE and await uow.ledger.has_balances(customer_id):
                raise BalanceNotZero("every balance and hold must be zero", customer_id=customer_id)
            await uow.customers.save(customer)
            await self.announce(
                uow, f"customer.{customer.state}", customer, correlation_id=call.correlation_id
            )
            return Change(customer, after=customer, before=before)

        async def replay(uow: UnitOfWork, id: UUID) -> Customer:
            return await uow.customers.get(CustomerId(id))

        return await self.once(call, customer_id, effect, replay)
