"""Rules about the states of orders, and about evidence."""

import asyncio
from datetime import timedelta
from typing import Final

from adapters.lp.http import MAX_EVIDENCE
from adapters.lp.sandbox.behavior import Behavior
from app.certify.bench import Bench, Role
from app.certify.hostile import exchanged, spoiled
from app.certify.rules.rule import (
    ENOUGH_S,
    FAILURES,
    LONG,
    TICK,
    Rules,
    answered,
    id_of,
    is_fill,
    require,
    require_taken,
    swaps_for,
    taken_orders,
)
from app.certify.wire import page, raw
from domain.side import Side
from domain.trade.outcome import ORDER_NOT_FOUND, ORDER_WORKING, Absent, Rejected, Unknown
from ports.liquidity import (
    ExecutionOutcome,
    LpQuote,
    LpStatus,
    Working,
)

RULES: Final = Rules()
rule = RULES.rule


@rule("status-told", "The state of a fill is that fill, on both sides.")
async def _(bench: Bench) -> None:
    for side in Side:
        quote, attempt = await bench.a_quote(side), bench.an_attempt()
        outcome = await bench.execute(quote, attempt, side)
        status = await bench.status(quote, attempt, side)
        require(is_fill(bench, attempt, status), status)
        require(id_of(status) == id_of(outcome), f"{id_of(status)} after {id_of(outcome)}")


@rule("status-of-rejection", "The state of a rejected order is no fill.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.REJECT)
    await bench.execute(quote, attempt)
    status = await bench.status(quote, attempt)
    require(isinstance(status, Rejected | Unknown), status)


@rule("lost-answer-found", "A fill whose answer was lost is found, at once and however late.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.CUT_AFTER_FILL)
    await bench.execute(quote, attempt)
    for lapse in (timedelta(), LONG):
        bench.pass_time(lapse)
        status = await bench.status(quote, attempt)
        require(is_fill(bench, attempt, status), f"{lapse} later: {status}")


@rule("hidden-fill-waited-for", "A fill that does not show at first is not absent, and then found.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.LATE_FILL)
    await bench.execute(quote, attempt)
    status = await bench.status(quote, attempt)
    require(isinstance(status, Unknown) and status.reason == ORDER_NOT_FOUND, status)
    bench.pass_time(timedelta(seconds=10))
    status = await bench.status(quote, attempt)
    require(is_fill(bench, attempt, status), status)


@rule("absence-not-hasty", "A lost order stays unknown while it may still show up.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.CUT_BEFORE_FILL)
    await bench.execute(quote, attempt)
    over = bench.expiry_of(quote)
    ends = over + bench.capabilities.visibility_window
    for at in (bench.venue.clock.now(), over, ends - TICK):
        bench.pass_until(at)
        status = await bench.status(quote, attempt)
        require(isinstance(status, Unknown), f"at {at}: {status}")


@rule("absence-concluded", "A lost order is absent at last, only where the status has authority.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.CUT_BEFORE_FILL)
    await bench.execute(quote, attempt)
    bench.pass_time(LONG)
    status = await bench.status(quote, attempt)
    has_authority = bench.capabilities.status_is_authoritative
    require(isinstance(status, Absent if has_authority else Unknown), status)


@rule(
    "taken-not-lost",
    "An order that the venue said it has stays there, though it is not found next.",
    taken_orders,
)
async def _(bench: Bench) -> None:
    quote, other, attempt = await bench.a_quote(), await bench.a_quote(), bench.an_attempt()
    if bench.subject.acknowledges:
        with bench.wire.saying(raw(await _not_found(bench, other)), after=1):
            outcome = await bench.execute(quote, attempt)
        require(isinstance(outcome, Unknown) and outcome.reason == ORDER_WORKING, outcome)
    else:
        bench.behave(Behavior.SLOW)
        bench.clock.hold()
        await bench.execute(quote, attempt, role=Role.IMPATIENT)
        status = await bench.status(quote, attempt)
        require(isinstance(status, Working), status)
    bench.pass_time(LONG)
    with bench.wire.saying(raw(await _not_found(bench, other))):
        status = await bench.status(quote, attempt)
    # To those who know that the venue has the order, neither of these is proof of anything.
    require(isinstance(status, Absent | Unknown), status)
    bench.clock.release()
    status = await bench.status(quote, attempt)
    require(is_fill(bench, attempt, status), status)


async def _not_found(bench: Bench, quote: LpQuote) -> bytes:
    """Return what the venue says of an order that it never got."""
    await bench.status(quote, bench.an_attempt())
    return bench.wire.heard[-1]


@rule("status-unreachable", "The state of an order at a venue that cannot be reached is unknown.")
async def _(bench: Bench) -> None:
    quote = await bench.a_quote()
    bench.pass_time(LONG)
    status = await bench.status(quote, bench.an_attempt(), role=Role.CUT_OFF)
    require(isinstance(status, Unknown), status)


@rule("status-failures", "Asked for a state, a venue that fails in any way of HTTP proves nothing.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.pass_time(LONG)
    for name, say in FAILURES.items():
        with bench.wire.saying(say):
            status = await asyncio.wait_for(bench.status(quote, attempt), ENOUGH_S)
        require(isinstance(status, Unknown), f"{name}: {status}")


@rule("status-hostile", "No state is made of an answer with anything missing or of a wrong kind.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    await bench.execute(quote, attempt)
    await bench.status(quote, attempt)
    for name, body in spoiled(bench.wire.body):
        with bench.wire.saying(bench.wire.answering(body)):
            status = await bench.status(quote, attempt)
        is_fair = isinstance(status, Unknown | Working) or is_fill(bench, attempt, status)
        require(is_fair, f"{name}: {status}")


@rule("status-echo", "The state of another order, instrument or side is not ours.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    await bench.execute(quote, attempt)
    await bench.status(quote, attempt)
    answers = list(exchanged(bench.wire.body, swaps_for(bench, attempt)))
    require(bool(answers), "the answer repeats nothing")
    for name, body in answers:
        with bench.wire.saying(bench.wire.answering(body)):
            status = await bench.status(quote, attempt)
        require(isinstance(status, Unknown), f"{name}: {status}")


@rule(
    "status-named",
    "A state that names our order says that the venue has it, though the rest is unreadable.",
)
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    await bench.execute(quote, attempt)
    await bench.status(quote, attempt)
    await require_taken(bench, attempt, lambda: bench.status(quote, attempt))


@rule("evidence-storable", "All evidence is there, short and printable.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    said: list[ExecutionOutcome | LpStatus] = [await bench.execute(quote, attempt)]
    said.append(await bench.status(quote, attempt))
    said.append(await bench.status(quote, attempt, role=Role.CUT_OFF))
    said.append(await bench.execute(quote, attempt, role=Role.CUT_OFF))
    said.append(await answered(bench, raw(page(500, b"\x00\n\xff" * 9_000))))
    for each in said:
        is_good = 0 < len(each.evidence) <= MAX_EVIDENCE and each.evidence.isprintable()
        require(is_good, repr(each.evidence))
