"""A partner: whoever has been given a key and nothing else."""

from uuid import uuid4

from app.stack.stack import ReadyStack
from reli.tenant.v1.tenant_service_pb2 import CreateTenantApiKeyRequest, CreateTenantRequest
from reli.tenant.v1.tenant_service_pb2_grpc import TenantAdminServiceStub
from reli_client import connect


def a_partners_key(stack: ReadyStack) -> str:
    """Create a tenant and return a key of it that has every scope of a tenant."""
    slug = f"savanna-{uuid4().hex[:8]}"
    wanted = CreateTenantRequest(slug=slug, display_name="Savanna Pay", request_id=slug)
    with connect(stack.rest_url, stack.operator_key) as channel:
        tenants = TenantAdminServiceStub(channel)
        tenant = tenants.CreateTenant(wanted).tenant
        created = tenants.CreateTenantApiKey(
            CreateTenantApiKeyRequest(tenant_id=tenant.id, name="partner")
        )
    return str(created.secret)
