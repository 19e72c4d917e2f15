"""Reconciles continuously what can be asked for its statements."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.usecase.reconciliation.reconcile_feed import ReconcileFeed
from domain.errors import DomainError
from ports.lease import Lease
from ports.reconciliation import StatementFeed


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Asks one source after the other; one that cannot be asked holds up no other.

    A lease spares the sources many who ask. Two who ask at once do no harm: a line is known by its
    reference.
    """

    feeds: Sequence[StatementFeed]
    reconcile_feed: ReconcileFeed

    async def __call__(self, _lease: Lease) -> bool:
        has_more = False
        failure: DomainError | None = None
        for feed in self.feeds:
            try:
                has_more |= await self.reconcile_feed(feed)
            except DomainError as error:
                failure = error
        if failure is not None:
            raise failure
        return has_more
