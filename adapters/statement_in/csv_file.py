"""Lines and balances of any source as CSV (RFC 4180): docs/reconciliation.md shows the form."""

import csv
from collections.abc import Mapping
from datetime import datetime
from io import StringIO
from typing import Final

from adapters.statement_in.fields import SHOWN, read_amount, read_asset, read_time
from domain.amount import Amount
from domain.asset import Asset
from domain.reconciliation.errors import StatementMalformed
from domain.reconciliation.statement import (
    MAX_STATEMENT_LINES,
    STATED,
    LineKind,
    ParsedStatement,
    StatementBalance,
    StatementLine,
    too_many_lines,
)

HEADER: Final = ("kind", "reference", "order_reference", "value_time", "asset", "amount")
OPENING: Final = "opening"
CLOSING: Final = "closing"

_KINDS: Final = {kind.value: kind for kind in STATED}


def parse_csv(text: str, assets: Mapping[str, Asset]) -> ParsedStatement:
    """Read the file, or raise what `StatementReader.read` raises."""
    rows = csv.reader(StringIO(text, newline=""), strict=True)
    file = _File(assets)
    try:
        for row in rows:
            file.add(row, f"line {rows.line_num}")
    except csv.Error as error:
        place = f"line {rows.line_num}"
        raise StatementMalformed(f"{place}: {error}", place=place) from error
    return file.statement()


class _File:
    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = assets
        self._has_header = False
        self._lines: list[StatementLine] = []
        self._balances: dict[str, dict[str, Amount | None]] = {OPENING: {}, CLOSING: {}}
        self._times: dict[str, datetime] = {}

    def add(self, row: list[str], place: str) -> None:
        if not self._has_header:
            if tuple(row) != HEADER:
                raise StatementMalformed(
                    f"{place}: the first line must be {','.join(HEADER)}", place=place
                )
            self._has_header = True
            return
        if len(row) != len(HEADER):
            raise StatementMalformed(
                f"{place} has {len(row)} fields, not {len(HEADER)}", place=place
            )
        kind, reference, order, time_text, code, amount_text = row
        value_at = read_time(time_text, place=place)
        asset = read_asset(code, self._assets, place=place)
        if kind in self._balances:
            amount = read_amount(amount_text, asset, place=place) if amount_text else None
            self._add_balance(kind, value_at, asset, amount, place)
            return
        if kind not in _KINDS:
            raise StatementMalformed(f"{place}: {kind[:SHOWN]!r} is no kind of line", place=place)
        if len(self._lines) >= MAX_STATEMENT_LINES:
            raise too_many_lines()
        self._lines.append(
            StatementLine(
                place,
                reference,
                (order,) if order and order != reference else (),
                value_at,
                read_amount(amount_text, asset, place=place),
                LineKind(kind),
            )
        )

    def _add_balance(
        self, kind: str, at: datetime, asset: Asset, amount: Amount | None, place: str
    ) -> None:
        if asset.code in self._balances[kind]:
            raise StatementMalformed(f"{place}: a second {kind} of {asset}", place=place)
        if self._times.setdefault(kind, at) != at:
            raise StatementMalformed(f"{place}: another time than the {kind} before", place=place)
        self._balances[kind][asset.code] = amount

    def statement(self) -> ParsedStatement:
        for kind in (OPENING, CLOSING):
            if kind not in self._times:
                raise StatementMalformed(
                    f"the file has no {kind} line, or was cut off", place="the end"
                )
        opening, closing = self._balances[OPENING], self._balances[CLOSING]
        return ParsedStatement(
            source_name="",
            starts_at=self._times[OPENING],
            ends_at=self._times[CLOSING],
            lines=tuple(self._lines),
            balances={
                code: StatementBalance(opening.get(code), closing.get(code))
                for code in sorted({*opening, *closing})
            },
        )
