"""Evidence: what was known when an LP was chosen, and all that came of it, in one text."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from domain.canonical import canonical_json
from domain.ids import AttemptId
from domain.routing import RoutingRule
from domain.side import Side
from domain.trade.evidence import Answer, Ask, RecordedStep, evidence_of
from domain.trade.outcome import NotSent, Rejected
from domain.trade.trade import PRICE_MOVED, Trade
from tests.support.builders import (
    NOW,
    a_fill,
    a_prepared_trade,
    a_quote,
    a_sent_trade,
    an_id,
    btc,
    ngn,
    seconds,
)

BEST = "1500000.00"


def an_answer(lp: str, quote: str = "", **changes: Any) -> Answer:
    fields: dict[str, Any] = {
        "lp": lp,
        "verdict": "outbid",
        "latency_ms": 12,
        "reference": f"{lp}-1",
        "base": btc("0.01") if quote else None,
        "quote": ngn(quote) if quote else None,
        "expires_at": NOW + timedelta(seconds=10),
        "reason": "",
        "score": None,
        "is_usable": bool(quote),
    }
    return Answer(**fields | changes)


def an_ask(*answers: Answer) -> Ask:
    given = answers or (an_answer("alpha", BEST, verdict="used"),)
    return Ask(RoutingRule.BEST_PRICE, "alpha-1", NOW, NOW + seconds(10), given)


def recorded(trade: Trade, *, version: int = 1) -> Sequence[RecordedStep]:
    return [RecordedStep(step, version, NOW) for step in trade.transitions]


def told_of(
    trade: Trade, ask: Ask | None = None, steps: Sequence[RecordedStep] | None = None
) -> dict[str, Any]:
    content = evidence_of(trade, ask or an_ask(), recorded(trade) if steps is None else steps)
    said: dict[str, Any] = json.loads(content)
    assert canonical_json(said) == content
    return said


def test_usable_prices_are_compared_with_their_median_and_the_others_are_named() -> None:
    ask = an_ask(
        an_answer("alpha", BEST, verdict="used"),
        an_answer("beta", "1503000.00"),
        an_answer("late", "1.00", verdict="outbid", is_usable=False),
        an_answer("open", verdict="not_asked", reason="LP_CIRCUIT_OPEN", latency_ms=0),
    )

    said = told_of(a_sent_trade(), ask)

    assert said["median"] == {
        "value": "150150000",
        "quote_units": str(150_000_000 * 10**6 + 150_300_000 * 10**6),
        "base_units": str(2 * 10**12),
        "of": 2,
    }
    compared = [(one["lp"], one["price"], one["better_bps"]) for one in said["answers"]]
    assert compared == [
        ("alpha", "150000000", "9.99"),
        ("beta", "150300000", "-10.00"),
        ("late", "100", None),
        ("open", None, None),
    ]
    assert said["answers"][3]["reason"] == "LP_CIRCUIT_OPEN"


def test_without_a_usable_price_there_is_no_median() -> None:
    assert told_of(a_sent_trade(), an_ask(an_answer("alpha")))["median"] is None


def test_an_attempt_at_the_quoted_price_was_not_asked_again() -> None:
    quote = a_quote()
    trade = a_prepared_trade(quote).send(
        actor="worker",
        now=NOW + seconds(1),
        lp_reference="alpha-1",
        lp_amount=quote.waterfall.lp,
        lp_expires_at=NOW + seconds(5),
    )

    (attempt,) = told_of(trade)["attempts"]

    assert (attempt["asked_again"], attempt["better_bps"]) == (False, "0.00")
    assert attempt["offered"] == {"asset": "NGN", "value": BEST}


def test_a_price_beyond_the_tolerance_is_in_the_evidence_although_nothing_was_sent() -> None:
    for side, offered in ((Side.BUY, "1503000.00"), (Side.SELL, "1497000.00")):
        trade = a_sent_trade(a_quote(side=side))
        trade = trade.conclude(
            Rejected(reason="no", evidence="said no"), actor="worker", now=NOW + seconds(2)
        ).prepare(an_id(AttemptId), actor="worker")
        moved = NotSent(
            reason=PRICE_MOVED, evidence="moved", lp_reference="beta-2", lp_amount=ngn(offered)
        )
        trade = trade.conclude(moved, actor="worker", now=NOW + seconds(2))

        said = told_of(trade)

        _, refused = said["attempts"]
        assert (refused["reason"], refused["asked_again"]) == (PRICE_MOVED, True)
        assert (refused["offered"]["value"], refused["better_bps"]) == (offered, "-20.00")
        assert said["tolerance_bps"] == 10


def test_what_is_recorded_after_the_end_is_not_in_it() -> None:
    trade = a_sent_trade()
    trade = trade.conclude(a_fill(trade), actor="worker", now=NOW + seconds(2))
    trade = trade.settle(actor="worker", now=NOW + seconds(2))
    steps = recorded(trade)
    late = RecordedStep(trade.transitions[0], 1, NOW + timedelta(hours=1))

    said = told_of(trade, steps=[*steps, late])

    assert said == told_of(trade)
    assert said["steps"][-1]["to"] == said["state"] == "settled"
    assert len(said["steps"]) == len(steps)


def test_what_is_recorded_while_it_is_read_is_not_in_it() -> None:
    trade = a_sent_trade()
    newer = RecordedStep(trade.transitions[0], trade.version + 1, NOW)

    assert told_of(trade, steps=[*recorded(trade), newer]) == told_of(trade)
