"""What a rule is, and what rules are written with."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from adapters.lp.sandbox.behavior import Behavior
from app.certify.bench import BTC_NGN, Bench, Role
from app.certify.hostile import uncounted
from app.certify.subject import Subject
from app.certify.wire import Say, flood, page, raw
from domain.ids import AttemptId
from domain.side import Side
from domain.trade.outcome import ORDER_WORKING, Filled, Unknown
from ports.liquidity import (
    ExecutionOutcome,
    LpRefused,
    LpStatus,
    LpUnavailable,
)

ENOUGH_S: Final = 10
"""Longer than any call may take at a bench, whose calls to a hanging venue are cut off early."""

LONG: Final = timedelta(hours=1)
TICK: Final = timedelta(seconds=1)

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


def nothing(subject: Subject) -> str:
    return ""


def signed_calls(subject: Subject) -> str:
    return "" if subject.secrets else "its calls are not signed"


def dated_calls(subject: Subject) -> str:
    is_dated = subject.secrets and subject.dates_calls
    return "" if is_dated else "its calls do not say when they were made"


def told_prices(subject: Subject) -> str:
    return "" if subject.tells_price else "its answers tell no price beside the amounts"


def held_prices(subject: Subject) -> str:
    return "" if subject.is_firm else "the venue holds no prices"


def quote_amounts(subject: Subject) -> str:
    return "" if subject.quote_sides else "it prices no quote amounts"


def loose_prices(subject: Subject) -> str:
    return "the venue holds its prices" if subject.is_firm else ""


def repeated_questions(subject: Subject) -> str:
    return "" if subject.repeats_question else "its prices do not say what they are prices of"


def listed_executions(subject: Subject) -> str:
    return "" if subject.list_by else "its venue's listing is certified under another name"


def signed_listings(subject: Subject) -> str:
    return listed_executions(subject) or signed_calls(subject)


def priced_listings(subject: Subject) -> str:
    return listed_executions(subject) or told_prices(subject)


def taken_orders(subject: Subject) -> str:
    is_told = subject.acknowledges or subject.tells_working
    return "" if is_told else "what it says of an order is what became of it, or nothing"


def stepped_amounts(subject: Subject) -> str:
    return "" if subject.has_step else "it trades amounts to the last digit of the asset"


class Rules:
    """The rules of one module, in the order in which they are written."""

    def __init__(self) -> None:
        self.listed: list[Rule] = []

    def rule(
        self, id: str, sentence: str, needs: Callable[[Subject], str] = nothing
    ) -> Callable[[Check], Check]:
        """List what is decorated; `needs` is `Rule.beside`."""

        def register(check: Check) -> Check:
            self.listed.append(Rule(id, sentence, check, needs))
            return check

        return register


def require(holds: bool, found: object) -> None:
    if not holds:
        raise Broken(str(found)[:300])


def late(answer: bytes) -> bytes:
    """Date an answer long after all that happens at a bench: no absence is too hasty by then."""
    return answer.replace(b"\r\n", b"\r\nDate: Fri, 01 Jan 2038 00:00:00 GMT\r\n", 1)


FAILURES: Final[dict[str, Say]] = {
    "nothing": raw(b""),
    "half a status line": raw(b"HTTP/1.1 20"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "half a body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{"),
    "a web page": raw(page(200)),
    "HTTP 404": raw(page(404)),
    "HTTP 404 of a gateway": raw(
        late(page(404, b'{"message": "no Route matched with those values"}'))
    ),
    "HTTP 404 that repeats itself": raw(late(page(404, b'{"code": 404, "message": "Not Found"}'))),
    "HTTP 429": raw(page(429)),
    "HTTP 500": raw(page(500)),
    "HTTP 503": raw(page(503)),
    "a flood": flood,
}

SWAPS: Final = {
    BTC_NGN.base.code + BTC_NGN.quote.code: "ETHNGN",
    f"{BTC_NGN.base.code}{BTC_NGN.quote.code}.SPOT": "ETHNGN.SPOT",
    BTC_NGN.base.code: "ETH",
    BTC_NGN.quote.code: "KES",
    Side.BUY.value: Side.SELL.value,
}


def swaps_for(bench: Bench, attempt: AttemptId) -> dict[str, str]:
    return {**SWAPS, bench.key_of(attempt): bench.key_of(bench.an_attempt())}


async def asked(bench: Bench, role: Role = Role.USUAL) -> type:
    """Ask for a price, and return what kind of answer came."""
    try:
        return type(await bench.as_(role).request_quote(bench.ask()))
    except (LpRefused, LpUnavailable) as error:
        return type(error)


async def misbehaved(bench: Bench, behavior: Behavior, executed: int) -> ExecutionOutcome:
    """Execute at a venue that misbehaves, and see that it did."""
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    bench.behave(behavior)
    outcome = await bench.execute(quote, attempt)
    assert len(bench.executions(attempt)) == executed
    return outcome


async def answered(bench: Bench, say: Say, *, role: Role = Role.USUAL) -> ExecutionOutcome:
    quote, attempt = await bench.a_quote(), bench.an_attempt()
    with bench.wire.saying(say):
        return await asyncio.wait_for(bench.execute(quote, attempt, role=role), ENOUGH_S)


async def expect_canceled(task: "asyncio.Task[object]") -> None:
    try:
        found = await asyncio.wait_for(asyncio.shield(task), ENOUGH_S)
    except asyncio.CancelledError:
        return
    except Exception as error:
        raise Broken(f"ended with {error!r}") from error
    raise Broken(f"ended with {found}")


def is_fill(bench: Bench, attempt: AttemptId, said: object) -> bool:
    """Say whether that is what the venue booked for the attempt."""
    booked = bench.executions(attempt)
    if not isinstance(said, Filled) or not booked:
        return False
    order = booked[0].order
    return (said.base, said.quote) == (order.base, order.quote)


async def require_taken(
    bench: Bench, attempt: AttemptId, ask: Callable[[], Awaitable[ExecutionOutcome | LpStatus]]
) -> None:
    """Spoil the amounts of the venue's latest answer, which names the order of the attempt."""
    (booked,) = bench.executions(attempt)
    answers = list(uncounted(bench.wire.body, booked.order.base))
    require(bool(answers), "the answer tells no amount")
    for name, body in answers:
        with bench.wire.saying(bench.wire.answering(body)):
            said = await ask()
        is_known = isinstance(said, Unknown) and said.reason == ORDER_WORKING
        require(is_known or is_fill(bench, attempt, said), f"{name}: {said}")


def id_of(said: object) -> str:
    return said.venue_order_id if isinstance(said, Filled) else ""
