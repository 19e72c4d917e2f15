"""A statement as comma-separated values (RFC 4180)."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from adapters.statement_out.file import Balances, StatementFile
from domain.ledger.statement import Statement, StatementLine, Totals

COLUMNS: Final = (
    "row",
    "effective_time",
    "record_time",
    "version",
    "entry_id",
    "transfer_id",
    "counter_account_id",
    "purpose",
    "description",
    "change",
    "balance",
    "asset",
)


class CsvStatement(StatementFile):
    """The opening, a row for each line, and the closing, under a header."""

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._balances = Balances(statement)
        self._text = io.StringIO(newline="")
        self._rows = csv.writer(self._text, lineterminator="\r\n")

    def opening(self) -> str:
        statement = self._statement
        self._rows.writerow(COLUMNS)
        self._balance("opening", statement.period.start, statement.opening)
        return self._taken()

    def lines(self, lines: Sequence[StatementLine]) -> str:
        amount, asset = self._statement.amount, self._statement.account.asset.code
        for line in lines:
            self._rows.writerow(
                (
                    "line",
                    instant_text(line.effective_at),
                    instant_text(line.recorded_at),
                    line.version,
                    line.entry_id,
                    line.transfer_id,
                    line.counter_account_id,
                    line.purpose,
                    line.description,
                    amount(line.change).value,
                    amount(self._balances.after(line)).value,
                    asset,
                )
            )
        return self._taken()

    def closing(self, totals: Totals) -> str:
        statement = self._statement
        self._balance("closing", statement.period.end, statement.closing)
        return self._taken()

    def _balance(self, row: str, at: datetime, units: int) -> None:
        statement = self._statement
        times = instant_text(at), instant_text(statement.recorded_by)
        amount = statement.amount(units)
        self._rows.writerow((row, *times, *[""] * 7, amount.value, amount.asset.code))

    def _taken(self) -> str:
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text


def instant_text(instant: datetime) -> str:
    """Return an instant in UTC with microseconds (RFC 3339)."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
