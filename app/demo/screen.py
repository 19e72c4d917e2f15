"""The story for people: aligned, colored on a terminal, plain in a pipe."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from rich.box import Box
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from app.demo.money import SCALES, minor, shown, text
from app.demo.partner import Json
from app.demo.story import CUSTOMER, FEE_BPS, MARKUP_BPS, Chapter

_WIDTH: Final = 100
_INDENT: Final = 3
_LONGEST: Final = 150
_COLOR_OF_VERDICT: Final = {
    "used": "green",
    "filled": "green",
    "rejected": "red",
    "outbid": "dim",
}


class Screen:
    """Prints one chapter after another."""

    def __init__(self) -> None:
        self._out = Console(highlight=False)
        self._out.width = min(self._out.width, _WIDTH) if self._out.is_terminal else _WIDTH
        self._started = Text()
        self._live = Live(console=self._out, auto_refresh=False)
        self._number = 0
        self._tell: Mapping[str, Callable[[Json], None]] = {
            "tenant": self._tenant,
            "customer": self._customer,
            "quote": self._quote,
            "settlement": self._settlement,
            "failover": self._failover,
            "evidence": self._evidence,
            "unknown": self._unknown,
            "resolution": self._resolution,
            "refusals": self._refusals,
            "events": self._events,
            "books": self._books,
            "audit": self._audit,
            "proof": self._proof,
            "receipt": self._receipt,
        }

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Show what has started so far."""
        self._out.print("[bold]Reli[/] · one customer's trades, from quote to audited books\n")
        # Without a thread that refreshes: processes are forked meanwhile.
        with self._live:
            yield

    def part_started(self, part: str, seconds: float) -> None:
        self._started.append(f"{part} ")
        self._started.append(f"{seconds:.1f} s  ", style="dim")
        self._live.update(_indented(self._started), refresh=True)

    def tell(self, chapter: Chapter) -> None:
        self._tell[chapter.name](chapter.facts)

    def end(self, held: int, seconds: float) -> None:
        self._out.print(
            f"\n[green]✓[/] [bold]{held} expectations held[/] in {seconds:.1f} s; "
            f"every process is stopped, nothing is left behind."
        )

    def _heading(self, title: str, note: str = "") -> None:
        self._number += 1
        self._out.print(f"\n[bold cyan]{self._number}[/]  [bold]{title}[/]  [dim]{note}[/]")

    def _show(self, what: Any) -> None:
        self._out.print(_indented(what))

    def _show_beside(self, *tables: Table) -> None:
        """Show tables side by side, or one below the other where there is no room."""
        grid = Table.grid(padding=(0, 6, 0, 0))
        grid.add_row(*tables)
        is_narrow = self._out.measure(grid).maximum > self._out.width - _INDENT
        for each in tables if is_narrow else (grid,):
            self._show(each)

    def _tenant(self, facts: Json) -> None:
        tenant = facts["tenant"]
        color = tenant["branding"]["primary_color"]
        self._heading("A fintech joins", "the operator's two calls")
        table = _table("", "", "")
        table.add_row("tenant", f"[{color}]■[/] {tenant['display_name']}", _dim(tenant["id"]))
        table.add_row("API key", facts["secret"], _dim("shown once, stored hashed"))
        terms = f"fee {FEE_BPS} bps, markup {MARKUP_BPS} bps"
        table.add_row("BTC-NGN", terms, _dim(f"asks {', '.join(tenant['settings']['lp_order'])}"))
        self._show(table)

    def _customer(self, facts: Json) -> None:
        customer, deposit = facts["customer"], facts["deposit"]
        self._heading("Its customer gets play money")
        table = _table("", "", "")
        table.add_row("customer", customer["external_id"], _dim(customer["id"]))
        table.add_row("deposit", f"{shown(deposit['amount'])} NGN", _dim(deposit["id"]))
        balances = ", ".join(f"{value} {asset}" for asset, value in _grouped(facts["balances"]))
        table.add_row("balance", balances)
        self._show(table)

    def _quote(self, facts: Json) -> None:
        quote = facts["quote"]
        self._heading(
            f"{CUSTOMER} wants {quote['base_amount']['value'].rstrip('0')} BTC",
            "both venues are asked at once",
        )
        answers = _table("venue", ">all-in NGN", ">answered", "verdict")
        for answer in facts["lp_answers"]:
            verdict = answer["verdict"].removeprefix("LP_VERDICT_").lower()
            answers.add_row(
                answer["lp"],
                shown(answer["quote_amount"]),
                f"{answer['latency_ms']} ms",
                _verdict(verdict),
            )
        parts = quote["waterfall"]
        waterfall = _table("waterfall", ">NGN")
        waterfall.add_row(quote["lp"], shown(parts["lp"]))
        waterfall.add_row(f"platform fee {FEE_BPS} bps", shown(parts["fee"]))
        waterfall.add_row(f"markup {MARKUP_BPS} bps", shown(parts["markup"]), end_section=True)
        waterfall.add_row(f"[bold]{CUSTOMER} pays[/]", f"[bold]{shown(parts['total'])}[/]")
        self._show_beside(answers, waterfall)
        firm = f"firm until {_clock(quote['expire_time'])}"
        self._show(_dim(f"{_price(quote['price'])} NGN per BTC, {firm} UTC, {quote['id']}"))

    def _settlement(self, facts: Json) -> None:
        trade, lines = facts["trade"], facts["lines"]
        self._heading(f"Accepted and settled in {facts['took_ms']} ms", trade["id"])
        book = _table("account", ">debit NGN", ">credit NGN", ">debit BTC", ">credit BTC")
        names = list(dict.fromkeys(line["account"] for line in lines))
        by_cell = {(line["account"], line["asset"]): line for line in lines}
        for name in names:
            cells = [
                _units(by_cell.get((name, asset), {}).get(side, 0), asset)
                for asset in ("NGN", "BTC")
                for side in ("debit", "credit")
            ]
            book.add_row(name, *cells, end_section=name == names[-1])
        sums = [
            _units(sum(line[side] for line in lines if line["asset"] == asset), asset)
            for asset in ("NGN", "BTC")
            for side in ("debit", "credit")
        ]
        book.add_row("[bold]one entry[/]", *(f"[bold]{cell}[/]" for cell in sums))
        self._show(book)
        parts = (shown(trade["waterfall"][part]) for part in ("lp", "fee", "markup", "total"))
        sum_ = "{} + {} + {} = {}".format(*parts)
        self._show(f"[green]✓[/] credits = waterfall: {sum_}")
        before, after = (dict(_grouped(facts[f"balances_{when}"])) for when in ("before", "after"))
        changes = (
            f"{before.get(asset, text(0, SCALES[asset]))} → [bold]{after[asset]}[/] {asset}"
            for asset in ("NGN", "BTC")
        )
        self._show(f"[green]✓[/] her balance: {', '.join(changes)}")

    def _failover(self, facts: Json) -> None:
        trade = facts["trade"]
        size = trade["base_amount"]["value"]
        self._heading("The primary refuses, the backup fills", f"{size} BTC: …7721 is magic")
        table = _table("attempt", "venue", ">offered NGN", ">filled NGN", "state", "")
        for number, attempt in enumerate(trade["attempts"], start=1):
            state = attempt["state"].removeprefix("ATTEMPT_STATE_").lower()
            filled = shown(attempt["filled_amount"]) if "filled_amount" in attempt else "–"
            table.add_row(
                str(number),
                attempt["lp"],
                shown(attempt["lp_amount"]),
                filled,
                _verdict(state),
                _dim(attempt["reason"] or attempt["venue_order_id"]),
            )
        self._show(table)
        slippage = text(facts["slippage_units"], SCALES["NGN"])
        self._show(
            f"{CUSTOMER} pays [bold]{shown(trade['quote_amount'])}[/] NGN as quoted; "
            f"slippage of [yellow]{slippage}[/] NGN is the operator's."
        )

    def _evidence(self, facts: Json) -> None:
        evidence = facts["evidence"]
        median = evidence["median"]
        rule = evidence["routing"].removeprefix("ROUTING_RULE_").lower().replace("_", " ")
        self._heading("Why this price, and why this venue", f"{rule}, of what both answered")
        answers = _table("venue", ">NGN per BTC", ">beside the median", ">answered", "verdict")
        for one in evidence["answers"]:
            answers.add_row(
                one["lp"],
                _price(one["price"]),
                _better(one["better_bps"]),
                f"{one['latency_ms']} ms",
                _verdict(one["verdict"]),
                end_section=one is evidence["answers"][-1],
            )
        answers.add_row("median", _price(median["price"]), "", "", "")
        self._show(answers)
        *_, backup = evidence["attempts"]
        self._show(
            f"{backup['lp']} was asked again: {_better(backup['better_bps'])} beside the quoted "
            f"price, {evidence['tolerance_bps']} bps worse are allowed"
        )
        self._show(_dim(f"{len(evidence['steps'])} steps, each with its actor and its grounds"))

    def _unknown(self, facts: Json) -> None:
        trade = facts["trade"]
        (attempt,) = trade["attempts"]
        (execution,) = facts["executions"]
        size = trade["base_amount"]["value"].rstrip("0")
        self._heading("A venue executes, and its answer is lost", f"{size} BTC, {trade['id']}")
        state = trade["state"].removeprefix("TRADE_STATE_").lower()
        table = _table("", "", "")
        table.add_row("partner sees", f"[yellow]{state}[/]", _dim(attempt["reason"]))
        table.add_row("since", _clock(trade["unknown_since_time"]), _dim("UTC"))
        table.add_row("next check", _clock(attempt["next_check_time"]), _dim("the venue is asked"))
        table.add_row("deadline", _clock(trade["resolve_by_time"]), _dim("a person looks"))
        balance = facts["balance"]
        table.add_row("held", f"{shown(balance['held'])} NGN", _dim("neither paid nor released"))
        table.add_row(
            f"{attempt['lp']}'s book",
            "1 execution",
            _dim(f"{execution['order_id']}, which it denies"),
        )
        self._show(table)

    def _resolution(self, facts: Json) -> None:
        trade = facts["trade"]
        (attempt,) = trade["attempts"]
        asked = ", ".join(_clock(check) for check in facts["checks"])
        self._heading("The status check finds it", f"{attempt['lp']} was asked again at {asked}")
        state = trade["state"].removeprefix("TRADE_STATE_").lower()
        amounts = " for ".join(
            f"[bold]{shown(trade[side])}[/] {trade[side]['asset']}"
            for side in ("base_amount", "quote_amount")
        )
        self._show(f"[green]✓[/] [green]{state}[/] at exactly what was quoted: {amounts}")
        self._show(f"[green]✓[/] paid once, {shown(facts['balance']['held'])} NGN held")
        count = len(facts["executions"])
        self._show(
            f"[green]✓[/] {count} execution in {attempt['lp']}'s book: {attempt['venue_order_id']}"
        )

    def _refusals(self, facts: Json) -> None:
        self._heading("A refusal, and a replay", "one BTC is more than she can pay")
        body = "\n".join(_folded(facts["refusal"], room=self._out.width - _INDENT))
        self._show(f"POST …:accept → HTTP [red]{facts['http_status']}[/]")
        self._show(JSONHighlighter()(body))
        self._show(
            f"Part 4 again under its key {facts['idempotency_key']} → HTTP [green]200[/], "
            f"{facts['replayed_trade_id']}, nothing moved"
        )

    def _events(self, facts: Json) -> None:
        self._heading("What JetStream told the tenant", facts["stream"])
        table = _table("time UTC", "type", "subject")
        for event in facts["events"]:
            table.add_row(_clock(event["occur_time"]), event["type"], _dim(event["subject"]))
        self._show(table)

    def _books(self, facts: Json) -> None:
        self._heading("The books balance", "the tenant's whole book")
        table = _table("account", ">NGN", ">BTC")
        rows: dict[str, dict[str, str]] = {}
        for balance in facts["balances"]:
            row = rows.setdefault(balance["account"], {})
            row[balance["posted"]["asset"]] = shown(balance["posted"])
        names = sorted(rows, key=_ORDER.index)
        for name in names:
            cells = (rows[name].get(asset, "") for asset in ("NGN", "BTC"))
            table.add_row(name, *cells, end_section=name == names[-1])
        sums = (text(facts["sums"][asset], SCALES[asset]) for asset in ("NGN", "BTC"))
        table.add_row("[bold]sum[/]", *(f"[bold green]{sum_}[/]" for sum_ in sums))
        self._show(table)

    def _audit(self, facts: Json) -> None:
        checks = facts["checks"]
        self._heading("The audit agrees", "all tenants, all tables, and the venues' own books")
        told = [check for check in checks if check["id"] in _TOLD_OF_AUDIT]
        table = _table("check", ">rows", ">breaks", "what must hold")
        table.columns[-1].no_wrap = False
        for check in told:
            table.add_row(
                check["id"],
                f"{check['rows']:,}",
                str(check["breaks"]),
                _dim(check["statement"]),
                end_section=check is told[-1],
            )
        table.add_row(
            f"[bold]all {len(checks)}[/]",
            f"[bold]{facts['rows']:,}[/]",
            f"[bold green]{facts['breaks']}[/]",
            _dim(f"in {facts['took_ms']} ms, as `reli audit` would say"),
        )
        self._show(table)

    def _proof(self, facts: Json) -> None:
        checkpoint = facts["checkpoint"]
        self._heading(
            "Anybody can check the books",
            f"{facts['bytes']:,} bytes, {checkpoint['entries']} entries, "
            f"checkpoint {checkpoint['number']}, and a program of Python's own",
        )
        table = _table("books", "verifier")
        table.columns[-1].no_wrap = False
        for one in facts["verdicts"]:
            mark = "[green]✓[/]" if one["holds"] else "[red]✗[/]"
            table.add_row(one["books"], f"{mark} {escape(_shortened(one['verifier']))}")
        self._show(table)

    def _receipt(self, facts: Json) -> None:
        receipt = facts["receipt"]
        self._heading("A receipt for anybody", receipt["trade_id"])
        paid, received = receipt["paid_amount"], receipt["received_amount"]
        self._show(
            f"paid [bold]{shown(paid)}[/] {paid['asset']}, "
            f"received [bold]{shown(received)}[/] {received['asset']}"
        )
        table = _table("receipt", "verifier")
        table.columns[-1].no_wrap = False
        for one in facts["verdicts"]:
            mark = "[green]✓[/]" if one["holds"] else "[red]✗[/]"
            table.add_row(one["receipt"], f"{mark} {escape(_shortened(one['verifier']))}")
        self._show(table)


