"""Prices: firm ones, which can be accepted, and such as are only looked at."""

from dataclasses import dataclass
from typing import Any

from rich.text import Text

from app.partner.api import Api, new_request_id
from app.partner.outcome import UsageProblem
from app.partner.screen import (
    Cell,
    Screen,
    amount,
    as_dict,
    bold,
    clock,
    dim,
    grouped,
    printable,
    state_of,
)
from reli.quote.v1.indicative_quote_pb2 import IndicativeQuote
from reli.quote.v1.quote_pb2 import LpVerdict, Quote
from reli.quote.v1.quote_service_pb2 import (
    CreateQuoteRequest,
    CreateQuoteResponse,
    GetIndicativeQuoteRequest,
)
from reli.trade.v1.trade_pb2 import Trade
from reli.type.v1.amount_pb2 import Amount
from reli.type.v1.side_pb2 import SIDE_BUY, SIDE_SELL, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a price is asked for; exactly one of the amounts is set."""

    side: Side
    base_asset: str
    quote_asset: str
    base_amount: Amount | None = None
    quote_amount: Amount | None = None

    @classmethod
    def of(cls, instrument: str, side: str, *, amount: str, pay: str, receive: str) -> "Wanted":
        """Return what was typed, or raise UsageProblem."""
        base, dash, quote = instrument.upper().partition("-")
        if not (base and dash and quote):
            raise UsageProblem("the instrument is two assets, such as BTC-NGN")
        is_buy = side == "buy"
        if wrong := receive if is_buy else pay:
            ours, others = ("--pay", "--receive") if is_buy else ("--receive", "--pay")
            raise UsageProblem(f"who {side}s does not say {others} {wrong}, but {ours} or AMOUNT")
        total = pay or receive
        if bool(amount) == bool(total):
            raise UsageProblem("say either AMOUNT or one of --pay and --receive")
        return cls(
            side=SIDE_BUY if is_buy else SIDE_SELL,
            base_asset=base,
            quote_asset=quote,
            base_amount=Amount(value=amount, asset=base) if amount else None,
            quote_amount=Amount(value=total, asset=quote) if total else None,
        )

    def request(self, customer_id: str, request_id: str) -> CreateQuoteRequest:
        return CreateQuoteRequest(customer_id=customer_id, request_id=request_id, **self._terms())

    def indicative_request(self) -> GetIndicativeQuoteRequest:
        return GetIndicativeQuoteRequest(**self._terms())

    def _terms(self) -> dict[str, Any]:
        return {
            "side": self.side,
            "base_asset": self.base_asset,
            "quote_asset": self.quote_asset,
            "base_amount": self.base_amount,
            "quote_amount": self.quote_amount,
        }


def show_quote(api: Api, screen: Screen, wanted: Wanted, customer: str) -> None:
    # Nothing moves by it: the id is for attempts within this call, and nobody needs to know it.
    request_id = new_request_id()
    answer = api.quotes.CreateQuote(wanted.request(api.customer_id(customer), request_id))
    if screen.as_json:
        screen.document(as_dict(answer))
        return
    show_answer(screen, answer)
    screen.note(dim(f"to accept it: reli accept {answer.quote.id}"))


def show_indicative(api: Api, screen: Screen, wanted: Wanted, customer: str) -> None:
    if customer:
        raise UsageProblem("an indicative quote is for no customer: leave --customer out")
    answer = api.quotes.GetIndicativeQuote(wanted.indicative_request())
    if screen.as_json:
        screen.document(as_dict(answer))
        return
    quote = answer.quote
    _show_price(screen, quote)
    at = clock(quote.price_time)
    screen.say()
    screen.say("indicative: promised to nobody, as it was at ", at, " UTC")


def show_answer(screen: Screen, answer: CreateQuoteResponse) -> None:
    """Show a firm quote, where each part of the price goes, and how long it holds."""
    quote = answer.quote
    _show_price(screen, quote)
    screen.say()
    verdicts = [
        (
            printable(one.lp),
            state_of(LpVerdict.Name(one.verdict), "LP_VERDICT_"),
            dim(f"{one.latency_ms} ms"),
            dim(printable(one.reason)),
        )
        for one in answer.lp_answers
    ]
    screen.table(verdicts, indent=2, right={2})
    screen.say()
    until = clock(quote.expire_time)
    screen.say(bold(quote.id), f"  firm for {life_s(quote):.1f} s, until {until} UTC")


def life_s(quote: Quote) -> float:
    """Return for how many seconds a quote was made, by the platform's clock alone."""
    return (quote.expire_time.ToNanoseconds() - quote.create_time.ToNanoseconds()) / 1e9


def deal(of: Quote | IndicativeQuote | Trade) -> Text:
    """Return what changes hands in one line, such as "buy 0.01 BTC for 1,513,521.00 NGN"."""
    verb = "buy" if of.side == SIDE_BUY else "sell"
    return Text(f"{verb} {amount(of.base_amount)} for {amount(of.quote_amount)}")


def _show_price(screen: Screen, quote: Quote | IndicativeQuote) -> None:
    price, parts, is_buy = quote.price, quote.waterfall, quote.side == SIDE_BUY
    screen.say(deal(quote))
    screen.say(dim(f"{grouped(price.value)} {price.quote_asset} per {price.base_asset}"))
    screen.say()
    rows: list[tuple[Cell, ...]] = [
        (printable(quote.lp), grouped(parts.lp.value), parts.lp.asset),
        ("platform fee", _on_top(parts.fee, is_buy), parts.fee.asset),
        ("your markup", _on_top(parts.markup, is_buy), parts.markup.asset),
        (
            bold("customer pays" if is_buy else "customer receives"),
            bold(grouped(parts.total.value)),
            parts.total.asset,
        ),
    ]
    screen.table(rows, indent=2, right={1})


def _on_top(part: Amount, is_buy: bool) -> str:
    """Return what a buyer pays on top, and what is taken from a seller's share."""
    is_taken = not is_buy and part.value.strip("0.") != ""
    return ("-" if is_taken else "") + grouped(part.value)
