"""What servicers read from messages and write into them; their use cases are stand-ins."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
import grpc_testing  # type: ignore[import-untyped]
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from app.rpc.caller import Caller
from app.rpc.market import MarketServicer
from app.rpc.quote import QuoteServicer
from app.rpc.sandbox import SandboxServicer
from app.usecase.call import Call
from app.usecase.quote.create_quote import QuotedAnswers, QuoteOrder
from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.ids import (
    ApiKeyId,
    CustomerId,
    DepositId,
    EntryId,
    LpQuoteRequestId,
    QuoteId,
    TenantId,
)
from domain.party import Party
from domain.quote.quote import LpAnswer, LpVerdict, Quote
from domain.side import Side
from domain.tenant.api_key import TENANT_SCOPES
from domain.trade.trade import Trade
from domain.trading_state import TradingState
from ports.market import Catalogue, Market
from ports.page import Page, PageRequest
from ports.sandbox import Deposit
from reli.market.v1 import market_service_pb2 as market_pb
from reli.quote.v1 import quote_pb2
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.sandbox.v1 import sandbox_service_pb2 as sandbox_pb
from reli.trade.v1 import trade_pb2
from reli.type.v1 import side_pb2
from tests.support.builders import BTC, BTC_NGN, NGN, a_prepared_trade, a_quote, an_id, btc, ngn
from tests.support.platform import amount
from tests.support.rpc import RPCS, Sync

NOW: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CUSTOMER: Final = an_id(CustomerId)
CALLER: Final = Caller(
    tenant_id=an_id(TenantId),
    api_key_id=an_id(ApiKeyId),
    scopes=frozenset(TENANT_SCOPES),
    rpc="reli.test.v1.TestService/Test",
    idempotency_key="",
    correlation_id="correlation",
)


def invoke(servicer: object, name: str, request: Message, caller: Caller = CALLER) -> Any:
    """Call a servicer through grpcio-testing, and return its answer as a client reads it."""
    rpc = RPCS[name]
    service = rpc.descriptor.containing_service
    server = grpc_testing.server_from_dictionary(
        {service: Sync(servicer, caller)}, grpc_testing.strict_real_time()
    )
    call = server.invoke_unary_unary(rpc.descriptor, (), request, 5)
    answer, _, code, details = call.termination()
    assert code is grpc.StatusCode.OK, details
    return rpc.response.FromString(answer.SerializeToString())


class FixedMarket(Market):
    """Naira and bitcoin."""

    async def catalogue(self) -> Catalogue:
        return Catalogue(
            assets={"BTC": BTC, "NGN": NGN},
            names={"BTC": "Bitcoin", "NGN": "Nigerian naira"},
            instruments={"BTC-NGN": BTC_NGN},
        )


@dataclass
class Quoting:
    """All that QuoteServicer calls; it answers with `quoted` and remembers what it was asked."""

    quoted: QuotedAnswers
    trade: Trade = field(default_factory=a_prepared_trade)
    orders: list[tuple[Call, QuoteOrder]] = field(default_factory=list)
    accepted: list[tuple[Call, QuoteId]] = field(default_factory=list)
    listed: list[tuple[TenantId, PageRequest, CustomerId | None]] = field(default_factory=list)

    async def create(self, call: Call, order: QuoteOrder) -> QuotedAnswers:
        self.orders.append((call, order))
        return self.quoted

    async def accept(self, call: Call, quote_id: QuoteId) -> Trade:
        self.accepted.append((call, quote_id))
        return self.trade

    async def list(
        self, tenant_id: TenantId, page: PageRequest, *, customer_id: CustomerId | None
    ) -> tuple[Page[Quote], datetime]:
        self.listed.append((tenant_id, page, customer_id))
        return Page((self.quoted.quote,), self.quoted.quote.id.uuid), self.quoted.read_at

    @property
    def servicer(self) -> QuoteServicer:
        made: Any = QuoteServicer
        return made(  # type: ignore[no-any-return]
            create_quote=self.create,
            accept_quote=self.accept,
            cancel_quote=None,
            read_quotes=self,
            get_indicative_quote=None,
            stream_quotes=None,
            market=FixedMarket(),
        )


@pytest.fixture
def quoting() -> Quoting:
    answer = LpAnswer(
        id=an_id(LpQuoteRequestId),
        lp="beta",
        verdict=LpVerdict.REFUSED,
        latency_ms=17,
        reason="no price",
    )
    quote = a_quote()
    return Quoting(QuotedAnswers(quote, (answer,), quote.created_at))


def a_request(**fields: Any) -> quote_pb.CreateQuoteRequest:
    given: dict[str, Any] = {
        "customer_id": str(CUSTOMER),
        "side": side_pb2.SIDE_BUY,
        "base_asset": "BTC",
        "quote_asset": "NGN",
        "base_amount": amount("0.015", "BTC"),
    }
    return quote_pb.CreateQuoteRequest(**(given | fields))


def an_order(**fields: Any) -> QuoteOrder:
    order = QuoteOrder(
        party=Party(CUSTOMER),
        side=Side.BUY,
        base_asset="BTC",
        quote_asset="NGN",
        fixed=btc("0.015"),
        ttl_ms=None,
    )
    return replace(order, **fields)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({}, {}),
        ({"side": side_pb2.SIDE_SELL}, {"side": Side.SELL}),
        ({"customer_id": ""}, {"party": Party(None)}),
        ({"quote_amount": amount("7.5", "NGN"), "base_amount": None}, {"fixed": ngn("7.50")}),
        ({"base_amount": amount("0.00000001", "BTC")}, {"fixed": Amount(BTC, 1)}),
        ({"ttl": Duration(seconds=1)}, {"ttl_ms": 1_000}),
        ({"ttl": Duration(seconds=2, nanos=345_999_999)}, {"ttl_ms": 2_345}),
        ({"ttl": Duration(seconds=900)}, {"ttl_ms": 900_000}),
    ],
)
def test_an_order_is_read_from_a_request(
    quoting: Quoting, asked: dict[str, Any], meant: dict[str, Any]
) -> None:
    invoke(quoting.servicer, "QuoteService/CreateQuote", a_request(**asked))

    [(_, order)] = quoting.orders
    assert order == an_order(**meant)


def test_who_calls_is_read_from_the_key_and_nothing_else(quoting: Quoting) -> None:
    invoke(quoting.servicer, "QuoteService/CreateQuote", a_request())

    [(call, _)] = quoting.orders
    assert call == Call(
        tenant_id=CALLER.tenant_id,
        api_key_id=CALLER.api_key_id,
        scopes=CALLER.scopes,
        method=CALLER.rpc,
        correlation_id="correlation",
        key=None,
    )


@pytest.mark.parametrize(
    ("field", "header"), [("once", ""), ("", "once"), ("once", "once")], ids=str
)
def test_a_request_id_is_the_field_or_the_header(quoting: Quoting, field: str, header: str) -> None:
    caller = replace(CALLER, idempotency_key=header)

    invoke(quoting.servicer, "QuoteService/CreateQuote", a_request(request_id=field), caller)

    [(call, _)] = quoting.orders
    assert call.key is not None
    assert (call.key.rpc, call.key.request_id) == (CALLER.rpc, "once")


def test_a_fingerprint_is_of_the_body_without_its_request_id(quoting: Quoting) -> None:
    for request in (
        a_request(request_id="one"),
        a_request(request_id="two"),
        a_request(request_id="one", customer_id=""),
    ):
        invoke(quoting.servicer, "QuoteService/CreateQuote", request)

    first, same, other = (call.key.fingerprint for call, _ in quoting.orders if call.key)
    assert first == same != other


def test_a_quote_is_written_with_every_answer(quoting: Quoting) -> None:
    quote, [answer] = quoting.quoted.quote, quoting.quoted.answers

    made = invoke(quoting.servicer, "QuoteService/CreateQuote", a_request())

    assert made.quote.id == str(quote.id)
    assert made.quote.customer_id == str(quote.party.customer_id)
    assert made.quote.side == side_pb2.SIDE_BUY
    assert made.quote.instrument == "BTC-NGN"
    assert made.quote.base_amount == amount(quote.base_amount.value, "BTC")
    assert made.quote.quote_amount == amount(quote.quote_amount.value, "NGN")
    assert made.quote.waterfall.total == made.quote.quote_amount
    assert made.quote.state == quote_pb2.QUOTE_STATE_OPEN
    assert made.quote.create_time.ToDatetime(tzinfo=UTC) == quote.created_at
    assert made.quote.expire_time.ToDatetime(tzinfo=UTC) == quote.expires_at
    assert list(made.lp_answers) == [
        quote_pb2.LpAnswer(
            lp="beta",
            verdict=quote_pb2.LP_VERDICT_REFUSED,
            latency_ms=answer.latency_ms,
            reason="no price",
        )
    ]


def test_an_open_quote_reads_expired_once_its_time_is_over(quoting: Quoting) -> None:
    quoted = quoting.quoted
    quoting.quoted = replace(quoted, read_at=quoted.quote.expires_at)

    made = invoke(quoting.servicer, "QuoteService/CreateQuote", a_request())

    assert made.quote.state == quote_pb2.QUOTE_STATE_EXPIRED


def test_an_accepted_quote_is_written_as_its_trade(quoting: Quoting) -> None:
    quote_id, trade = quoting.quoted.quote.id, quoting.trade
    request = quote_pb.AcceptQuoteRequest(quote_id=str(quote_id), request_id="once")

    made = invoke(quoting.servicer, "QuoteService/AcceptQuote", request).trade

    [(call, asked)] = quoting.accepted
    assert asked == quote_id
    assert call.key is not None
    assert (made.id, made.quote_id) == (str(trade.id), str(trade.quote_id))
    assert made.state == trade_pb2.TRADE_STATE_PENDING
    assert [attempt.state for attempt in made.attempts] == [trade_pb2.ATTEMPT_STATE_PREPARED]
    assert made.settlement_entry_id == "", "nothing is settled yet"
    assert not made.HasField("end_time")


def test_a_page_leads_to_the_next_one(quoting: Quoting) -> None:
    request = quote_pb.ListQuotesRequest(page_size=1, customer_id=str(CUSTOMER))
    first = invoke(quoting.servicer, "QuoteService/ListQuotes", request)
    request.page_token = first.next_page_token

    invoke(quoting.servicer, "QuoteService/ListQuotes", request)

    last = quoting.quoted.quote.id.uuid
    assert quoting.listed == [
        (CALLER.tenant_id, PageRequest(size=1, before=None), CUSTOMER),
        (CALLER.tenant_id, PageRequest(size=1, before=last), CUSTOMER),
    ]


@dataclass
class Depositing:
    """Credits nobody, and remembers what it was asked."""

    asked: list[tuple[Call, Party, Amount]] = field(default_factory=list)

    async def __call__(self, call: Call, *, party: Party, amount: Amount) -> Deposit:
        self.asked.append((call, party, amount))
        return Deposit(
            id=an_id(DepositId, number=1),
            party=party,
            amount=amount,
            entry_id=an_id(EntryId, number=2),
            created_at=NOW + timedelta(microseconds=7),
        )


@pytest.mark.parametrize("customer_id", [CUSTOMER, None])
def test_a_deposit_is_read_and_written_to_the_unit(customer_id: CustomerId | None) -> None:
    create_deposit: Any = Depositing()
    servicer = SandboxServicer(create_deposit=create_deposit, market=FixedMarket())
    request = sandbox_pb.CreateDepositRequest(
        customer_id=str(customer_id or ""), amount=amount("12.3", "NGN"), request_id="once"
    )

    made = invoke(servicer, "SandboxService/CreateDeposit", request).deposit

    [(_, party, asked)] = create_deposit.asked
    assert (party, asked) == (Party(customer_id), Amount(NGN, 1_230))
    assert made.amount == amount("12.30", "NGN")
    assert made.customer_id == str(customer_id or "")
    assert (made.id, made.entry_id) == (
        str(an_id(DepositId, number=1)),
        str(an_id(EntryId, number=2)),
    )
    assert made.create_time == Timestamp(seconds=int(NOW.timestamp()), nanos=7_000)


@dataclass
class ReadingMarket:
    """One page of each list, with another one after it."""

    pages: list[PageRequest] = field(default_factory=list)

    async def assets(self, page: PageRequest) -> Page[tuple[Asset, str]]:
        self.pages.append(page)
        return Page(((BTC, "Bitcoin"), (NGN, "Nigerian naira")), 2)

    async def instruments(self, page: PageRequest) -> Page[Instrument]:
        self.pages.append(page)
        return Page(
            (Instrument(BTC, NGN, tolerance_bps=15, trading_state=TradingState.HALTED),), None
        )


def test_the_catalogue_is_written_as_it_is() -> None:
    read_market: Any = ReadingMarket()
    servicer = MarketServicer(read_market=read_market)

    assets = invoke(servicer, "MarketService/ListAssets", market_pb.ListAssetsRequest())
    instruments = invoke(
        servicer, "MarketService/ListInstruments", market_pb.ListInstrumentsRequest(page_size=200)
    )

    assert [(one.code, one.scale, one.display_name) for one in assets.assets] == [
        ("BTC", 8, "Bitcoin"),
        ("NGN", 2, "Nigerian naira"),
    ]
    [instrument] = instruments.instruments
    assert (instrument.code, instrument.tolerance_bps, instrument.open) == ("BTC-NGN", 15, False)
    assert (assets.next_page_token != "", instruments.next_page_token) == (True, "")
    assert read_market.pages == [PageRequest(size=50), PageRequest(size=200)]
