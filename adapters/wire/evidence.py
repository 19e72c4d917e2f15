"""Evidence of best execution, as its content says it."""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from adapters.wire.amount import SIDE_MESSAGE, time_message
from adapters.wire.routing import ROUTING_RULE_MESSAGE
from adapters.wire.trade import ATTEMPT_STATE_MESSAGE, TRADE_STATE_MESSAGE
from domain.routing import RoutingRule
from domain.side import Side
from domain.trade.attempt import AttemptState
from domain.trade.trade import PublicTradeState
from reli.trade.v1 import evidence_pb2
from reli.type.v1 import amount_pb2, waterfall_pb2


def evidence_message(content: bytes) -> evidence_pb2.TradeEvidence:
    """Return what the content of an evidence says, and the content."""
    said = json.loads(content)
    return evidence_pb2.TradeEvidence(
        trade_id=said["trade_id"],
        quote_id=said["quote_id"],
        instrument=said["instrument"],
        side=SIDE_MESSAGE[Side(said["side"])],
        base_amount=read_amount_value(said["base"]),
        waterfall=waterfall_pb2.Waterfall(
            **{part: read_amount_value(amount) for part, amount in said["waterfall"].items()}
        ),
        state=TRADE_STATE_MESSAGE[PublicTradeState(said["state"])],
        answer_time=read_instant(said["answered_at"]),
        expire_time=read_instant(said["expires_at"]),
        accept_time=read_instant(said["accepted_at"]),
        end_time=read_instant(said["ended_at"]),
        routing=ROUTING_RULE_MESSAGE[RoutingRule(said["rule"])],
        answers=[_answer(one, said["instrument"]) for one in said["answers"]],
        median=_median(said["median"], said["instrument"]),
        tolerance_bps=said["tolerance_bps"],
        attempts=map(_attempt, said["attempts"]),
        steps=map(_step, said["steps"]),
        content=content,
        digest=sha256(content).digest(),
    )


def read_amount_value(one: Mapping[str, str] | None) -> amount_pb2.Amount | None:
    """Return an amount as it stands in what is signed."""
    return None if one is None else amount_pb2.Amount(value=one["value"], asset=one["asset"])


def read_instant(text: str | None) -> Timestamp | None:
    """Return an instant as it stands in what is signed."""
    return None if text is None else time_message(datetime.fromisoformat(text))


def _answer(one: Mapping[str, Any], instrument: str) -> evidence_pb2.ConsideredAnswer:
    return evidence_pb2.ConsideredAnswer(
        lp=one["lp"],
        verdict=one["verdict"],
        latency_ms=one["latency_ms"],
        reference=one["reference"],
        base_amount=read_amount_value(one["base"]),
        quote_amount=read_amount_value(one["quote"]),
        price=_price(one["price"], instrument),
        better_bps=one["better_bps"],
        expire_time=read_instant(one["expires_at"]),
        reason=one["reason"],
        score=one["score"],
    )


def _median(one: Mapping[str, Any] | None, instrument: str) -> evidence_pb2.MedianPrice | None:
    if one is None:
        return None
    return evidence_pb2.MedianPrice(
        price=_price(one["value"], instrument),
        quote_units=one["quote_units"],
        base_units=one["base_units"],
        prices=one["of"],
    )


def _attempt(one: Mapping[str, Any]) -> evidence_pb2.ConsideredAttempt:
    return evidence_pb2.ConsideredAttempt(
        id=one["id"],
        lp=one["lp"],
        state=ATTEMPT_STATE_MESSAGE[AttemptState(one["state"])],
        asked_again=one["asked_again"],
        reference=one["reference"],
        offered_amount=read_amount_value(one["offered"]),
        better_bps=one["better_bps"],
        send_time=read_instant(one["sent_at"]),
        filled_amount=read_amount_value(one["filled"]),
        venue_order_id=one["venue_order_id"],
        reason=one["reason"],
    )


def _step(one: Mapping[str, Any]) -> evidence_pb2.TradeStep:
    return evidence_pb2.TradeStep(
        attempt=one["attempt"],
        from_state=one["from"],
        to_state=one["to"],
        action=one["action"],
        actor=one["actor"],
        evidence=one["evidence"],
        record_time=read_instant(one["recorded_at"]),
    )


def _price(value: str | None, instrument: str) -> amount_pb2.Price | None:
    if value is None:
        return None
    base, quote = instrument.split("-")
    return amount_pb2.Price(value=value, base_asset=base, quote_asset=quote)
