"""Taking in every day of an LP that lists what it executed, once it is over."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from app.usecase.reconciliation.fetch_statement import FetchStatement
from app.usecase.reconciliation.reconcile_feed import WORKER
from domain.errors import DomainError
from domain.ids import CallId
from domain.reconciliation.period import due_day
from ports.ids import IdSource
from ports.reconciliation import StatementListing
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWorkFactory

PATIENCE: Final = timedelta(minutes=1)
"""How long a source that told nothing is left alone: venues count how often they are asked."""


@dataclass(slots=True)
class ReconcileListing:
    """Goes on, day by day, where the statements of a source ended.

    A day whose listing cannot be had whole is asked for again, and no later one before it.
    """

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    directory: TenantDirectory
    fetch_statement: FetchStatement
    _quiet_until: dict[str, float] = field(default_factory=dict)

    async def __call__(self, listing: StatementListing) -> bool:
        """Return whether a day was taken in, so that the next one may be due.

        Raises what `FetchStatement` raises, `DatabaseBusy` or `DatabaseUnavailable`.
        """
        clock, name = self.fetch_statement.clock, listing.source.name
        if clock.monotonic() < self._quiet_until.get(name, 0.0):
            return False
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            state = await uow.reconciliation.state(listing.source)
        day = due_day(state.ends_at, now=clock.now(), lag=self.fetch_statement.lag)
        if day is None:
            return False
        try:
            await self.fetch_statement.take_in(
                listing, day, by=WORKER, correlation_id=str(self.ids.new(CallId))
            )
        except DomainError:
            self._quiet_until[name] = clock.monotonic() + PATIENCE.total_seconds()
            raise
        return True
