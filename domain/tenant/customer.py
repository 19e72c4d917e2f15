"""A customer is a tenant's end user, known to us by the tenant's own id for them."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from domain.ids import CustomerId, TenantId
from domain.tenant import errors
from domain.transition import advance


class CustomerState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"

    def require_active(self, customer_id: CustomerId) -> None:
        """Raise `CustomerSuspended` or `CustomerClosed`."""
        if self is CustomerState.SUSPENDED:
            raise errors.CustomerSuspended("the customer is suspended", customer_id=customer_id)
        if self is CustomerState.CLOSED:
            raise errors.CustomerClosed("the customer is closed", customer_id=customer_id)


class CustomerAction(StrEnum):
    SUSPEND = "suspend"
    ACTIVATE = "activate"
    CLOSE = "close"


TRANSITIONS: Final = {
    (CustomerState.ACTIVE, CustomerAction.SUSPEND): CustomerState.SUSPENDED,
    (CustomerState.SUSPENDED, CustomerAction.ACTIVATE): CustomerState.ACTIVE,
    (CustomerState.ACTIVE, CustomerAction.CLOSE): CustomerState.CLOSED,
    (CustomerState.SUSPENDED, CustomerAction.CLOSE): CustomerState.CLOSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Attributes:
    external_id: the tenant's own id of the customer, unique within the tenant.
    """

    id: CustomerId
    tenant_id: TenantId
    external_id: str
    state: CustomerState = CustomerState.ACTIVE
    version: int = 1

    def advance(self, action: CustomerAction) -> "Customer":
        state = advance(TRANSITIONS, self.state, action)
        return replace(self, state=state, version=self.version + 1)
