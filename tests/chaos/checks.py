"""Afterwards: what was acknowledged against the books, the venues' own books and the bus."""

import asyncio
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import nats
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import NotFoundError

from adapters.nats.bus import STREAM, SUBJECT_ROOT
from app.audit.run import audit
from app.usecase.house.mirror_trades import CONSUMER
from domain.ids import AttemptId, DepositId, EventId, QuoteId, TenantId, TradeId
from ports.audit import order_keys
from tests.chaos.history import DepositRecord, History, TradeRecord

QUIET_WITHIN_S: Final = 60.0
SCALES: Final = {"NGN": 2, "BTC": 8}

_UNFINISHED: Final = """
SELECT
    (SELECT count(*) FROM core.trades WHERE ended_at IS NULL) AS trades,
    (SELECT count(*) FROM core.attempts AS a
        JOIN core.trades AS t ON t.tenant_id = a.tenant_id AND t.id = a.trade_id
        WHERE t.state = 'outcome_unknown' AND a.state = 'unknown'
            AND a.next_check_at > core.now()) AS waiting,
    (SELECT count(*) FROM core.late_checks WHERE due_at IS NOT NULL) AS late_checks,
    (SELECT count(*) FROM core.outbox WHERE sequence IS NULL) AS unstamped,
    (SELECT count(*) FROM core.event_heads WHERE published < last) AS unpublished,
    (SELECT count(*) FROM core.event_heads AS h LEFT JOIN core.consumer_positions AS p
        ON p.consumer = $1 AND p.source_tenant_id = h.tenant_id
        WHERE h.last > coalesce(p.sequence, 0)) AS unread
"""

_OPEN_HOLDS: Final = """
SELECT t.tenant_id, t.id, t.state, r.pending_id IS NOT NULL AS is_resolved
FROM core.trades AS t
LEFT JOIN core.resolutions AS r ON r.tenant_id = t.tenant_id AND r.pending_id = t.hold_id
WHERE (t.ended_at IS NULL) = (r.pending_id IS NOT NULL)
"""

_GAPS: Final = """
SELECT tenant_id, count(*) AS events, count(DISTINCT sequence) AS places, min(sequence) AS first,
    max(sequence) AS last
FROM core.outbox GROUP BY tenant_id
HAVING count(*) <> count(DISTINCT sequence) OR min(sequence) <> 1 OR max(sequence) <> count(*)
"""

_BALANCES: Final = """
SELECT tenant_id, owner, asset, credits_posted - debits_posted AS posted, debits_pending AS held
FROM core.accounts WHERE kind = 'customer'
"""

# What changes from one line of a log to the next that says the same.
_NAMES: Final = re.compile(r"<[^>]*>+|\b[a-z]+_[0-9a-z]{26}\b")
# Between two tracebacks of one chain.
_BETWEEN: Final = ("During handling", "The above exception")

_ORDERS: Final = """
SELECT count(*) FILTER (WHERE state <> 'filled' OR checks > 0 OR filled_units <> lp_units),
    count(*)
FROM core.attempts WHERE sent_at IS NOT NULL
"""

_QUOTES: Final = """
SELECT count(*) FILTER (WHERE verdict IN ('failed', 'refused', 'too_late', 'unusable')),
    count(*) FILTER (WHERE verdict NOT IN ('not_asked', 'outranked'))
FROM core.lp_answers
"""

_TRADES: Final = """
SELECT tenant_id, id, state, (SELECT count(*) FROM core.breaks AS b WHERE b.kind = 'LATE_FILL'
    AND b.tenant_id = t.tenant_id AND b.trade_id = t.id) AS late_fills
FROM core.trades AS t
"""

