"""Receipts: what a trade that ended came to, in one text."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from domain.canonical import canonical_json
from domain.routing import RoutingRule
from domain.side import Side
from domain.trade.evidence import Ask, amount_value
from domain.trade.receipt import receipt_content
from domain.trade.trade import Trade, TradeState
from tests.support.builders import NOW, a_quote, a_trade, seconds

ASK = Ask(RoutingRule.BEST_PRICE, "alpha-1", NOW, NOW + seconds(10), ())
EVIDENCE = b"what was known"


def ended(state: TradeState, side: Side = Side.BUY) -> Trade:
    reason = "SOME_REASON" if state is TradeState.REJECTED else ""
    trade = a_trade(a_quote(side=side))
    return replace(trade, state=state, ended_at=NOW + seconds(2), rejection_reason=reason)


def told_of(trade: Trade) -> dict[str, object]:
    content = receipt_content(trade, ASK, evidence=EVIDENCE, key_id="key")
    said: dict[str, object] = json.loads(content)
    assert canonical_json(said) == content
    return said


@pytest.mark.parametrize("side", Side)
def test_of_a_settled_trade_it_says_what_was_paid_and_received(side: Side) -> None:
    trade = ended(TradeState.SETTLED, side)

    said = told_of(trade)

    base, quote = map(amount_value, (trade.base_amount, trade.quote_amount))
    assert (said["base"], said["quote"]) == (base, quote)
    paid, received = (quote, base) if side is Side.BUY else (base, quote)
    assert (said["paid"], said["received"]) == (paid, received)
    assert said["final_entry_id"] == str(trade.ledger_ids.settlement_entry)
    assert said["hold_entry_id"] == str(trade.ledger_ids.hold_entry)
    assert said["evidence_digest"] == sha256(EVIDENCE).hexdigest()
    assert (said["state"], said["rejection_reason"]) == ("settled", "")


def test_of_a_rejected_trade_it_says_that_nothing_was() -> None:
    trade = ended(TradeState.REJECTED)

    said = told_of(trade)

    assert (said["paid"], said["received"]) == (None, None)
    assert said["final_entry_id"] == str(trade.ledger_ids.release_entry)
    assert (said["state"], said["rejection_reason"]) == ("rejected", "SOME_REASON")


def test_of_a_trade_that_has_not_ended_there_is_none() -> None:
    with pytest.raises(AssertionError):
        told_of(a_trade())
