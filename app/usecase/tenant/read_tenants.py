"""Reading tenants, customers and keys."""

from dataclasses import dataclass

from domain.ids import CustomerId, TenantId
from domain.tenant.api_key import ApiKey
from domain.tenant.customer import Customer
from domain.tenant.request_signing import RequestSigningKey
from domain.tenant.tenant import Tenant
from ports.page import Page, PageRequest
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadTenants:
    """One tenant by its scope, or all of them for the operator."""

    units_of_work: UnitOfWorkFactory
    directory: TenantDirectory

    async def get(self, tenant_id: TenantId) -> Tenant:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.tenants.get()

    async def list(self, page: PageRequest) -> Page[Tenant]:
        return await self.directory.list(page)


@dataclass(frozen=True, slots=True)
class ReadCustomers:
    """Customers of one tenant."""

    units_of_work: UnitOfWorkFactory

    async def get(self, tenant_id: TenantId, customer_id: CustomerId) -> Customer:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.customers.get(customer_id)

    async def list(self, tenant_id: TenantId, page: PageRequest) -> Page[Customer]:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.customers.list(page)


@dataclass(frozen=True, slots=True)
class ReadApiKeys:
    """Keys of one tenant; never their secrets."""

    units_of_work: UnitOfWorkFactory

    async def list(self, tenant_id: TenantId, page: PageRequest) -> Page[ApiKey]:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.api_keys.list(page)


@dataclass(frozen=True, slots=True)
class ReadRequestSigningKeys:
    """Public keys that one tenant signs with."""

    units_of_work: UnitOfWorkFactory

    async def list(self, tenant_id: TenantId, page: PageRequest) -> Page[RequestSigningKey]:
        async with self.units_of_work.begin(tenant_id) as uow:
            return await uow.request_signing_keys.list(page)
