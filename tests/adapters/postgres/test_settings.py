"""How often a server asks the database for the settings of its tenants."""

import asyncio
from typing import Any

from adapters.postgres.settings import PostgresSettings
from adapters.system.clock import SystemClock
from domain.ids import TenantId
from domain.tenant.tenant import Tenant, TenantSettings
from tests.support.builders import a_uuid


class Counting(PostgresSettings):
    """Is told, after a while, of a tenant."""

    asked = 0

    async def _read(self, tenant_id: TenantId) -> Tenant:
        self.asked += 1
        await asyncio.sleep(0.01)
        return Tenant(
            id=tenant_id, slug="t", display_name="T", branding={}, settings=TenantSettings()
        )


async def test_those_who_ask_for_a_tenant_at_once_wait_for_one_answer() -> None:
    nowhere: Any = None
    settings = Counting(nowhere, SystemClock())
    one, other = TenantId(a_uuid()), TenantId(a_uuid())

    found = await asyncio.gather(*(settings.get(one) for _ in range(20)))

    assert {tenant.id for tenant in found} == {one}
    assert settings.asked == 1
    assert (await settings.get(other)).id == other
    assert settings.asked == 2
