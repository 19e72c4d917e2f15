"""Evidence of best execution: what was known when an LP was chosen, and all that came of it.

It answers what a firm must be able to show of an order (Directive 2014/65/EU, article 27(8)), and
compares the price that was used with the others of the same ask (Delegated Regulation (EU)
2017/565, article 64(4)).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain.amount import Amount
from domain.canonical import canonical_json, instant_text
from domain.price import Price
from domain.routing import RoutingRule
from domain.side import Side
from domain.trade.attempt import Attempt
from domain.trade.fairness import better_bps, median
from domain.trade.trade import TERMINAL, Trade, Transition

TYPE: Final = "reli.evidence.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of asking one LP.

    Attributes:
        verdict, reason: as kept with the quote.
        reference: the LP's own quote id.
        base, quote: its all-in amounts, if it answered.
        is_usable: whether it was a price that could have been used.
    """

    lp: str
    verdict: str
    latency_ms: int
    reference: str
    base: Amount | None
    quote: Amount | None
    expires_at: datetime | None
    reason: str
    score: int | None
    is_usable: bool

    @property
    def price(self) -> Price | None:
        if self.base is None or self.quote is None:
            return None
        is_price = self.base.is_positive and self.quote.is_positive
        return Price.of(self.base, self.quote) if is_price else None


class Ask(NamedTuple):
    """The one ask that a quote came from.

    Attributes:
        lp_reference: the id of the LP's quote that was priced.
        answers: of every LP, the used one first.
    """

    rule: RoutingRule
    lp_reference: str
    answered_at: datetime
    expires_at: datetime
    answers: Sequence[Answer]


class RecordedStep(NamedTuple):
    """A step as it was stored; it led to that version of its trade."""

    step: Transition
    version: int
    recorded_at: datetime


def evidence_of(trade: Trade, ask: Ask, steps: Sequence[RecordedStep]) -> bytes:
    """Return the evidence as canonical JSON (RFC 8785), up to the trade's end or as far as it is.

    What an LP turns out to have executed after the end is the house's and a break, and so the
    evidence of a trade that ended never changes.
    """
    prices = [one.price for one in ask.answers if one.is_usable and one.price is not None]
    middle = median(prices) if prices else None
    return canonical_json(
        {
            "type": TYPE,
            "tenant_id": str(trade.tenant_id),
            "trade_id": str(trade.id),
            "quote_id": str(trade.quote_id),
            "instrument": trade.instrument.code,
            "side": trade.side,
            "answered_at": instant_text(ask.answered_at),
            "expires_at": instant_text(ask.expires_at),
            "accepted_at": instant_text(trade.accepted_at),
            "ended_at": _instant(trade.ended_at),
            "state": trade.public_state,
            "base": amount_value(trade.base_amount),
            "waterfall": {
                "lp": amount_value(trade.waterfall.lp),
                "fee": amount_value(trade.waterfall.fee),
                "markup": amount_value(trade.waterfall.markup),
                "total": amount_value(trade.waterfall.total),
            },
            "rule": ask.rule,
            "answers": [_answer(trade.side, one, middle) for one in ask.answers],
            "median": None if middle is None else _median(middle, len(prices)),
            "tolerance_bps": trade.tolerance_bps,
            "attempts": [_attempt(trade, ask, one) for one in trade.attempts],
            "steps": [_step(one) for one in _until_the_end(trade, steps)],
        }
    )


def amount_value(amount: Amount) -> Mapping[str, str]:
    """Return an amount as it stands in what is signed."""
    return {"asset": amount.asset.code, "value": amount.value}


def _answer(side: Side, answer: Answer, middle: Price | None) -> Mapping[str, Any]:
    price = answer.price
    better = None
    if answer.is_usable and price is not None and middle is not None:
        better = better_bps(side, price, middle)
    return {
        "lp": answer.lp,
        "verdict": answer.verdict,
        "latency_ms": answer.latency_ms,
        "reference": answer.reference,
        "base": _amount(answer.base),
        "quote": _amount(answer.quote),
        "price": price.value if price else None,
        "better_bps": better,
        "expires_at": _instant(answer.expires_at),
        "reason": answer.reason,
        "score": answer.score,
    }


def _median(price: Price, of: int) -> Mapping[str, Any]:
    return {
        "value": price.value,
        "quote_units": str(price.quote_units),
        "base_units": str(price.base_units),
        "of": of,
    }


def _attempt(trade: Trade, ask: Ask, attempt: Attempt) -> Mapping[str, Any]:
    offered = attempt.lp_amount
    better = None
    if offered is not None:
        quoted = Price.of(trade.base_amount, trade.waterfall.lp)
        better = better_bps(trade.side, Price.of(trade.base_amount, offered), quoted)
    return {
        "number": attempt.number,
        "id": str(attempt.id),
        "lp": attempt.lp,
        "state": attempt.state,
        "asked_again": bool(attempt.lp_reference) and attempt.lp_reference != ask.lp_reference,
        "reference": attempt.lp_reference,
        "offered": _amount(offered),
        "better_bps": better,
        "sent_at": _instant(attempt.sent_at),
        "filled": _amount(attempt.filled_amount),
        "venue_order_id": attempt.venue_order_id,
        "reason": attempt.reason,
    }


def _step(recorded: RecordedStep) -> Mapping[str, Any]:
    step = recorded.step
    return {
        "attempt": step.attempt,
        "from": step.from_state,
        "to": step.to_state,
        "action": step.action,
        "actor": step.actor,
        "evidence": step.evidence,
        "recorded_at": instant_text(recorded.recorded_at),
    }


def _until_the_end(trade: Trade, steps: Sequence[RecordedStep]) -> Iterator[RecordedStep]:
    for one in steps:
        if one.version > trade.version:
            # Taken after the trade was read.
            return
        yield one
        if one.step.attempt == 0 and one.step.to_state in TERMINAL:
            return


def _amount(amount: Amount | None) -> Mapping[str, str] | None:
    return None if amount is None else amount_value(amount)


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant_text(instant)
