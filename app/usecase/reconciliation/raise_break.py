"""Raising a break."""

from app.usecase.announce import Announce
from domain.reconciliation.break_ import Break
from ports.unit_of_work import UnitOfWork

BREAK_RAISED = "break.raised"


async def raise_break(
    uow: UnitOfWork, announce: Announce, found: Break, *, correlation_id: str
) -> None:
    """Store a break and tell of it."""
    await uow.breaks.add(found)
    await announce(uow, BREAK_RAISED, found, correlation_id=correlation_id, now=found.raised_at)
