"""Trades: a quote accepted once, and told as it ended, or that nobody knows yet."""

import sys
import termios
from collections.abc import Iterator
from itertools import islice
from select import select
from time import monotonic, sleep
from typing import Final

import grpc
import typer

from app.partner.api import MOVING_TIMEOUT_S, Api, pages, told_request_id
from app.partner.outcome import REFUSED, OutcomeUnknown, UsageProblem, complain, moving
from app.partner.quote import Wanted, deal, life_s, show_answer
from app.partner.screen import (
    BAD,
    GOOD,
    Json,
    Screen,
    as_dict,
    bold,
    date_and_clock,
    dim,
    state_of,
)
from reli.ledger.v1.checkpoint_service_pb2 import GetSigningKeysRequest
from reli.quote.v1.quote_pb2 import QUOTE_STATE_ACCEPTED, Quote
from reli.quote.v1.quote_service_pb2 import AcceptQuoteRequest
from reli.trade.v1.evidence_pb2 import TradeEvidence
from reli.trade.v1.receipt_pb2 import TradeReceipt
from reli.trade.v1.trade_pb2 import (
    TRADE_STATE_REJECTED,
    TRADE_STATE_SETTLED,
    Trade,
    TradeState,
)
from reli.trade.v1.trade_service_pb2 import (
    GetTradeEvidenceRequest,
    GetTradeReceiptRequest,
    GetTradeRequest,
    ListTradesRequest,
    ListTradesResponse,
)
from reli_client import InvalidReceipt, Refusal, verify_receipt

_END_WAIT_S: Final = 20.0
_POLL_S: Final = 0.3
_TRADES_LOOKED_AT: Final = 10_000
ENDS: Final = frozenset({TRADE_STATE_SETTLED, TRADE_STATE_REJECTED})


def accept_quote(api: Api, screen: Screen, quote_id: str, request_id: str | None) -> None:
    request_id = told_request_id(screen, request_id)
    _accept(api, screen, quote_id, request_id, {"request_id": request_id})


def trade(
    api: Api,
    screen: Screen,
    wanted: Wanted,
    customer: str,
    *,
    yes: bool,
    request_id: str | None,
) -> None:
    """Ask for a quote, ask who is there, and accept it, all under one request id."""
    if not yes and (screen.as_json or not sys.stdin.isatty()):
        raise UsageProblem("there is nobody to ask: say --yes to accept whatever is quoted")
    customer_id = api.customer_id(customer)
    request_id = told_request_id(screen, request_id)
    # An id is one of its method: the quote and its accept can have the same, so that the whole
    # command can be repeated under it.
    answer = api.quotes.CreateQuote(wanted.request(customer_id, request_id))
    if not screen.as_json:
        show_answer(screen, answer)
        screen.say()
    # Of one that was accepted before, under this id, there is nothing left to decide.
    is_decided = yes or answer.quote.state == QUOTE_STATE_ACCEPTED
    if not (is_decided or _is_accepted(answer.quote)):
        complain(screen, grpc.StatusCode.CANCELLED, "declined: this command accepted nothing")
        raise typer.Exit(REFUSED)
    document = {"request_id": request_id, **as_dict(answer)}
    _accept(api, screen, answer.quote.id, request_id, document)


def list_trades(api: Api, screen: Screen, customer: str, state: str | None, limit: int) -> None:
    """List the latest trades; those of a state are looked for among the latest 10,000."""
    request = ListTradesRequest(customer_id=api.customer_id(customer))
    every: Iterator[Trade] = pages(
        api.trades.ListTrades, request, "trades", _TRADES_LOOKED_AT if state else limit
    )
    wanted = f"TRADE_STATE_{state.upper().replace('-', '_')}" if state else ""
    found = list(
        islice((one for one in every if TradeState.Name(one.state) == wanted or not wanted), limit)
    )
    if screen.as_json:
        screen.document(as_dict(ListTradesResponse(trades=found)))
        return
    rows = [
        (
            one.id,
            date_and_clock(one.accept_time),
            state_of(TradeState.Name(one.state), "TRADE_STATE_"),
            deal(one),
            dim(one.customer_id),
        )
        for one in found
    ]
    screen.table(rows)


