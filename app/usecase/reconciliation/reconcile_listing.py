"""Taking in every day of an LP that lists what it executed, once it is over."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple

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
    _failures: dict[str, "_Failure"] = field(default_factory=dict)

    async def __call__(self, listing: StatementListing) -> bool:
        """Return whether a day was taken in, so that the next one may be due.

        Raises what `FetchStatement.take_in` raises, `DatabaseBusy` or `DatabaseUnavailable`; the
        same again while a source is left alone, as it still is what is waited for.
        """
        clock, name = self.fetch_statement.clock, listing.source.name
        failure = self._failures.pop(name, None)
        if failure is not None and clock.monotonic() < failure.until:
            self._failures[name] = failure
            raise failure.error.with_traceback(None)
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            state = await uow.reconciliation.state(listing.source)
        day = due_day(state.ends_at, now=clock.now(), lag=self.fetch_statement.lag)
        if day is None:
            return False
        try:
            await self.fetch_statement.take_in(
                listing, day, by=WORKER, correlation_id=str(self.ids.new(CallId))
            )
        except DomainError as error:
            self._failures[name] = _Failure(error, clock.monotonic() + PATIENCE.total_seconds())
            raise
        return True


class _Failure(NamedTuple):
    """Why a source told nothing, and until when it is left alone for it."""

    error: DomainError
    until: float
