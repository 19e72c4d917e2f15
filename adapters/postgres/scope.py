"""What every repository of one unit of work shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.postgres.engine import Lent
from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.ids import TenantId
from ports.market import Catalogue
from ports.page import Page, PageRequest

Item = TypeVar("Item")


def tenant_lock(tenant_id: TenantId) -> int:
    """Return the key of the tenant's advisory lock: every unit of work shares it."""
    return int.from_bytes(tenant_id.bytes[8:], signed=True)


def journal_lock(tenant_id: TenantId) -> int:
    """Return the key of the lock that orders the journal of a tenant and its readers.

    No other tenant's lock: all their keys begin with the variant of a UUID, and this does not.
    """
    return tenant_lock(tenant_id) ^ 1 << 62


@dataclass(frozen=True, slots=True)
class Scope:
    """One open transaction of one tenant."""

    tenant_id: TenantId
    lent: Lent
    catalogue: Catalogue

    @property
    def driver(self) -> Any:
        """For hot statements."""
        return self.lent.driver

    @property
    def connection(self) -> AsyncConnection:
        """For statements written with SQLAlchemy, in the same transaction."""
        return self.lent.connection

    @property
    def tenant(self) -> UUID:
        return self.tenant_id.uuid

    async def now(self) -> datetime:
        now: datetime = await self.driver.fetchval("SELECT core.now()")
        return now

    def asset(self, code: str) -> Asset:
        return self.catalogue.assets[code]

    def instrument(self, code: str) -> Instrument:
        return self.catalogue.instruments[code]

    def amount(self, code: str, units: int) -> Amount:
        return Amount(self.asset(code), units)


def page_of(items: Sequence[Item], keys: Sequence[UUID | int], page: PageRequest) -> Page[Item]:
    """Return the page, given one item more than it holds where there is a next one."""
    if len(items) <= page.size:
        return Page(tuple(items), None)
    return Page(tuple(items[: page.size]), keys[page.size - 1])
