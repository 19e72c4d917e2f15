"""Reading a statement, page by page."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.usecase.ledger.listed_lines import begin_listed
from domain.ids import AccountId, TenantId
from domain.ledger.statement import (
    Cursor,
    Period,
    StatementPart,
    Totals,
    next_lines,
)
from ports.unit_of_work import UnitOfWorkFactory

LINES: Final = 1_000
"""Read at once."""


class StatementUnbalanced(Exception):
    """The lines do not lead from the opening to the closing balance; `reli audit` says more."""


@dataclass(frozen=True, slots=True)
class ReadStatement:
    """Each page is a transaction of its own: who reads slowly keeps nothing open."""

    units_of_work: UnitOfWorkFactory

    async def __call__(
        self,
        tenant_id: TenantId,
        account_id: AccountId,
        period: Period,
        *,
        recorded_by: datetime | None = None,
    ) -> AsyncIterator[StatementPart]:
        """Yield the statement, its lines in order, up to 2,000 at once, and their totals.

        Raises `AccountNotFound` or `LinesArchived` first of all, `LinesArchived` instead of lines,
        or `StatementUnbalanced` instead of the totals.
        """
        cursor: Cursor | None
        async with begin_listed(self.units_of_work, tenant_id) as uow:
            statement, cursor = await uow.ledger.open_statement(
                account_id, period, recorded_by=recorded_by
            )
        yield statement
        totals = Totals()
        while cursor is not None:
            async with self.units_of_work.begin(tenant_id) as uow:
                found = await uow.ledger.statement_lines(statement, cursor, limit=LINES)
            lines, cursor = next_lines(found, cursor)
            if lines:
                totals = totals.plus(lines)
                yield lines
        if statement.opening + totals.credits - totals.debits != statement.closing:
            raise StatementUnbalanced(f"{account_id}, {period}, by {statement.recorded_by}")
        yield totals