_TOLD_OF_AUDIT: Final = frozenset(
    {"I2.zero", "I5.fill", "I6.hold", "I7.evidence", "I8.execution", "I11.sequence", "I20.sum"}
)
"""What the story was about; the JSON document has every check."""


_ORDER: Final = (
    *("external sandbox", f"customer {CUSTOMER}", "trade clearing", "lp alpha", "lp beta"),
    *("platform fee", "tenant markup", "slippage", "treasury"),
)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _indented(what: Any) -> Padding:
    return Padding(what, (0, 0, 0, _INDENT), expand=False)


# Nothing but a rule above a sum.
_RULED: Final = Box("    \n    \n    \n    \n ── \n    \n    \n    \n")


def _table(*columns: str) -> Table:
    """Return a table without lines; `>` in front of a heading aligns its column to the right."""
    table = Table(
        box=_RULED,
        show_header=False,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
        border_style="dim",
    )
    for column in columns:
        table.add_column(justify="right" if column.startswith(">") else "left", no_wrap=True)
    if any(columns):
        table.add_row(*(_dim(column.removeprefix(">")) for column in columns))
    return table


def _grouped(balances: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for asset, value in balances.items():
        yield asset, text(minor(value), SCALES[asset])


def _units(units: int, asset: str) -> str:
    return text(units, SCALES[asset]) if units else ""


def _price(price: Json) -> str:
    whole, _, fraction = price["value"].partition(".")
    return f"{int(whole):,}" + (f".{fraction}" if fraction else "")


def _better(bps: str) -> str:
    color = "yellow" if bps.startswith("-") else "green"
    return f"[{color}]{bps} bps[/]"


def _clock(time: str) -> str:
    return time[11:23].removesuffix("Z").split("+")[0]


def _dim(of: str) -> str:
    return f"[dim]{of}[/]"


def _verdict(of: str) -> str:
    return f"[{_COLOR_OF_VERDICT.get(of, 'yellow')}]{of}[/]"


def _folded(value: Any, *, room: int, indent: int = 0) -> Iterator[str]:
    """Yield JSON by the line, what fits into one line in one."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(flat) <= room - indent:
        yield flat
        return
    if isinstance(value, dict):
        opening, closing = "{}"
        items = [(f"{json.dumps(name)}: ", item) for name, item in value.items()]
    else:
        opening, closing = "[]"
        items = [("", item) for item in value]
    yield opening
    for number, (label, item) in enumerate(items, start=1):
        first, *rest = _folded(item, room=room - len(label), indent=indent + 2)
        lines = [f"{' ' * (indent + 2)}{label}{first}", *rest]
        lines[-1] += "," if number < len(items) else ""
        yield from lines
    yield " " * indent + closing
