"""An LP's trades and balances as JSON: docs/reconciliation.md shows the form."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.statement_in.fields import SHOWN, read_amount, read_asset, read_time
from domain.asset import Asset
from domain.reconciliation.errors import StatementAssetMismatch, StatementMalformed
from domain.reconciliation.statement import (
    MAX_STATEMENT_LINES,
    LineKind,
    ParsedStatement,
    StatementBalance,
    StatementLine,
    too_many_lines,
)

_SIGN = {"buy": 1, "sell": -1}


def parse_json(text: str, assets: Mapping[str, Asset]) -> ParsedStatement:
    """Read the file, or raise what `StatementReader.read` raises."""
    try:
        document = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}"
        raise StatementMalformed(f"{place}: {error.msg}", place=place) from error
    except (ValueError, RecursionError) as error:
        raise StatementMalformed(
            "the file is nested too deeply, or holds a number too long", place="the file"
        ) from error
    head = _Fields(document, "the head")
    trades = head.list("trades")
    if 2 * len(trades) > MAX_STATEMENT_LINES:
        raise too_many_lines()
    return ParsedStatement(
        source_name=head.text("source"),
        starts_at=read_time(head.text("start_time"), place="start_time"),
        ends_at=read_time(head.text("end_time"), place="end_time"),
        position=head.text("position", otherwise=""),
        balances=_balances(head.list("balances"), assets),
        lines=tuple(
            line
            for number, trade in enumerate(trades)
            for line in _lines(_Fields(trade, f"trades[{number}]"), assets)
        ),
    )


def _balances(items: list[Any], assets: Mapping[str, Asset]) -> dict[str, StatementBalance]:
    balances: dict[str, StatementBalance] = {}
    for number, item in enumerate(items):
        place = f"balances[{number}]"
        fields = _Fields(item, place)
        asset = read_asset(fields.text("asset"), assets, place=place)
        if asset.code in balances:
            raise StatementMalformed(f"{place}: a second balance of {asset}", place=place)
        balances[asset.code] = StatementBalance(
            read_amount(fields.text("opening"), asset, place=place),
            read_amount(fields.text("closing"), asset, place=place),
        )
    return balances


def _lines(trade: "_Fields", assets: Mapping[str, Asset]) -> Iterator[StatementLine]:
    """A customer's buy brings us the base and costs us the quote asset; a sale mirrors it."""
    place = trade.place
    sign = _SIGN.get(trade.text("side"))
    if sign is None:
        raise StatementMalformed(f"{place}: side must be buy or sell", place=place)
    reference, order = trade.text("order_id"), trade.text("client_order_id")
    value_at = read_time(trade.text("execute_time"), place=place)
    base = read_asset(trade.text("base_asset"), assets, place=place)
    quote = read_asset(trade.text("quote_asset"), assets, place=place)
    if base == quote:
        raise StatementAssetMismatch(f"{place} trades {base} for itself", place=place, asset=base)
    bought = read_amount(trade.text("base_amount"), base, place=place)
    paid = read_amount(trade.text("quote_amount"), quote, place=place)
    if not (bought.is_positive and paid.is_positive):
        raise StatementMalformed(f"{place}: amounts must be more than zero", place=place)
    others = (order,) if order != reference else ()
    for amount in (bought, -paid):
        signed = amount if sign > 0 else -amount
        yield StatementLine(place, reference, others, value_at, signed, LineKind.TRADE)


class _Fields:
    """An object of the file, and where it stands."""

    def __init__(self, item: Any, place: str) -> None:
        if not isinstance(item, dict):
            raise StatementMalformed(f"{place} must be an object", place=place)
        self._item = item
        self.place = place

    def text(self, name: str, *, otherwise: str | None = None) -> str:
        value = self._item.get(name, otherwise)
        if not isinstance(value, str):
            raise StatementMalformed(
                f"{self.place}: {name} must be a string", place=self.place, field=name
            )
        return value

    def list(self, name: str) -> list[Any]:
        value = self._item.get(name)
        if not isinstance(value, list):
            raise StatementMalformed(
                f"{self.place}: {name} must be a list", place=self.place, field=name
            )
        return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:SHOWN]
        raise StatementMalformed(f"the field {twice!r} comes twice in one object", place=twice)
    return fields
