"""The venue's book: every order it decided, in order, appended and never changed."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from secrets import token_hex
from typing import Final

from adapters.lp.sandbox.rates import ASSETS
from domain.amount import Amount
from domain.side import Side

# Every statement commits by itself. The write-ahead log is not synced at each commit: an order
# outlives a killed process, and a power cut may take the latest ones but leaves the file sound.
# The exclusive lock keeps a second process from trading on the same book.
_OPEN: Final = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -1024;
-- Numbers start anew in every file; with the book's own id an order's id never comes twice.
CREATE TABLE IF NOT EXISTS book (id TEXT NOT NULL, only_one INTEGER PRIMARY KEY DEFAULT 1);
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    client_order_id TEXT NOT NULL,
    quote_id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('filled', 'rejected')),
    code TEXT NOT NULL CHECK ((status = 'rejected') = (code <> '')),
    side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    base_asset TEXT NOT NULL,
    base_units TEXT NOT NULL,
    quote_asset TEXT NOT NULL,
    quote_units TEXT NOT NULL,
    decide_time TEXT NOT NULL,
    visible_time TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_by_client_order_id ON orders (client_order_id);
CREATE TRIGGER IF NOT EXISTS orders_are_not_updated BEFORE UPDATE ON orders
    BEGIN SELECT RAISE(ABORT, 'the book is append-only'); END;
CREATE TRIGGER IF NOT EXISTS orders_are_not_deleted BEFORE DELETE ON orders
    BEGIN SELECT RAISE(ABORT, 'the book is append-only'); END;
"""

_APPEND: Final = """
INSERT INTO orders (client_order_id, quote_id, status, code, side, base_asset, base_units,
                    quote_asset, quote_units, decide_time, visible_time)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_COLUMNS: Final = """number, client_order_id, quote_id, status, code, side, base_asset, base_units,
                     quote_asset, quote_units, decide_time, visible_time"""

# An id may have several orders where the venue does not de-duplicate; a fill outranks a refusal.
_FIND: Final = f"""
SELECT {_COLUMNS} FROM orders WHERE client_order_id = ?
ORDER BY status = 'filled' DESC, number LIMIT 1
"""

_ALL: Final = f"SELECT {_COLUMNS} FROM orders ORDER BY number"

_TOLD: Final = f"""
SELECT {_COLUMNS} FROM orders WHERE status = 'filled' AND number > ? AND number <= ?
ORDER BY number LIMIT ?
"""

_LATEST: Final = "SELECT coalesce(max(number), 0) FROM orders"

_Row = tuple[int, str, str, str, str, str, str, str, str, str, str, str]


class OrderStatus(StrEnum):
    FILLED = "filled"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One decided order.

    Attributes:
        code: why it was rejected, empty when it was filled.
        base, quote: the amounts executed, or those of the quote when it was rejected.
        visible_at: from when on the status knows it.
    """

    client_order_id: str
    quote_id: str
    status: OrderStatus
    code: str = ""
    side: Side
    base: Amount
    quote: Amount
    decided_at: datetime
    visible_at: datetime

    @property
    def gained(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """What it came to for whom the venue trades with, by asset code in minor units."""
        sign = 1 if self.side is Side.BUY else -1
        return (
            (self.base.asset.code, sign * self.base.units),
            (self.quote.asset.code, -sign * self.quote.units),
        )


@dataclass(frozen=True, slots=True)
class BookedOrder:
    """An order under the venue's own id; each execution has another one."""

    id: str
    order: Order


@dataclass(frozen=True, slots=True)
class BookStatement:
    """What was executed in a stretch of the book.

    Attributes:
        position: where the stretch ends, to go on from there.
        opening: what all executions before it came to for us, in minor units by asset code.
        has_more: whether the book goes on after it.
    """

    position: str
    executions: tuple[BookedOrder, ...]
    opening: Mapping[str, int]
    has_more: bool


class Book:
    """The file of one venue under a data directory."""

    def __init__(self, data_dir: Path, name: str) -> None:
        """Open the book, or raise `sqlite3.OperationalError` when another process has it."""
        data_dir.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(data_dir / f"{name}.sqlite3", timeout=0, isolation_level=None)
        try:
            self._file.executescript(_OPEN)
            self._file.execute("INSERT OR IGNORE INTO book (id) VALUES (?)", (token_hex(4),))
            (book_id,) = self._file.execute("SELECT id FROM book").fetchone()
            self._prefix = f"{name}-{book_id}"
            self._known_totals: tuple[int, Mapping[str, int]] = (0, {})
        except sqlite3.Error:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def append(self, order: Order) -> BookedOrder:
        row = (
            order.client_order_id,
            order.quote_id,
            order.status.value,
            order.code,
            order.side.value,
            order.base.asset.code,
            str(order.base.units),
            order.quote.asset.code,
            str(order.quote.units),
            order.decided_at.astimezone(UTC).isoformat(),
            order.visible_at.astimezone(UTC).isoformat(),
        )
        number = self._file.execute(_APPEND, row).lastrowid
        assert number is not None
        return BookedOrder(f"{self._prefix}-{number}", order)

    def find(self, client_order_id: str) -> BookedOrder | None:
        """Return the order of that id; of several, the first fill or else the first refusal."""
        row = self._file.execute(_FIND, (client_order_id,)).fetchone()
        return None if row is None else self._booked(row)

    def statement(self, after: str, limit: int) -> BookStatement:
        """Return up to `limit` executions after a position, or from the start if it is not ours."""
        (latest,) = self._file.execute(_LATEST).fetchone()
        prefix, _, digits = after.rpartition("-")
        is_ours = prefix == self._prefix and digits.isascii() and digits.isdigit()
        start = int(digits) if is_ours and int(digits) <= latest else 0
        rows = self._file.execute(_TOLD, (start, latest, limit + 1)).fetchall()
        has_more = len(rows) > limit
        told = tuple(self._booked(row) for row in rows[:limit])
        end = rows[limit - 1][0] if has_more else latest
        return BookStatement(f"{self._prefix}-{end}", told, self._totals(start), has_more)

    def _totals(self, number: int) -> Mapping[str, int]:
        """Return what the executions up to a number came to; the latest answer is remembered."""
        known, before = self._known_totals
        if known > number:
            known, before = 0, {}
        totals = dict(before)
        for row in self._file.execute(_TOLD, (known, number, -1)):
            for code, units in self._booked(row).order.gained:
                totals[code] = totals.get(code, 0) + units
        self._known_totals = number, totals
        return totals

    def __iter__(self) -> Iterator[BookedOrder]:
        return map(self._booked, self._file.execute(_ALL))

    def _booked(self, row: _Row) -> BookedOrder:
        (
            number,
            client_order_id,
            quote_id,
            status,
            code,
            side,
            base_asset,
            base_units,
            quote_asset,
            quote_units,
            decide_time,
            visible_time,
        ) = row
        return BookedOrder(
            f"{self._prefix}-{number}",
            Order(
                client_order_id=client_order_id,
                quote_id=quote_id,
                status=OrderStatus(status),
                code=code,
                side=Side(side),
                base=Amount(ASSETS[base_asset], int(base_units)),
                quote=Amount(ASSETS[quote_asset], int(quote_units)),
                decided_at=datetime.fromisoformat(decide_time),
                visible_at=datetime.fromisoformat(visible_time),
            ),
        )