def verified_receipt(
    api: Api, trade_id: str, evidence: TradeEvidence | None = None
) -> TradeReceipt | None:
    """Return the receipt of a trade that ended, checked here and with its evidence.

    It is made a second or so after the end, which is waited for; None where it takes longer. Raises
    InvalidReceipt.
    """
    request = GetTradeReceiptRequest(trade_id=trade_id)
    try:
        receipt: TradeReceipt = api.trades.GetTradeReceipt(request).receipt
    except Refusal as e:
        if e.reason != "RECEIPT_PENDING":
            raise
        return None
    if evidence is None:
        look = GetTradeEvidenceRequest(trade_id=trade_id)
        evidence = api.trades.GetTradeEvidence(look).evidence
    keys = api.signing_keys.GetSigningKeys(GetSigningKeysRequest()).keys
    verify_receipt(receipt, keys, evidence.content)
    if receipt.trade_id != trade_id:
        raise InvalidReceipt("it is the receipt of another trade")
    return receipt


def show_receipt(screen: Screen, receipt: TradeReceipt | None, trade_id: str) -> None:
    if receipt is None:
        screen.say(f"its receipt is not made yet: reli trades show {trade_id}")
        return
    screen.say(GOOD, "receipt verified, booked as ", receipt.final_entry_id)
    screen.say(dim(f"  signed by {receipt.key_id}"))


def _accept(api: Api, screen: Screen, quote_id: str, request_id: str, document: Json) -> None:
    """Accept, wait for the end, and tell it; `document` is what JSON begins with."""
    request = AcceptQuoteRequest(quote_id=quote_id, request_id=request_id)
    with moving(api.command("accept", quote_id, "--request-id", request_id)):
        made: Trade = api.quotes.AcceptQuote(request, timeout=MOVING_TIMEOUT_S).trade
    ended = _awaited(api, made)
    receipt, problem = None, ""
    if ended.state in ENDS:
        try:
            receipt = verified_receipt(api, ended.id)
        except (InvalidReceipt, Refusal, KeyboardInterrupt) as e:
            # The trade is what it is, whatever becomes of its receipt.
            problem = str(e) or "interrupted"
    if screen.as_json:
        found = as_dict(receipt) if receipt else None
        screen.document({**document, "trade": as_dict(ended), "receipt": found})
    else:
        _show_end(screen, ended)
        if ended.state in ENDS and not problem:
            show_receipt(screen, receipt, ended.id)
    if problem:
        text = f"the receipt: {problem}; look: reli trades show {ended.id}"
        complain(screen, grpc.StatusCode.UNKNOWN, text)
    if ended.state == TRADE_STATE_REJECTED:
        raise typer.Exit(REFUSED)
    if ended.state not in ENDS:
        state = TradeState.Name(ended.state)
        raise OutcomeUnknown(f"the trade is {state}", api.command("trades", "show", ended.id))


def _awaited(api: Api, trade: Trade) -> Trade:
    """Return the trade once it has ended, or as it is when there was no more patience."""
    deadline = monotonic() + _END_WAIT_S
    try:
        while trade.state not in ENDS and monotonic() < deadline:
            sleep(_POLL_S)
            trade = api.trades.GetTrade(GetTradeRequest(trade_id=trade.id)).trade
    except (Refusal, KeyboardInterrupt) as e:
        # It was accepted: whatever is refused now, its outcome is open.
        look = api.command("trades", "show", trade.id)
        cause = e if isinstance(e, Refusal) else None
        raise OutcomeUnknown("the trade was accepted, its end was not seen", look, cause) from e
    return trade


def _show_end(screen: Screen, trade: Trade) -> None:
    state = state_of(TradeState.Name(trade.state), "TRADE_STATE_")
    if trade.state == TRADE_STATE_SETTLED:
        screen.say(GOOD, state, "  ", bold(deal(trade).plain))
    elif trade.state == TRADE_STATE_REJECTED:
        screen.say(BAD, state, f"  {trade.rejection_reason}: nothing was paid, nothing is held")
    screen.say(trade.id)


def _is_accepted(quote: Quote) -> bool:
    """Ask until the quote has expired; only y, and that in time, accepts."""
    # What was typed before the quote was to be seen is no answer to it.
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    return _answered("accept?", life_s(quote)).strip().lower() in ("y", "yes")


def _answered(question: str, within_s: float) -> str:
    """Return the line that is typed while the seconds are counted down; nothing once they are over.

    Shown on standard error, so that standard output is what was asked for and nothing else.
    """
    deadline = monotonic() + within_s
    shown = ""
    while (left_s := deadline - monotonic()) > 0:
        prompt = f"{question} y/N  {left_s:3.0f} s left: "
        # What is being typed stands behind the prompt, and must outlive that it is written anew.
        sys.stderr.write(f"\x1b7\r{prompt}\x1b8" if shown else prompt)
        sys.stderr.flush()
        shown = prompt
        if select([sys.stdin], [], [], min(1.0, left_s))[0]:
            return sys.stdin.readline()
    sys.stderr.write("\nthe quote has expired\n")
    return ""