_IDLE: Final = """
SELECT pid, application_name, state, left(query, 60) AS query, now() - state_change AS since
FROM pg_stat_activity
WHERE usename IN ('reli_app', 'reli_work') AND state LIKE 'idle in transaction%'
    AND state_change < now() - interval '2 seconds'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """Where to look.

    Attributes:
        expected: the balances that can be foretold, by tenant and customer.
    """

    database_url: str
    nats_url: str
    venue_books: Mapping[str, str]
    expected: Mapping[tuple[str, str], Mapping[str, Decimal]]


@dataclass(slots=True, kw_only=True)
class Settled:
    """What the checks counted.

    Attributes:
        states: trades by state, as the database has them.
        executions: by venue.
        late_fills: breaks of late fills, by the state of their trades.
        duplicates: messages on the bus beyond the first of their id.
    orders, quotes: how many the venues answered badly or not at all, of how many.
    """

    states: Counter[str] = field(default_factory=Counter)
    late_fills: Counter[str] = field(default_factory=Counter)
    events: int = 0
    messages: int = 0
    duplicates: int = 0
    executions: Counter[str] = field(default_factory=Counter)
    orders: tuple[int, int] = (0, 0)
    quotes: tuple[int, int] = (0, 0)
    audit_checks: int = 0


async def check(history: History, aftermath: Aftermath) -> Settled:
    """Look for what must not be, and add it to the history's violations."""
    connection = await asyncpg.connect(aftermath.database_url)
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=int, format="text"
    )
    try:
        found = Settled()
        for tenant_id, request_id in history.undecided():
            history.violate("definite answer", tenant_id, request_id, "never came")
        await _check_idle(connection, history)
        trades = await connection.fetch("SELECT * FROM core.trades")
        found.states = Counter(row["state"] for row in trades)
        _check_trades(history, {TradeId(row["id"]): row for row in trades})
        await _check_deposits(connection, history)
        await _check_requests(connection, history)
        await _check_balances(connection, history, aftermath.expected)
        for row in await connection.fetch(_OPEN_HOLDS):
            history.violate(
                "hold",
                str(TenantId(row["tenant_id"])),
                str(TradeId(row["id"])),
                f"{row['state']}, its hold {'resolved' if row['is_resolved'] else 'open'}",
            )
        await _check_executions(connection, history, aftermath.venue_books, found)
        found.orders = tuple(await connection.fetchrow(_ORDERS))
        found.quotes = tuple(await connection.fetchrow(_QUOTES))
        await _check_events(connection, history, aftermath.nats_url, found)
    finally:
        await connection.close()
    report = await audit(aftermath.database_url, aftermath.venue_books)
    found.audit_checks = len(report.findings)
    for finding in report.findings:
        for violation in finding.violations:
            history.violate(
                f"audit {finding.check.id}",
                str(violation.tenant_id or ""),
                f"{violation.table} {violation.id}",
                f"{violation.found} instead of {violation.expected}",
            )
    return found


def read_logs(logs: list[Path]) -> Counter[str]:
    """Count tracebacks by what was logged and how they end: not foreseen, though survived."""
    surprises: Counter[str] = Counter()
    for log in logs:
        process, message, is_inside = log.name.partition("-")[0], "", False
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("Traceback"):
                is_inside = True
            elif not line.startswith((" ", "\t")) and line:
                if is_inside:
                    surprises[f"{process}: {_NAMES.sub('…', message)[:80]}: {line[:80]}"] += 1
                    is_inside = False
                elif not line.startswith(_BETWEEN):
                    message = line
    return surprises


async def until_quiet(history: History, database_url: str) -> float:
    """Wait until all has ended; return how long that took.

    A trade may also be one that says of itself that nobody knows, and when it is asked about next.
    """
    began = time.monotonic()
    connection = await asyncpg.connect(database_url)
    try:
        while True:
            left = dict(await connection.fetchrow(_UNFINISHED, CONSUMER))
            waiting = left.pop("waiting")
            waited = time.monotonic() - began
            if not any(left.values()):
                return waited
            if waited > QUIET_WITHIN_S:
                left["trades"] -= waiting
                for what, count in left.items():
                    if count:
                        history.violate("quiescence", "", what, f"{count} after {waited:.0f} s")
                return waited
            await asyncio.sleep(0.25)
    finally:
        await connection.close()


async def _check_idle(connection: Any, history: History) -> None:
    for row in await connection.fetch(_IDLE):
        history.violate(
            "idle transaction",
            "",
            str(row["pid"]),
            f"{row['application_name']} for {row['since']}: {row['query']}",
        )


def _check_trades(history: History, rows: Mapping[TradeId, Any]) -> None:
    acknowledged = {record.trade_id: record for record in history.trades if record.trade_id}
    for id, record in acknowledged.items():
        row = rows.get(TradeId.parse(id))
        problem = "is not there" if row is None else _contradiction(record, row)
        if problem:
            history.violate("acknowledged trade", record.tenant_id, id, problem)
    for trade_id, row in rows.items():
        if str(trade_id) not in acknowledged:
            history.violate(
                "one effect",
                str(TenantId(row["tenant_id"])),
                str(trade_id),
                "nobody was told of this trade",
            )


def _contradiction(record: TradeRecord, row: Any) -> str:
    said = (_units(record.base, "BTC"), _units(record.quote, "NGN"), record.side, record.quote_id)
    is_so = (row["base_units"], row["quote_units"], row["side"], str(QuoteId(row["quote_id"])))
    if is_so != said:
        return f"is {is_so}, acknowledged as {said}"
    if record.is_ended and row["state"] != record.state:
        return f"is {row['state']}, acknowledged as {record.state}"
    return ""


async def _check_deposits(connection: Any, history: History) -> None:
    rows = {
        str(DepositId(row["id"])): row
        for row in await connection.fetch("SELECT * FROM core.sandbox_deposits")
    }
    records: dict[str, DepositRecord] = {one.id: one for one in history.deposits if one.id}
    for id, record in records.items():
        row = rows.get(id)
        units = _units(record.value, record.asset)
        if row is None or (row["asset"], row["units"]) != (record.asset, units):
            history.violate("acknowledged deposit", record.tenant_id, id, f"is {row}")
    for id in rows.keys() - records.keys():
        tenant_id = str(TenantId(rows[id]["tenant_id"]))
        history.violate("one effect", tenant_id, id, "nobody was told of this deposit")


