"""One trade, why it had its price, and whether its receipt holds."""

import grpc
import typer

from app.partner.api import Api
from app.partner.outcome import REFUSED, complain
from app.partner.quote import deal
from app.partner.screen import (
    Screen,
    amount,
    as_dict,
    bold,
    date_and_clock,
    dim,
    grouped,
    printable,
    state_of,
    words_of,
)
from app.partner.trade import ENDS, show_receipt, verified_receipt
from reli.trade.v1.evidence_pb2 import TradeEvidence
from reli.trade.v1.trade_pb2 import AttemptState, Trade, TradeState
from reli.trade.v1.trade_service_pb2 import GetTradeEvidenceRequest, GetTradeRequest
from reli.type.v1.routing_pb2 import RoutingRule
from reli_client import InvalidReceipt


def show_trade(api: Api, screen: Screen, trade_id: str) -> None:
    trade = api.trades.GetTrade(GetTradeRequest(trade_id=trade_id)).trade
    evidence = api.trades.GetTradeEvidence(GetTradeEvidenceRequest(trade_id=trade_id)).evidence
    receipt, problem = None, ""
    try:
        receipt = verified_receipt(api, trade_id, evidence) if trade.state in ENDS else None
    except InvalidReceipt as e:
        problem = str(e)
    if screen.as_json:
        screen.document(
            {
                "trade": as_dict(trade),
                "evidence": as_dict(evidence),
                "receipt": as_dict(receipt) if receipt else None,
            }
        )
    else:
        _show(screen, trade, evidence)
        if not problem:
            show_receipt(screen, receipt, trade_id)
    if problem:
        complain(screen, grpc.StatusCode.DATA_LOSS, f"the receipt does not hold: {problem}")
        raise typer.Exit(REFUSED)


def _show(screen: Screen, trade: Trade, evidence: TradeEvidence) -> None:
    state = state_of(TradeState.Name(trade.state), "TRADE_STATE_")
    screen.say(bold(trade.id), "  ", state, f"  {trade.rejection_reason}".rstrip())
    screen.say(deal(trade))
    screen.say(dim(f"accepted {date_and_clock(trade.accept_time)} UTC  {trade.customer_id}"))
    screen.say()
    attempts = [
        (
            str(number),
            printable(one.lp),
            state_of(AttemptState.Name(one.state), "ATTEMPT_STATE_"),
            amount(one.filled_amount) if one.HasField("filled_amount") else "",
            dim(printable(one.venue_order_id or one.reason)),
        )
        for number, one in enumerate(trade.attempts, start=1)
    ]
    screen.table([(dim("attempt"), *map(dim, ("at", "", "filled", ""))), *attempts], right={3})
    screen.say()
    answers = [
        (
            printable(one.lp),
            grouped(one.price.value),
            one.better_bps,
            f"{one.latency_ms} ms",
            state_of(one.verdict, ""),
            dim(printable(one.reason)),
        )
        for one in evidence.answers
    ]
    heads = ("asked", "price", "bps beside median", "answered", "", "")
    screen.table([[dim(head) for head in heads], *answers], right={1, 2, 3})
    screen.say(
        dim(
            f"chosen by {words_of(RoutingRule.Name(evidence.routing), 'ROUTING_RULE_')}; "
            f"{len(evidence.steps)} steps on record"
        )
    )
    screen.say()
