"""The rules that every adapter keeps; each is one promise of `ports/liquidity.py`.

A rule asks the adapter and compares its answer with what the venue really did. It looks at one
promise only, so that an adapter that breaks one fails one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from adapters.lp.http import MAX_EVIDENCE
from adapters.lp.sandbox.behavior import Behavior
from app.certify.bench import BTC_NGN, NGN, SIZE, Bench, Role
from app.certify.hostile import exchanged, multiplied, spoiled
from app.certify.subject import Subject
from app.certify.wire import Say, drip, echo_head, flood, page, raw
from domain.amount import Amount
from domain.ids import AttemptId
from domain.side import Side
from domain.trade.outcome import ORDER_NOT_FOUND, Absent, Filled, NotSent, Rejected, Unknown
from ports.liquidity import (
    ExecutionOutcome,
    LpQuote,
    LpRefused,
    LpStatus,
    LpUnavailable,
    Working,
)

ENOUGH_S: Final = 10
"""Longer than any call may take at a bench, whose calls to a hanging venue are cut off early."""

LONG: Final = timedelta(hours=1)
_TICK: Final = timedelta(seconds=1)

Check = Callable[[Bench], Awaitable[None]]


class Broken(Exception):
    """The adapter does not keep the rule; the text says what it did instead."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Attributes:
    check: raises `Broken`.
    beside: returns why a subject has nothing that the rule could be about, or nothing.
    """

    id: str
    sentence: str
    check: Check
    beside: Callable[[Subject], str]


def always(subject: Subject) -> str:
    return ""


def unsigned(subject: Subject) -> str:
    return "" if subject.secrets else "its calls are not signed"


def unpriced(subject: Subject) -> str:
    return "" if subject.tells_price else "its answers tell no price beside the amounts"


def loose(subject: Subject) -> str:
    return "" if subject.is_firm else "the venue holds no prices, and none for a quote amount"


def silent(subject: Subject) -> str:
    return "" if subject.repeats_question else "its prices do not say what they are prices of"


def firm(subject: Subject) -> str:
    return "the venue holds its prices" if subject.is_firm else ""


_RULES: Final[list[Rule]] = []


def rule(
    id: str, sentence: str, beside: Callable[[Subject], str] = always
) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        _RULES.append(Rule(id, sentence, check, beside))
        return check

    return register


def require(holds: bool, found: object) -> None:
    if not holds:
        raise Broken(str(found)[:300])


# Prices


@rule("base-kept", "A price for a base amount keeps it to the last digit, on both sides.")
async def _(bench: Bench) -> None:
    for side in Side:
        fixed = Amount(SIZE.asset, SIZE.units + 1)
        quote = await bench.lp.request_quote(bench.ask(side, fixed))
        require(quote.base == fixed, quote)


@rule("quote-kept", "A price for a quote amount keeps it to the last digit, on both sides.", loose)
async def _(bench: Bench) -> None:
    for side in Side:
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
        quote, market = await bench.a_quote(side), bench.market(side)
        told[side] = quote.quote
        if bench.subject.is_firm:
            require(quote.quote == market, f"{quote.quote} against {market}")
        else:
            best, worst = sorted((market.units, quote.quote.units))
            is_worse = market < quote.quote if side is Side.BUY else quote.quote < market
            require(is_worse and worst * 100 < best * 101, f"{quote.quote} against {market}")
    require(told[Side.SELL] < told[Side.BUY], told)


@rule(
    "expiry-margin", "A price ends a safety margin before the venue says, and not at once.", loose
)
async def _(bench: Bench) -> None:
    quote = await bench.a_quote()
    margin = bench.venue_quote().expires_at - quote.expires_at
    require(timedelta(milliseconds=900) <= margin, f"only {margin} before the venue's expiry")
    require(quote.expires_at > bench.clock.now(), "over when it arrives")


@rule("no-price-refused", "A venue that gives no price has refused.")
async def _(bench: Bench) -> None:
    bench.behave(Behavior.REFUSE_QUOTE)
    require(await _asked(bench) is LpRefused, "not refused")


@rule("quote-unreachable", "A venue that cannot be reached is unavailable.")
async def _(bench: Bench) -> None:
    require(await _asked(bench, Role.CUT_OFF) is LpUnavailable, "not unavailable")


@rule("quote-canceled", "A request for a price can be canceled, and repeated.")
async def _(bench: Bench) -> None:
    bench.behave(Behavior.SLOW)
    bench.clock.hold()
    asking = asyncio.create_task(bench.lp.request_quote(bench.ask()))
    await bench.clock.somebody_sleeps()
    asking.cancel()
    await _expect_canceled(asking)
    bench.clock.release()
    bench.behave(Behavior.FILL)
    await bench.a_quote()


@rule(
    "quote-failures",
    "Asked for a price, a venue that fails in any way of HTTP is unavailable.",
)
async def _(bench: Bench) -> None:
    for name, say in _FAILURES.items():
        with bench.wire.saying(say):
            found = await asyncio.wait_for(_asked(bench), ENOUGH_S)
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


@rule("quote-echo", "No price is made of an answer to another question.", silent)
async def _(bench: Bench) -> None:
    request = bench.ask()
    await bench.lp.request_quote(request)
    answers = list(exchanged(bench.wire.body, _SWAPS))
    require(bool(answers), "the answer repeats nothing")
    for name, body in answers:
        with bench.wire.saying(bench.wire.answering(body)), suppress(LpUnavailable):
            raise Broken(f"{name}: {await bench.lp.request_quote(request)}")


@rule("quote-multiplies", "No price is made of amounts that do not multiply by it.", unpriced)
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


# Signatures and clocks


@rule("wrong-secret", "With a wrong secret nothing is priced, and no verdict follows.", unsigned)
async def _(bench: Bench) -> None:
    require(await _asked(bench, Role.STRANGER) is LpUnavailable, "not unavailable")
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    outcome = await bench.execute(quote, attempt, role=Role.STRANGER)
    require(isinstance(outcome, Unknown), outcome)
    status = await bench.status(quote, attempt, role=Role.STRANGER)
    require(isinstance(status, Unknown), status)


@rule("clock-followed", "A clock that is off is set right by the venue's own answer.", unsigned)
async def _(bench: Bench) -> None:
    for skew in (timedelta(minutes=2), timedelta(minutes=-2)):
        bench.venue.clock.skew = skew
        with suppress(LpUnavailable):
            await bench.a_quote()
        require(await _asked(bench) is LpQuote, f"{skew} off, and no price at the second try")


@rule("clock-bounded", "A venue whose clock is absurd is not followed.", unsigned)
async def _(bench: Bench) -> None:
    bench.venue.clock.skew = timedelta(days=400)
    await _asked(bench)
    bench.venue.clock.skew = timedelta()
    require(
        await _asked(bench) is LpQuote, "no price from a venue whose clock was wrong for a while"
    )


@rule(
    "secrets-hidden", "No evidence shows a credential, not even one that was sent back.", unsigned
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


# Executions


@rule("fill-told", "A fill is told with the amounts that the venue booked, on both sides.")
async def _(bench: Bench) -> None:
    for side in Side:
        quote, attempt = await bench.a_quote(side), bench.an_attempt()
        outcome = await bench.execute(quote, attempt, side)
        require(_is_fill(bench, attempt, outcome), outcome)


@rule("fill-of-quote-amount", "A price for a quote amount is executed for that amount.", loose)
async def _(bench: Bench) -> None:
    fixed = Amount.parse("250000.10", NGN)
    quote = await bench.lp.request_quote(bench.ask(Side.BUY, fixed))
    attempt = bench.an_attempt()
    outcome = await bench.execute(quote, attempt)
    require(_is_fill(bench, attempt, outcome), outcome)
    require(bench.executions(attempt)[0].order.quote == fixed, outcome)


@rule("other-price-told", "A fill at another price than quoted is told as it was.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.OTHER_PRICE)
    outcome = await bench.execute(quote, attempt)
    require(_is_fill(bench, attempt, outcome), outcome)


@rule("limit-kept", "Where no price is held, an order fills at the price told or better.", firm)
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


@rule("expired-told", "An order on an expired quote is rejected, where a verdict says so.", loose)
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.pass_until(bench.venue_quote().expires_at + _TICK)
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
        outcome = await _misbehaved(bench, behavior, executed)
        require(isinstance(outcome, Unknown), outcome)


@rule("short-answer-unknown", "An answer that is cut short proves nothing.")
async def _(bench: Bench) -> None:
    outcome = await _misbehaved(bench, Behavior.SHORT_BODY, 1)
    require(isinstance(outcome, Unknown), outcome)


@rule("web-page-unknown", "A web page proves nothing, though it comes with HTTP 200.")
async def _(bench: Bench) -> None:
    outcome = await _misbehaved(bench, Behavior.GARBAGE, 1)
    require(isinstance(outcome, Unknown), outcome)


@rule("server-error-unknown", "HTTP 500 and 503 prove nothing.")
async def _(bench: Bench) -> None:
    for behavior, executed in ((Behavior.SERVER_ERROR, 1), (Behavior.UNAVAILABLE, 0)):
        outcome = await _misbehaved(bench, behavior, executed)
        require(isinstance(outcome, Unknown), outcome)


@rule("overload-unknown", "HTTP 429 proves nothing.")
async def _(bench: Bench) -> None:
    outcome = await _misbehaved(bench, Behavior.OVERLOADED, 0)
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
    outcome = await _answered(bench, drip, role=Role.IMPATIENT)
    require(isinstance(outcome, Unknown), outcome)


@rule("flood-bounded", "A gigantic answer is not read to its end, and proves nothing.")
async def _(bench: Bench) -> None:
    outcome = await _answered(bench, flood)
    require(isinstance(outcome, Unknown), outcome)


@rule("redirect-unknown", "A redirect is not followed, and proves nothing.")
async def _(bench: Bench) -> None:
    elsewhere = (
        b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    )
    outcome = await _answered(bench, raw(elsewhere))
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
        is_fair = isinstance(outcome, Unknown) or _is_fill(bench, attempt, outcome)
        require(is_fair, f"{name}: {outcome}")


@rule("execution-echo", "A fill of another order, instrument or side is not ours.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    await bench.execute(quote, attempt)
    answers = list(exchanged(bench.wire.body, _swaps(bench, attempt)))
    require(bool(answers), "the answer repeats nothing")
    for name, body in answers:
        with bench.wire.saying(bench.wire.answering(body)):
            outcome = await bench.execute(quote, attempt)
        require(isinstance(outcome, Unknown), f"{name}: {outcome}")


@rule(
    "execution-multiplies", "A fill whose amounts do not multiply by its price is none.", unpriced
)
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    await bench.execute(quote, attempt)
    for name, body in multiplied(bench.wire.body):
        with bench.wire.saying(bench.wire.answering(body)):
            outcome = await bench.execute(quote, attempt)
        is_fair = isinstance(outcome, Unknown) or _is_fill(bench, attempt, outcome)
        require(is_fair, f"{name}: {outcome}")


@rule("execution-canceled", "An execution can be canceled by its caller.")
async def _(bench: Bench) -> None:
    quote = await bench.a_quote()
    bench.behave(Behavior.SLOW)
    bench.clock.hold()
    executing = asyncio.create_task(bench.execute(quote, bench.an_attempt()))
    await bench.clock.somebody_sleeps()
    executing.cancel()
    await _expect_canceled(executing)


@rule("deduplication", "An order sent twice is executed once if the adapter declares that it is.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    first = await bench.execute(quote, attempt)
    second = await bench.execute(quote, attempt)
    if bench.capabilities.deduplicates_client_order_id:
        require(len(bench.executions(attempt)) == 1, "executed twice")
        require(isinstance(second, Filled), f"not answered with the first one: {second}")
        require(_id_of(first) == _id_of(second), second)


# States of orders


@rule("status-told", "The state of a fill is that fill, on both sides.")
async def _(bench: Bench) -> None:
    for side in Side:
        quote, attempt = await bench.a_quote(side), bench.an_attempt()
        outcome = await bench.execute(quote, attempt, side)
        status = await bench.status(quote, attempt, side)
        require(_is_fill(bench, attempt, status), status)
        require(_id_of(status) == _id_of(outcome), f"{_id_of(status)} after {_id_of(outcome)}")


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
        require(_is_fill(bench, attempt, status), f"{lapse} later: {status}")


@rule("hidden-fill-waited-for", "A fill that does not show at first is not absent, and then found.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.LATE_FILL)
    await bench.execute(quote, attempt)
    status = await bench.status(quote, attempt)
    require(isinstance(status, Unknown) and status.reason == ORDER_NOT_FOUND, status)
    bench.pass_time(timedelta(seconds=10))
    status = await bench.status(quote, attempt)
    require(_is_fill(bench, attempt, status), status)


@rule("absence-not-hasty", "A lost order stays unknown while it may still show up.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(Behavior.CUT_BEFORE_FILL)
    await bench.execute(quote, attempt)
    over = bench.expiry_of(quote)
    ends = over + bench.capabilities.visibility_window
    for at in (bench.venue.clock.now(), over, ends - _TICK):
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
    for name, say in _FAILURES.items():
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
        is_fair = isinstance(status, Unknown | Working) or _is_fill(bench, attempt, status)
        require(is_fair, f"{name}: {status}")


@rule("status-echo", "The state of another order, instrument or side is not ours.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    await bench.execute(quote, attempt)
    await bench.status(quote, attempt)
    answers = list(exchanged(bench.wire.body, _swaps(bench, attempt)))
    require(bool(answers), "the answer repeats nothing")
    for name, body in answers:
        with bench.wire.saying(bench.wire.answering(body)):
            status = await bench.status(quote, attempt)
        require(isinstance(status, Unknown), f"{name}: {status}")


@rule("evidence-storable", "All evidence is there, short and printable.")
async def _(bench: Bench) -> None:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    said: list[ExecutionOutcome | LpStatus] = [await bench.execute(quote, attempt)]
    said.append(await bench.status(quote, attempt))
    said.append(await bench.status(quote, attempt, role=Role.CUT_OFF))
    said.append(await bench.execute(quote, attempt, role=Role.CUT_OFF))
    said.append(await _answered(bench, raw(page(500, b"\x00\n\xff" * 9_000))))
    for each in said:
        is_good = 0 < len(each.evidence) <= MAX_EVIDENCE and each.evidence.isprintable()
        require(is_good, repr(each.evidence))


RULES: Final = tuple(_RULES)

_FAILURES: Final[dict[str, Say]] = {
    "nothing": raw(b""),
    "half a status line": raw(b"HTTP/1.1 20"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "half a body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{"),
    "a web page": raw(page(200)),
    "HTTP 404": raw(page(404)),
    "HTTP 429": raw(page(429)),
    "HTTP 500": raw(page(500)),
    "HTTP 503": raw(page(503)),
    "a flood": flood,
}

_SWAPS: Final = {
    BTC_NGN.base.code + BTC_NGN.quote.code: "ETHNGN",
    BTC_NGN.base.code: "ETH",
    BTC_NGN.quote.code: "KES",
    Side.BUY.value: Side.SELL.value,
}


def _swaps(bench: Bench, attempt: AttemptId) -> dict[str, str]:
    return {**_SWAPS, bench.key_of(attempt): bench.key_of(bench.an_attempt())}


async def _asked(bench: Bench, role: Role = Role.USUAL) -> type:
    """Ask for a price, and return what kind of answer came."""
    try:
        return type(await bench.as_(role).request_quote(bench.ask()))
    except (LpRefused, LpUnavailable) as error:
        return type(error)


async def _misbehaved(bench: Bench, behavior: Behavior, executed: int) -> ExecutionOutcome:
    """Execute at a venue that misbehaves, and see that it did."""
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(behavior)
    outcome = await bench.execute(quote, attempt)
    assert len(bench.executions(attempt)) == executed
    return outcome


async def _answered(bench: Bench, say: Say, *, role: Role = Role.USUAL) -> ExecutionOutcome:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    with bench.wire.saying(say):
        return await asyncio.wait_for(bench.execute(quote, attempt, role=role), ENOUGH_S)


async def _expect_canceled(task: "asyncio.Task[object]") -> None:
    try:
        found = await asyncio.wait_for(asyncio.shield(task), ENOUGH_S)
    except asyncio.CancelledError:
        return
    except Exception as error:
        raise Broken(f"ended with {error!r}") from error
    raise Broken(f"ended with {found}")


def _is_fill(bench: Bench, attempt: AttemptId, said: object) -> bool:
    """Say whether that is what the venue booked for the attempt."""
    booked = bench.executions(attempt)
    if not isinstance(said, Filled) or not booked:
        return False
    order = booked[0].order
    return (said.base, said.quote) == (order.base, order.quote)


def _id_of(said: object) -> str:
    return said.venue_order_id if isinstance(said, Filled) else ""
