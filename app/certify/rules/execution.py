"""Rules about executions."""

import asyncio
from typing import Final

from adapters.lp.sandbox.behavior import Behavior
from app.certify.bench import NGN, Bench, Role
from app.certify.hostile import exchanged, multiplied, spoiled
from app.certify.rules.rule import (
    ENOUGH_S,
    TICK,
    Rules,
    answered,
    expect_canceled,
    held_prices,
    id_of,
    is_fill,
    loose_prices,
    misbehaved,
    quote_amounts,
    require,
    require_taken,
    swaps_for,
    told_prices,
)
from app.certify.wire import drip, flood, raw
from domain.amount import Amount
from domain.side import Side
from domain.trade.outcome import Filled, NotSent, Rejected, Unknown

RULES: Final = Rules()
rule = RULES.rule


@rule("fill-told", "A fill is told with the amounts that the venue booked, on both sides.")
async def _(bench: Bench) -> None:
    for side in Side:
        quote, attempt = await bench.a_quote(side), bench.an_attempt()
        outcome = await bench.execute(quote, attempt, side)
        require(is_fill(bench, attempt, outcome), outcome)


@rule(
    "fill-of-quote-amount",
    "A price for a quote amount is executed for that amount.",
    quote_amounts,
)
async def _(bench: Bench) -> None:
    fixed = Amount.parse("250000.10", NGN)
    side = bench.subject.quote_sides[0]
    quote = await bench.lp.request_quote(bench.ask(side, fixed))
    attempt = bench.an_attempt()
    outcome = await bench.execute(quote, attempt, side)
    require(is_fill(bench, attempt, outcome), outcome)
    require(bench.executions(attempt)[0].order.quote == fixed, outcome)


