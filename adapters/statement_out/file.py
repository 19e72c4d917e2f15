"""A statement as a file, made piece by piece."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from domain.ledger.statement import Statement, StatementLine, Totals

CHUNK_BYTES: Final = 192 << 10
"""A multiple of three: chunks that were written in base64 one by one are base64 together."""


class StatementFile(Protocol):
    """One statement in one format."""

    def opening(self) -> str: ...

    def lines(self, lines: Sequence[StatementLine]) -> str:
        """Return the lines that follow those before; raises `StatementNotExpressible`."""
        ...

    def closing(self, totals: Totals) -> str: ...


class Balances:
    """The balance after each line."""

    def __init__(self, statement: Statement) -> None:
        self._units = statement.opening

    def after(self, line: StatementLine) -> int:
        self._units += line.change
        return self._units


class Chunks:
    """Cuts text into chunks of one size."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def add(self, text: str) -> Iterator[bytes]:
        """Yield what is complete by now."""
        self._waiting += text.encode()
        while len(self._waiting) >= CHUNK_BYTES:
            yield bytes(self._waiting[:CHUNK_BYTES])
            del self._waiting[:CHUNK_BYTES]

    def rest(self) -> Iterator[bytes]:
        if self._waiting:
            yield bytes(self._waiting)
            self._waiting.clear()