async def _check_requests(connection: Any, history: History) -> None:
    rows = await connection.fetch(
        "SELECT tenant_id, rpc, request_id, resource_id, refusal FROM core.requests"
    )
    outcomes = {(row["tenant_id"], row["rpc"], row["request_id"]): row for row in rows}
    for record in history.trades:
        key = (TenantId.parse(record.tenant_id).uuid, _ACCEPT, record.request_id)
        row = outcomes.get(key)
        trade_id = TradeId.parse(record.trade_id).uuid if record.trade_id else None
        if record.is_decided and (row is None or row["resource_id"] != trade_id):
            history.violate("request", record.tenant_id, record.request_id, f"is {row}")


_ACCEPT: Final = "reli.quote.v1.QuoteService/AcceptQuote"


async def _check_balances(
    connection: Any, history: History, expected: Mapping[tuple[str, str], Mapping[str, Decimal]]
) -> None:
    found = {
        (str(TenantId(row["tenant_id"])), row["owner"], row["asset"]): (row["posted"], row["held"])
        for row in await connection.fetch(_BALANCES)
    }
    for (tenant_id, customer_id), balances in expected.items():
        for asset, value in balances.items():
            posted, held = found.get((tenant_id, customer_id, asset), (0, 0))
            if (posted, held) != (_units(value, asset), 0):
                history.violate(
                    "balance",
                    tenant_id,
                    customer_id,
                    f"{asset}: {posted} and {held} held, answers add up to {value}",
                )


async def _check_executions(
    connection: Any, history: History, venue_books: Mapping[str, str], found: Settled
) -> None:
    """Count each trade's executions in the venues' own books."""
    trades = {
        (row["lp"], key): (TenantId(row["tenant_id"]), TradeId(row["trade_id"]))
        for row in await connection.fetch("SELECT * FROM core.attempts")
        for key in order_keys(AttemptId(row["id"]), row["lp_reference"])
    }
    executions: dict[tuple[TenantId, TradeId], list[str]] = defaultdict(list)
    async with aiohttp.ClientSession() as session:
        for name, url in venue_books.items():
            async with session.get(f"{url}/v1/book") as response:
                book = await response.json()
            for one in book["executions"]:
                found.executions[name] += 1
                trade = trades.get((name, one["client_order_id"]))
                if trade is None:
                    history.violate("execution", "", one["order_id"], f"{name}: nobody's order")
                else:
                    executions[trade].append(f"{name} {one['order_id']}")
    for row in await connection.fetch(_TRADES):
        key = TenantId(row["tenant_id"]), TradeId(row["id"])
        times = executions.get(key, [])
        allowed = {"settled": (1,), "rejected": (0,)}.get(row["state"], (0, 1))
        if row["late_fills"]:
            found.late_fills[row["state"]] += row["late_fills"]
        if len(times) - row["late_fills"] not in allowed:
            history.violate(
                "double execution" if len(times) > 1 else "execution",
                str(key[0]),
                str(key[1]),
                f"{row['state']} with {len(times)} executions: {', '.join(times)}",
            )


async def _check_events(connection: Any, history: History, nats_url: str, found: Settled) -> None:
    for row in await connection.fetch(_GAPS):
        history.violate("event order", str(TenantId(row["tenant_id"])), "", str(dict(row)))
    stored = {
        str(EventId(row["id"])): str(TenantId(row["tenant_id"]))
        for row in await connection.fetch("SELECT tenant_id, id FROM core.outbox")
    }
    published = await _messages(nats_url)
    found.events, found.messages = len(stored), published.total()
    found.duplicates = published.total() - len(published)
    for id in stored.keys() - published.keys():
        history.violate("event", stored[id], id, "is not on the bus")
    for id in published.keys() - stored.keys():
        history.violate("event", "", id, "is on the bus and was never committed")


async def _messages(nats_url: str) -> Counter[str]:
    """Return how often each event is on the bus, by its id."""
    ids: Counter[str] = Counter()
    client = await nats.connect(nats_url)
    try:
        jetstream = client.jetstream()
        try:
            total = (await jetstream.stream_info(STREAM)).state.messages
        except NotFoundError:
            return ids
        subscription = await jetstream.pull_subscribe(f"{SUBJECT_ROOT}.>", stream=STREAM)
        while ids.total() < total:
            try:
                messages = await subscription.fetch(1_000, timeout=5)
            except NatsTimeout:
                break
            for message in messages:
                ids[(message.headers or {})["Nats-Msg-Id"]] += 1
                await message.ack()
    finally:
        await client.close()
    return ids


def _units(value: Decimal, asset: str) -> int:
    return int(value.scaleb(SCALES[asset]))
