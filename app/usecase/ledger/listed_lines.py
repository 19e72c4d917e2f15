"""Reading lines, which are listed after they are written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from domain.ids import TenantId
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


@asynccontextmanager
async def begin_listed(
    units_of_work: UnitOfWorkFactory, tenant_id: TenantId
) -> AsyncIterator[UnitOfWork]:
    """Open a unit of work in which no line waits to be listed that was committed before.

    Each lot is committed by itself: more may wait than can be listed in the time that one unit of
    work has, and whoever comes next goes on where this one ended.
    """
    until: datetime | None = None
    while True:
        async with units_of_work.begin(tenant_id) as uow:
            until = await uow.ledger.list_lines(until)
            if until is None:
                yield uow
                return
