"""From what a venue answered to what the port promises; every adapter decides here, in one way.

What is known of an execution decides whether another venue may be asked, so certainty is never
assumed: not sent needs a connection that was never made, rejected needs a verdict from the
adapter's list, and filled needs an answer that names our order; all else is unknown. Where the
answer names our order and yet cannot be read, it is known at least that the venue has it.
"""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import datetime

from adapters.lp.config import LpConfig
from adapters.lp.http import Answer, NoAnswer, NotConnected, evidence
from adapters.lp.reading import UNREADABLE, BadAnswer, NoPrice, misread, of_taken_order
from domain.trade.outcome import (
    ORDER_NOT_FOUND,
    ORDER_WORKING,
    Absent,
    Filled,
    NotSent,
    Rejected,
    Unknown,
)
from ports.liquidity import (
    ExecutionOutcome,
    LpQuote,
    LpQuoteRequest,
    LpRefused,
    LpStatus,
    LpUnavailable,
    Working,
)

UNREACHABLE = "LP_UNREACHABLE"


async def price_from(
    asking: Awaitable[Answer],
    read: Callable[[Answer], LpQuote],
    *,
    lp: str,
    request: LpQuoteRequest,
) -> LpQuote:
    """Return the price in the answer, or raise `LpRefused` or `LpUnavailable`.

    `read` raises `BadAnswer` or `NoPrice`.
    """
    try:
        quote = read(await asking)
        fixed = quote.base if request.is_base else quote.quote
        if fixed != request.fixed:
            raise BadAnswer("LP_CHANGED_AMOUNT", "the fixed side is not what was asked")
        return quote
    except NotConnected as error:
        raise _unavailable(lp, UNREACHABLE) from error
    except (NoAnswer, BadAnswer) as error:
        raise _unavailable(lp, error.reason) from error
    except NoPrice as error:
        raise LpRefused(f"{lp} gives no price: {error.code}", lp=lp, code=error.code) from error
    except Exception as error:
        # An adapter that stumbles must not cost the prices of the others.
        raise _unavailable(lp, UNREADABLE) from error


async def outcome_from(
    sending: Awaitable[Answer], read: Callable[[Answer], Filled | Rejected | Working]
) -> ExecutionOutcome:
    """Return what became of an execution; `read` raises `BadAnswer` for all that is no proof."""
    try:
        answer = await sending
    except NotConnected as error:
        return NotSent(reason=UNREACHABLE, evidence=str(error))
    except NoAnswer as error:
        return Unknown(reason=error.reason, evidence=str(error))
    try:
        with of_taken_order() if answer.is_of_taken_order else nullcontext():
            outcome = read(answer)
    except Exception as error:
        return _not_understood(error, answer)
    if isinstance(outcome, Working):
        return Unknown(reason=ORDER_WORKING, evidence=outcome.evidence)
    return outcome


async def status_from(asking: Awaitable[Answer], read: Callable[[Answer], LpStatus]) -> LpStatus:
    """Return what is said of an order; `read` raises `BadAnswer` for all that is no proof."""
    try:
        answer = await asking
    except NotConnected as error:
        return Unknown(reason=UNREACHABLE, evidence=str(error))
    except NoAnswer as error:
        return Unknown(reason=error.reason, evidence=str(error))
    try:
        return read(answer)
    except Exception as error:
        return _not_understood(error, answer)


def not_found(
    answer: Answer, config: LpConfig, *, venue_time: datetime | None, lp_quote_expires_at: datetime
) -> Absent | Unknown:
    """Judge a "no such order": it proves absence only late enough on the venue's own clock."""
    # What we hold as the expiry is the venue's less the margin.
    conclusive_after = config.quote_safety_margin + config.visibility_window
    if (
        config.status_is_authoritative
        and venue_time is not None
        and venue_time - lp_quote_expires_at > conclusive_after
    ):
        return Absent(evidence=answer.evidence)
    return Unknown(reason=ORDER_NOT_FOUND, evidence=answer.evidence)


def _unavailable(lp: str, cause: str) -> LpUnavailable:
    return LpUnavailable(f"{lp} could not be asked: {cause}", lp=lp, cause=cause)


def _not_understood(error: Exception, answer: Answer) -> Unknown:
    bad = misread(error)
    return Unknown(reason=bad.reason, evidence=evidence(f"{bad}; {answer.evidence}"))
