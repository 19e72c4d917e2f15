"""Statements, as messages and as files."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final

from adapters.statement_out.camt_053 import Camt053Statement
from adapters.statement_out.csv_file import CsvStatement
from adapters.statement_out.file import Balances, Chunks, StatementFile
from adapters.wire.amount import amount_message, time_message
from adapters.wire.enum import enum_values, read_enum
from adapters.wire.ledger import account_kind_message
from domain.ledger.statement import Statement, StatementLine, StatementPart, Totals
from reli.ledger.v1 import statement_pb2


class StatementFormat(StrEnum):
    """How a statement is written down."""

    JSON = "json"
    CSV = "csv"
    CAMT_053 = "camt_053"


_READ_FORMAT = enum_values(StatementFormat, statement_pb2.StatementFormat, "STATEMENT_FORMAT")
_FILES: Final[Mapping[StatementFormat, Callable[[Statement], StatementFile]]] = {
    StatementFormat.CSV: CsvStatement,
    StatementFormat.CAMT_053: Camt053Statement,
}


def read_statement_format(number: int) -> StatementFormat:
    """Return the format asked for; who does not say gets messages."""
    messages = statement_pb2.STATEMENT_FORMAT_JSON
    return read_enum(_READ_FORMAT, number or messages, field="format")


async def statement_messages(
    parts: AsyncIterator[StatementPart], format: StatementFormat
) -> AsyncIterator[statement_pb2.StatementPart]:
    """Yield the messages that tell a statement; raises `StatementNotExpressible`."""
    make_file = _FILES.get(format)
    write: Callable[[StatementPart], Iterator[statement_pb2.StatementPart]] | None = None
    async for part in parts:
        if write is None:
            assert isinstance(part, Statement), "a statement begins with what it is about"
            write = _Messages(part) if make_file is None else _FileChunks(make_file(part))
        for message in write(part):
            yield message


class _Messages:
    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._balances = Balances(statement)

    def __call__(self, part: StatementPart) -> Iterator[statement_pb2.StatementPart]:
        match part:
            case Statement():
                yield statement_pb2.StatementPart(opening=_opening_message(part))
            case Totals():
                yield statement_pb2.StatementPart(closing=_closing_message(self._statement, part))
            case lines:
                yield statement_pb2.StatementPart(
                    lines=statement_pb2.StatementLines(lines=map(self._line, lines))
                )

    def _line(self, line: StatementLine) -> statement_pb2.StatementLine:
        amount = self._statement.amount
        return statement_pb2.StatementLine(
            effective_time=time_message(line.effective_at),
            record_time=time_message(line.recorded_at),
            version=line.version,
            entry_id=line.entry_id,
            transfer_id=line.transfer_id,
            counter_account_id=line.counter_account_id,
            purpose=line.purpose,
            description=line.description,
            change=amount_message(amount(line.change)),
            balance=amount_message(amount(self._balances.after(line))),
        )


class _FileChunks:
    def __init__(self, file: StatementFile) -> None:
        self._file = file
        self._chunks = Chunks()

    def __call__(self, part: StatementPart) -> Iterator[statement_pb2.StatementPart]:
        for chunk in self._chunks_of(part):
            yield statement_pb2.StatementPart(chunk=chunk)

    def _chunks_of(self, part: StatementPart) -> Iterator[bytes]:
        match part:
            case Statement():
                yield from self._chunks.add(self._file.opening())
            case Totals():
                yield from self._chunks.add(self._file.closing(part))
                yield from self._chunks.rest()
            case lines:
                yield from self._chunks.add(self._file.lines(lines))


def _opening_message(statement: Statement) -> statement_pb2.StatementOpening:
    return statement_pb2.StatementOpening(
        account_id=str(statement.account_id),
        kind=account_kind_message(statement.account.kind),
        owner=statement.account.owner,
        start_time=time_message(statement.period.start),
        end_time=time_message(statement.period.end),
        record_time=time_message(statement.recorded_by),
        balance=amount_message(statement.amount(statement.opening)),
    )


def _closing_message(statement: Statement, totals: Totals) -> statement_pb2.StatementClosing:
    return statement_pb2.StatementClosing(
        balance=amount_message(statement.amount(statement.closing)),
        credits=amount_message(statement.amount(totals.credits)),
        debits=amount_message(statement.amount(totals.debits)),
        credit_lines=totals.credit_lines,
        debit_lines=totals.debit_lines,
    )
