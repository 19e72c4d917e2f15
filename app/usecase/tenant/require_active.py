"""Nobody trades for a party that is suspended or closed."""

from domain.party import Party
from domain.tenant.tenant import Tenant
from ports.unit_of_work import UnitOfWork


async def require_active(uow: UnitOfWork, party: Party) -> Tenant:
    """Return the tenant, or raise why the tenant or the customer may not act."""
    tenant, customer = await uow.tenants.acting(party)
    tenant.require_active()
    if customer is not None:
        customer.require_active()
    return tenant
