"""Raising a break, and resolving it."""

from collections.abc import Sequence

from app.usecase.announce import Announce
from domain.reconciliation.break_ import Break
from domain.reconciliation.resolution import BreakResolution
from ports.unit_of_work import UnitOfWork

BREAK_RAISED = "break.raised"
BREAK_RESOLVED = "break.resolved"


async def raise_break(
    uow: UnitOfWork, announce: Announce, found: Break, *, correlation_id: str
) -> None:
    """Store a break and tell of it."""
    await uow.breaks.add(found)
    await announce(uow, BREAK_RAISED, found, correlation_id=correlation_id, now=found.raised_at)


async def raise_breaks(
    uow: UnitOfWork, announce: Announce, found: Sequence[Break], *, correlation_id: str
) -> None:
    """Store breaks and tell of each."""
    await uow.breaks.add_all(found)
    await announce.breaks(uow, BREAK_RAISED, found, correlation_id=correlation_id)


async def resolve_break(
    uow: UnitOfWork, announce: Announce, resolution: BreakResolution, *, correlation_id: str
) -> Break:
    """Store what explains a break, tell of it, and return the break; or raise `BreakResolved`."""
    await uow.breaks.add_resolution(resolution)
    return await tell_resolved(uow, announce, resolution, correlation_id=correlation_id)


async def tell_resolved(
    uow: UnitOfWork, announce: Announce, resolution: BreakResolution, *, correlation_id: str
) -> Break:
    """Tell that a break is resolved, and return it."""
    resolved = await uow.breaks.get(resolution.break_id)
    await announce(
        uow,
        BREAK_RESOLVED,
        resolved,
        correlation_id=correlation_id,
        now=resolution.resolved_at,
    )
    return resolved
