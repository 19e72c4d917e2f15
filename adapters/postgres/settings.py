"""Tenants with their settings, read at most once a second."""

from collections import OrderedDict
from functools import partial
from typing import Final

from adapters.postgres.latest import Latest
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
        self._known: OrderedDict[TenantId, Latest[Tenant]] = OrderedDict()

    async def get(self, tenant_id: TenantId) -> Tenant:
        latest = self._known.get(tenant_id)
        if latest is None:
            read = partial(self._read, tenant_id)
            latest = self._known[tenant_id] = Latest(read, self._clock, max_age_s=MAX_AGE_S)
            if len(self._known) > MAX_ENTRIES:
                self._known.popitem(last=False)
        return await latest.get()

    async def _read(self, tenant_id: TenantId) -> Tenant:
        async with self._units_of_work.begin(tenant_id) as uow:
            return await uow.tenants.get()
