"""Tenants with their settings, read at most once a second."""

from collections import OrderedDict
from typing import Final

from domain.ids import TenantId
from domain.tenant.tenant import Tenant
from ports.clock import Clock
from ports.tenant import SettingsStore
from ports.unit_of_work import UnitOfWorkFactory

MAX_AGE_S: Final = 1.0
MAX_ENTRIES: Final = 10_000


class PostgresSettings(SettingsStore):
    """A change of settings, and a halt, reach every process within a second, without anybody
    being told.
    """

    def __init__(self, units_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self._units_of_work = units_of_work
        self._clock = clock
        self._known: OrderedDict[TenantId, tuple[float, Tenant]] = OrderedDict()

    async def get(self, tenant_id: TenantId) -> Tenant:
        asked_at = self._clock.monotonic()
        known = self._known.get(tenant_id)
        if known is not None and asked_at - known[0] < MAX_AGE_S:
            return known[1]
        async with self._units_of_work.begin(tenant_id) as uow:
            tenant = await uow.tenants.get()
        self._known[tenant_id] = (asked_at, tenant)
        self._known.move_to_end(tenant_id)
        if len(self._known) > MAX_ENTRIES:
            self._known.popitem(last=False)
        return tenant
