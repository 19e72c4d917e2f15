"""Rules about credentials, signatures and clocks."""

from contextlib import suppress
from datetime import timedelta
from typing import Final

from app.certify.bench import Bench, Role
from app.certify.rules.rule import (
    Rules,
    asked,
    dated_calls,
    require,
    signed_calls,
)
from app.certify.wire import echo_head
from domain.trade.outcome import Unknown
from ports.liquidity import (
    LpQuote,
    LpUnavailable,
)

RULES: Final = Rules()
rule = RULES.rule


@rule(
    "wrong-secret", "With a wrong secret nothing is priced, and no verdict follows.", signed_calls
)
async def _(bench: Bench) -> None:
    require(await asked(bench, Role.STRANGER) is LpUnavailable, "not unavailable")
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    outcome = await bench.execute(quote, attempt, role=Role.STRANGER)
    require(isinstance(outcome, Unknown), outcome)
    status = await bench.status(quote, attempt, role=Role.STRANGER)
    require(isinstance(status, Unknown), status)


@rule("clock-followed", "A clock that is off is set right by the venue's own answer.", dated_calls)
async def _(bench: Bench) -> None:
    for skew in (timedelta(minutes=2), timedelta(minutes=-2)):
        bench.venue.clock.skew = skew
        with suppress(LpUnavailable):
            await bench.a_quote()
        require(await asked(bench) is LpQuote, f"{skew} off, and no price at the second try")


@rule("clock-bounded", "A venue whose clock is absurd is not followed.", dated_calls)
async def _(bench: Bench) -> None:
    bench.venue.clock.skew = timedelta(days=400)
    await asked(bench)
    bench.venue.clock.skew = timedelta()
    require(
        await asked(bench) is LpQuote, "no price from a venue whose clock was wrong for a while"
    )


@rule(
    "secrets-hidden",
    "No evidence shows a credential, not even one that was sent back.",
    signed_calls,
)
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    with bench.wire.saying(echo_head):
        outcome = await bench.execute(quote, attempt)
        status = await bench.status(quote, attempt)
    for each in (outcome, status):
        shown = [secret for secret in bench.subject.secrets if secret in repr(each)]
        require(not shown, each)
    shown = [secret for secret in bench.subject.secrets if secret in repr(vars(bench.lp))]
    require(not shown, "the provider shows its own credentials")
