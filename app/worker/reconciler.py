"""Reconciles continuously what can be asked for its statements."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from app.usecase.reconciliation.reconcile_feed import ReconcileFeed
from app.usecase.reconciliation.reconcile_listing import ReconcileListing
from domain.errors import DomainError
from ports.lease import Lease
from ports.reconciliation import StatementFeed, StatementListing


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Asks one source after the other; one that cannot be asked holds up no other.

    A lease spares the sources many who ask. Two who ask at once do no harm: a line is known by its
    reference.
    """

    feeds: Sequence[StatementFeed]
    reconcile_feed: ReconcileFeed
    listings: Sequence[StatementListing]
    reconcile_listing: ReconcileListing

    async def __call__(self, _lease: Lease) -> bool:
        asking: list[Callable[[], Awaitable[bool]]] = [
            *(partial(self.reconcile_feed, feed) for feed in self.feeds),
            *(partial(self.reconcile_listing, listing) for listing in self.listings),
        ]
        has_more = False
        failure: DomainError | None = None
        for ask in asking:
            try:
                has_more |= await ask()
            except DomainError as error:
                failure = error
        if failure is not None:
            raise failure
        return has_more