@rule("other-price-told", "A fill at another price than quoted is told as it was.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.OTHER_PRICE)
    outcome = await bench.execute(quote, attempt)
    require(is_fill(bench, attempt, outcome), outcome)


@rule(
    "limit-kept",
    "Where no price is held, an order fills at the price told or better.",
    loose_prices,
)
async def _(bench: Bench) -> None:
    for behavior in (Behavior.OTHER_PRICE, Behavior.OTHER_PRICE_FAR):
        for side in Side:
            quote, attempt = await bench.a_quote(side), bench.an_attempt()
            bench.behave(behavior)
            await bench.execute(quote, attempt, side)
            for booked in bench.executions(attempt):
                filled = booked.order.quote
                is_worse = quote.quote < filled if side is Side.BUY else filled < quote.quote
                require(not is_worse, f"{filled} against {quote.quote} as told")


@rule("rejection-told", "A rejected order is told as rejected, where a verdict says so.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.REJECT)
    outcome = await bench.execute(quote, attempt)
    if bench.subject.tells_rejection:
        require(isinstance(outcome, Rejected) and not outcome.lp_quote_expired, outcome)
    else:
        require(isinstance(outcome, Unknown), outcome)
    require(not bench.executions(attempt), "the venue executed it")


@rule("other-code-unknown", "A refusal with a code that is on no list is no verdict.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.HALTED)
    outcome = await bench.execute(quote, attempt)
    require(isinstance(outcome, Unknown), outcome)


@rule(
    "expired-told",
    "An order on an expired quote is rejected, where a verdict says so.",
    held_prices,
)
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.pass_until(bench.venue_quote().expires_at + TICK)
    outcome = await bench.execute(quote, attempt)
    if bench.subject.tells_expiry:
        require(isinstance(outcome, Rejected) and outcome.lp_quote_expired, outcome)
    else:
        require(isinstance(outcome, Unknown), outcome)
    require(not bench.executions(attempt), "the venue executed it")


@rule("not-sent", "An order that could not be sent is not sent.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    outcome = await bench.execute(quote, attempt, role=Role.CUT_OFF)
    require(isinstance(outcome, NotSent), outcome)


@rule(
    "lost-answer-unknown",
    "A lost connection proves nothing, whether the order was executed or not.",
)
async def _(bench: Bench) -> None:
    for behavior, executed in ((Behavior.CUT_AFTER_FILL, 1), (Behavior.CUT_BEFORE_FILL, 0)):
        outcome = await misbehaved(bench, behavior, executed)
        require(isinstance(outcome, Unknown), outcome)


@rule("short-answer-unknown", "An answer that is cut short proves nothing.")
async def _(bench: Bench) -> None:
    outcome = await misbehaved(bench, Behavior.SHORT_BODY, 1)
    require(isinstance(outcome, Unknown), outcome)


@rule("web-page-unknown", "A web page proves nothing, though it comes with HTTP 200.")
async def _(bench: Bench) -> None:
    outcome = await misbehaved(bench, Behavior.GARBAGE, 1)
    require(isinstance(outcome, Unknown), outcome)


@rule("server-error-unknown", "HTTP 500 and 503 prove nothing.")
async def _(bench: Bench) -> None:
    for behavior, executed in ((Behavior.SERVER_ERROR, 1), (Behavior.UNAVAILABLE, 0)):
        outcome = await misbehaved(bench, behavior, executed)
        require(isinstance(outcome, Unknown), outcome)


@rule("overload-unknown", "HTTP 429 proves nothing.")
async def _(bench: Bench) -> None:
    outcome = await misbehaved(bench, Behavior.OVERLOADED, 0)
    require(isinstance(outcome, Unknown), outcome)


@rule("late-answer-unknown", "An order that is not answered in time is unknown.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.SLOW)
    bench.clock.hold()
    outcome = await asyncio.wait_for(bench.execute(quote, attempt, role=Role.IMPATIENT), ENOUGH_S)
    require(isinstance(outcome, Unknown), outcome)


@rule("drip-bounded", "An answer that drips is cut off in time, and proves nothing.")
async def _(bench: Bench) -> None:
    outcome = await answered(bench, drip, role=Role.IMPATIENT)
    require(isinstance(outcome, Unknown), outcome)


@rule("flood-bounded", "A gigantic answer is not read to its end, and proves nothing.")
async def _(bench: Bench) -> None:
    outcome = await answered(bench, flood)
    require(isinstance(outcome, Unknown), outcome)


@rule("redirect-unknown", "A redirect is not followed, and proves nothing.")
async def _(bench: Bench) -> None:
    elsewhere = (
        b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    )
    outcome = await answered(bench, raw(elsewhere))
    require(isinstance(outcome, Unknown), outcome)


@rule(
    "execution-hostile", "No outcome is made of an answer with anything missing or of a wrong kind."
)
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    await bench.execute(quote, attempt)
    for name, body in spoiled(bench.wire.body):
        with bench.wire.saying(bench.wire.answering(body)):
            outcome = await bench.execute(quote, attempt)
        is_fair = isinstance(outcome, Unknown) or is_fill(bench, attempt, outcome)
        require(is_fair, f"{name}: {outcome}")


@rule("execution-echo", "A fill of another order, instrument or side is not ours.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    await bench.execute(quote, attempt)
    answers = list(exchanged(bench.wire.body, swaps_for(bench, attempt)))
    require(bool(answers), "the answer repeats nothing")
    for name, body in answers:
        with bench.wire.saying(bench.wire.answering(body)):
            outcome = await bench.execute(quote, attempt)
        require(isinstance(outcome, Unknown), f"{name}: {outcome}")


@rule(
    "execution-named",
    "An answer that names our order says that the venue has it, though the rest is unreadable.",
)
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    await bench.execute(quote, attempt)
    await require_taken(bench, attempt, lambda: bench.execute(quote, attempt))


@rule(
    "execution-multiplies",
    "A fill whose amounts do not multiply by its price is none.",
    told_prices,
)
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    await bench.execute(quote, attempt)
    for name, body in multiplied(bench.wire.body):
        with bench.wire.saying(bench.wire.answering(body)):
            outcome = await bench.execute(quote, attempt)
        is_fair = isinstance(outcome, Unknown) or is_fill(bench, attempt, outcome)
        require(is_fair, f"{name}: {outcome}")


@rule("execution-canceled", "An execution can be canceled by its caller.")
async def _(bench: Bench) -> None:
    quote = await bench.a_quote()
    bench.behave(Behavior.SLOW)
    bench.clock.hold()
    executing = asyncio.create_task(bench.execute(quote, bench.an_attempt()))
    await bench.clock.somebody_sleeps()
    executing.cancel()
    await expect_canceled(executing)


@rule("deduplication", "An order sent twice is executed once if the adapter declares that it is.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    first = await bench.execute(quote, attempt)
    second = await bench.execute(quote, attempt)
    if bench.capabilities.deduplicates_client_order_id:
        require(len(bench.executions(attempt)) == 1, "executed twice")
        require(isinstance(second, Filled), f"not answered with the first one: {second}")
        require(id_of(first) == id_of(second), second)
