"""Rules about statements."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from adapters.lp.listing import MAX_PAGES
from adapters.statement_in.reader import FileReader
from app.certify.bench import CATALOGUE, Bench, Role
from app.certify.hostile import multiplied, spoiled
from app.certify.rules.rule import (
    ENOUGH_S,
    FAILURES,
    TICK,
    Rules,
    id_of,
    listed_executions,
    priced_listings,
    require,
    signed_listings,
)
from app.certify.wire import body_of, raw, with_body
from domain.errors import DomainError
from domain.reconciliation.period import Period
from domain.reconciliation.statement import (
    ParsedStatement,
    Source,
    SourceKind,
    StatementFormat,
    StatementLine,
)
from domain.side import Side
from domain.trade.outcome import Filled
from ports.liquidity import LpUnavailable

RULES: Final = Rules()
rule = RULES.rule

_MILLISECOND: Final = timedelta(milliseconds=1)


class Moved(NamedTuple):
    """What one execution moved in one asset, as a statement has it for us."""

    asset: str
    units: int
    at: datetime


@rule(
    "statement-told",
    "A statement tells every execution with its amounts and its time, on both sides.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    for side in Side:
        bench.trade(side)
        bench.pass_time(TICK)
    require(await told(bench) == booked(bench), "not what the venue booked")


@rule(
    "statement-keyed",
    "A statement knows an execution by the id that it was told with, and by ours where it can.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    outcome = await bench.execute(quote, attempt)
    require(isinstance(outcome, Filled), outcome)
    for line in (await read(bench)).lines:
        require(line.reference == id_of(outcome), f"{line.reference} after {id_of(outcome)}")
        if bench.subject.lists_our_id:
            require(str(attempt) in line.others, f"{line.others} of {attempt}")


@rule(
    "statement-complete",
    "A statement is complete over pages, and where one ends between two of the same instant.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    fill_pages(bench)
    require(await told(bench) == booked(bench), "not all that the venue booked")


@rule(
    "statement-once",
    "What comes on two pages is in a statement once, or the statement is refused.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    fill_pages(bench)
    await bench.statement()
    with bench.wire.saying(raw(bench.wire.heard[0]), after=1, times=1):
        try:
            lines = (await read(bench)).lines
        except LpUnavailable:
            return
    keys = {(line.amount.asset, line.reference) for line in lines}
    require(len(keys) == len(lines), "a line comes twice")


@rule(
    "statement-of-its-day",
    "A statement has what is of its time from its first instant on, and nothing of its end.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    today = bench.today()
    bench.trade()
    for at in (today.ends_at - _MILLISECOND, today.ends_at, today.ends_at + TICK):
        bench.pass_until(at)
        bench.trade()
    tomorrow = Period(today.ends_at, today.ends_at + timedelta(days=1))
    yesterday = Period(today.starts_at - timedelta(days=1), today.starts_at)
    for day, executions in ((yesterday, 0), (today, 2), (tomorrow, 2)):
        found = await told(bench, day)
        require(len(found) == 2 * executions, f"{len(found)} lines of {executions} executions")
        require(all(day.has(one.at) for one in found), "of another day")


@rule(
    "statement-of-executions",
    "An order that was not executed is in no statement.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    bench.trade(is_rejected=True)
    bench.pass_time(TICK)
    bench.trade()
    require(await told(bench) == booked(bench), "more than the venue executed")


@rule("statement-same", "A day that is told again is told in the same bytes.", listed_executions)
async def _(bench: Bench) -> None:
    for _ in range(2):
        bench.trade()
        bench.pass_time(TICK)
    day, first = bench.today(), await bench.statement()
    require(await bench.statement(day) == first, "other bytes")


@rule(
    "statement-unreachable",
    "Of a venue that cannot be reached there is no statement.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    require(await is_refused(bench, Role.CUT_OFF), "a statement")


@rule("statement-wrong-secret", "With a wrong secret there is no statement.", signed_listings)
async def _(bench: Bench) -> None:
    require(await is_refused(bench, Role.STRANGER), "a statement")


@rule(
    "statement-failures",
    "Asked for a statement, a venue that fails in any way of HTTP is unavailable.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    bench.trade()
    for name, say in FAILURES.items():
        with bench.wire.saying(say):
            refused = await asyncio.wait_for(is_refused(bench), ENOUGH_S)
        require(refused, f"{name}: a statement")


@rule(
    "statement-whole",
    "A listing that is cut short on a later page is no statement.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    fill_pages(bench)
    await bench.statement()
    for name, say in FAILURES.items():
        with bench.wire.saying(say, after=1):
            refused = await asyncio.wait_for(is_refused(bench), ENOUGH_S)
        require(refused, f"{name} on the second page: a statement")


@rule(
    "statement-bounded",
    "A listing that never ends is given up, and is no statement.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    fill_pages(bench)
    await bench.statement()
    with bench.wire.saying(raw(bench.wire.heard[0])):
        refused = await asyncio.wait_for(is_refused(bench), ENOUGH_S)
    require(refused, "a statement")
    require(bench.wire.said <= MAX_PAGES, f"asked {bench.wire.said} times")


@rule(
    "statement-hostile",
    "No line is made of a listing with anything missing or of a wrong kind.",
    listed_executions,
)
async def _(bench: Bench) -> None:
    await no_line_of(bench, hostile=True)


@rule(
    "statement-multiplies",
    "An execution whose amounts do not multiply by its price is no line.",
    priced_listings,
)
async def _(bench: Bench) -> None:
    await no_line_of(bench, hostile=False)


def fill_pages(bench: Bench) -> None:
    """Have more executed than a page has: the newest alone, the others in twos of an instant."""
    for _ in range(bench.subject.page // 2 + 1):
        bench.trade()
        bench.trade()
        bench.pass_time(TICK)
    bench.trade()


async def read(bench: Bench, day: Period | None = None) -> ParsedStatement:
    """Return a statement as it is taken in."""
    content = await bench.statement(day)
    parsed = FileReader().read(StatementFormat.JSON, content, CATALOGUE.assets)
    parsed.check(Source(SourceKind.LP, bench.subject.name), now=bench.clock.now())
    return parsed


async def told(bench: Bench, day: Period | None = None) -> Sequence[Moved]:
    return moved((await read(bench, day)).lines)


def moved(lines: Sequence[StatementLine]) -> Sequence[Moved]:
    return sorted(Moved(one.amount.asset.code, one.amount.units, one.value_at) for one in lines)


def booked(bench: Bench) -> Sequence[Moved]:
    """Return what a statement of all that the venue executed would tell."""
    return sorted(
        Moved(code, units, one.order.decided_at)
        for one in bench.booked()
        for code, units in one.order.gained
    )


async def is_refused(bench: Bench, role: Role = Role.USUAL) -> bool:
    try:
        await bench.statement(role=role)
    except LpUnavailable:
        return True
    return False


async def no_line_of(bench: Bench, *, hostile: bool) -> None:
    """Change the first page in every place, and see that nothing is told that was not booked."""
    bench.trade()
    await bench.statement()
    answer, truth = bench.wire.heard[0], booked(bench)
    for name, body in (spoiled if hostile else multiplied)(body_of(answer)):
        with bench.wire.saying(raw(with_body(answer, body)), times=1):
            try:
                lines = await told(bench)
            except DomainError:
                continue
        require(all(line in truth for line in lines), f"{name}: {lines}")
