"""Rules about prices."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from fractions import Fraction
from typing import Final

from adapters.lp.sandbox.behavior import Behavior
from app.certify.bench import NGN, SIZE, Bench, Role
from app.certify.hostile import exchanged, multiplied, spoiled
from app.certify.rules.rule import (
    ENOUGH_S,
    FAILURES,
    SWAPS,
    Broken,
    Rules,
    asked,
    expect_canceled,
    held_prices,
    quote_amounts,
    repeated_questions,
    require,
    stepped_amounts,
    told_prices,
)
from app.certify.wire import raw
from domain.amount import Amount, TooManyDigits
from domain.side import Side
from ports.liquidity import (
    LpRefused,
    LpUnavailable,
)

RULES: Final = Rules()
rule = RULES.rule


@rule("base-kept", "A price for a base amount keeps it to the last digit that the venue trades.")
async def _(bench: Bench) -> None:
    for side in bench.subject.base_sides:
        fixed = SIZE + bench.base_step()
        quote = await bench.lp.request_quote(bench.ask(side, fixed))
        require(quote.base == fixed, quote)


@rule(
    "base-step",
    "A base amount finer than the venue trades is refused as that, and not asked for.",
    stepped_amounts,
)
async def _(bench: Bench) -> None:
    for side in bench.subject.base_sides:
        fixed = SIZE + Amount(SIZE.asset, 1)
        with bench.wire.saying(raw(b"")):
            try:
                raise Broken(str(await bench.lp.request_quote(bench.ask(side, fixed))))
            except LpRefused as refused:
                require(refused.metadata.get("code") == TooManyDigits.reason, refused.metadata)
            except LpUnavailable as error:
                raise Broken(str(error)) from error


@rule("quote-kept", "A price for a quote amount keeps it to the last digit.", quote_amounts)
async def _(bench: Bench) -> None:
    for side in bench.subject.quote_sides:
        fixed = Amount.parse("250000.01", NGN)
        quote = await bench.lp.request_quote(bench.ask(side, fixed))
        require(quote.quote == fixed, quote)


@rule(
    "price-told",
    "A price is the venue's own, or with a margin where none is held; buying costs more.",
)
async def _(bench: Bench) -> None:
    told = {}
    for side in Side:
        quote, (base, market) = await bench.a_quote(side), bench.market(side)
        told[side] = Fraction(quote.quote.units, quote.base.units)
        require(quote.base == base, f"{quote.base} against {base}")
        if bench.subject.is_firm:
            require(quote.quote == market, f"{quote.quote} against {market}")
        else:
            best, worst = sorted((market.units, quote.quote.units))
            is_worse = market < quote.quote if side is Side.BUY else quote.quote < market
            require(is_worse and worst * 100 < best * 101, f"{quote.quote} against {market}")
    require(told[Side.SELL] < told[Side.BUY], told)


@rule(
    "expiry-margin",
    "A price ends a safety margin before the venue says, and not at once.",
    held_prices,
)
async def _(bench: Bench) -> None:
    quote = await bench.a_quote()
    margin = bench.venue_quote().expires_at - quote.expires_at
    require(timedelta(milliseconds=900) <= margin, f"only {margin} before the venue's expiry")
    require(quote.expires_at > bench.clock.now(), "over when it arrives")


@rule("no-price-refused", "A venue that gives no price has refused.")
async def _(bench: Bench) -> None:
    bench.behave(Behavior.REFUSE_QUOTE)
    require(await asked(bench) is LpRefused, "not refused")


@rule("quote-unreachable", "A venue that cannot be reached is unavailable.")
async def _(bench: Bench) -> None:
    require(await asked(bench, Role.CUT_OFF) is LpUnavailable, "not unavailable")


@rule("quote-canceled", "A request for a price can be canceled, and repeated.")
async def _(bench: Bench) -> None:
    bench.behave(Behavior.SLOW)
    bench.clock.hold()
    asking = asyncio.create_task(bench.lp.request_quote(bench.ask()))
    await bench.clock.somebody_sleeps()
    asking.cancel()
    await expect_canceled(asking)
    bench.clock.release()
    bench.behave(Behavior.FILL)
    await bench.a_quote()


@rule(
    "quote-failures",
    "Asked for a price, a venue that fails in any way of HTTP is unavailable.",
)
async def _(bench: Bench) -> None:
    for name, say in FAILURES.items():
        with bench.wire.saying(say):
            found = await asyncio.wait_for(asked(bench), ENOUGH_S)
        require(found is LpUnavailable, f"{name}: {found}")


@rule("quote-hostile", "No price is made of an answer with anything missing or of a wrong kind.")
async def _(bench: Bench) -> None:
    request = bench.ask()
    truth = await bench.lp.request_quote(request)
    for name, body in spoiled(bench.wire.body):
        with bench.wire.saying(bench.wire.answering(body)):
            try:
                told = await bench.lp.request_quote(request)
            except (LpUnavailable, LpRefused):
                continue
        is_same = (told.base, told.quote) == (truth.base, truth.quote)
        require(is_same and told.expires_at <= truth.expires_at, f"{name}: {told}")


@rule("quote-echo", "No price is made of an answer to another question.", repeated_questions)
async def _(bench: Bench) -> None:
    request = bench.ask()
    await bench.lp.request_quote(request)
    answers = list(exchanged(bench.wire.body, SWAPS))
    require(bool(answers), "the answer repeats nothing")
    for name, body in answers:
        with bench.wire.saying(bench.wire.answering(body)), suppress(LpUnavailable):
            raise Broken(f"{name}: {await bench.lp.request_quote(request)}")


@rule("quote-multiplies", "No price is made of amounts that do not multiply by it.", told_prices)
async def _(bench: Bench) -> None:
    request = bench.ask()
    truth = await bench.lp.request_quote(request)
    for name, body in multiplied(bench.wire.body):
        with bench.wire.saying(bench.wire.answering(body)):
            try:
                told = await bench.lp.request_quote(request)
            except (LpUnavailable, LpRefused):
                continue
        require((told.base, told.quote) == (truth.base, truth.quote), f"{name}: {told}")
