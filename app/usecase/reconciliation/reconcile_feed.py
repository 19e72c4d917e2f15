"""Reconciling a source that can be asked, as far as it has told."""

from dataclasses import dataclass

from app.usecase.reconciliation.import_statement import ImportStatement, StatementFile
from domain.ids import CallId
from domain.reconciliation.statement import StatementFormat
from ports.ids import IdSource
from ports.reconciliation import StatementFeed
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWorkFactory

WORKER = "worker"
"""Who takes in what nobody brought."""


@dataclass(frozen=True, slots=True)
class ReconcileFeed:
    """Compares an LP with the house's book, which mirrors the trades of all tenants.

    It is asked outside of any transaction. What it tells is taken in only if one of both sides has
    news, or if a line has waited long enough to be a break.
    """

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    directory: TenantDirectory
    import_statement: ImportStatement

    async def __call__(self, feed: StatementFeed) -> bool:
        """Return whether the source has more to tell at once.

        Raises `LpUnavailable`, what `ImportStatement` raises of a statement that cannot be,
        `DatabaseBusy` or `DatabaseUnavailable`.
        """
        house_id = self.directory.house_id
        grace = self.import_statement.rules[feed.source.kind].grace
        async with self.units_of_work.begin(house_id) as uow:
            state = await uow.reconciliation.state(feed.source)
            has_news = await uow.reconciliation.has_news(feed.source, grace=grace)
        fetched = await feed.fetch(state.position)
        if fetched.has_lines or has_news:
            await self.import_statement(
                house_id,
                StatementFile(
                    source=feed.source, format=StatementFormat.JSON, content=fetched.content
                ),
                by=WORKER,
                correlation_id=str(self.ids.new(CallId)),
            )
        return fetched.has_more
