"""A partner's first minute with Reli: a trade, and everything that proves it.

    RELI_URL=https://127.0.0.1:8443 RELI_CA=certificate.pem RELI_KEY=reli_… python story.py

The key is one of a tenant of its own, with all scopes and nothing set up yet.
"""

import os
import queue
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from uuid import uuid4

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reli.event.v1.event_pb2 import Event
from reli.ledger.v1.checkpoint_service_pb2 import GetSigningKeysRequest
from reli.ledger.v1.checkpoint_service_pb2_grpc import SigningKeyServiceStub
from reli.quote.v1.quote_pb2 import Quote
from reli.quote.v1.quote_service_pb2 import AcceptQuoteRequest, CreateQuoteRequest
from reli.quote.v1.quote_service_pb2_grpc import QuoteServiceStub
from reli.sandbox.v1.sandbox_service_pb2 import CreateDepositRequest
from reli.sandbox.v1.sandbox_service_pb2_grpc import SandboxServiceStub
from reli.tenant.v1.tenant_pb2 import SIGNATURE_ALGORITHM_ED25519
from reli.tenant.v1.tenant_service_pb2 import (
    CreateCustomerRequest,
    CreateRequestSigningKeyRequest,
    GetCurrentTenantRequest,
    UpdateCurrentTenantRequest,
)
from reli.tenant.v1.tenant_service_pb2_grpc import (
    CustomerServiceStub,
    RequestSigningKeyServiceStub,
    TenantServiceStub,
)
from reli.trade.v1.receipt_pb2 import TradeReceipt
from reli.trade.v1.trade_pb2 import Trade, TradeState
from reli.trade.v1.trade_service_pb2 import GetTradeEvidenceRequest, GetTradeReceiptRequest
from reli.trade.v1.trade_service_pb2_grpc import TradeServiceStub
from reli.type.v1.amount_pb2 import Amount
from reli.type.v1.side_pb2 import SIDE_BUY
from reli.webhook.v1.webhook_service_pb2 import CreateWebhookEndpointRequest
from reli.webhook.v1.webhook_service_pb2_grpc import WebhookServiceStub
from reli_client import (
    Ed25519Signer,
    EventStream,
    InvalidReceipt,
    InvalidWebhook,
    Refusal,
    connect,
    verify_receipt,
    verify_webhook,
)

URL, KEY = os.environ["RELI_URL"], os.environ["RELI_KEY"]
ROOTS = Path(os.environ["RELI_CA"]).read_bytes()

Delivery = tuple[dict[str, str], bytes]


def main() -> None:
    with connect(URL, KEY, root_certificates=ROOTS) as unsigned:
        customer_id = create_customer(unsigned)
        deposit(unsigned, customer_id)
        signer = require_signatures(unsigned)

    with (
        # A receipt is made a second or so after the trade: that may take more than four attempts.
        connect(URL, KEY, root_certificates=ROOTS, signer=signer, attempts=10) as channel,
        webhook_receiver() as (url, deliveries),
        ThreadPoolExecutor() as pool,
        EventStream(channel, after=0) as events,
    ):
        endpoint = CreateWebhookEndpointRequest(
            url=url, event_types=["trade.*"], request_id=new_request_id()
        )
        secret = WebhookServiceStub(channel).CreateWebhookEndpoint(endpoint).secret
        settled = pool.submit(first_settled_trade, events)

        quote = create_quote(channel, customer_id, bitcoins := "0.01")
        print(f"quote     {bitcoins} BTC for {quote.quote_amount.value} NGN")
        trade, event = accept(channel, quote, settled)
        check_webhook(event, deliveries, secret)
        check_receipt(channel, trade)
        ask_for_too_much(channel, customer_id)


def new_request_id() -> str:
    """Make the key of a call; a program stores it with what it is about to do."""
    return uuid4().hex


def create_customer(channel: grpc.Channel) -> str:
    customers = CustomerServiceStub(channel)
    request = CreateCustomerRequest(external_id="amina", request_id=new_request_id())
    ids = {customers.CreateCustomer(request).customer.id for _ in range(2)}
    (customer_id,) = ids
    print("customer  amina, asked for twice, is one")
    return str(customer_id)


def deposit(channel: grpc.Channel, customer_id: str) -> None:
    request = CreateDepositRequest(
        customer_id=customer_id,
        amount=Amount(value="2000000.00", asset="NGN"),
        request_id=new_request_id(),
    )
    amount = SandboxServiceStub(channel).CreateDeposit(request).deposit.amount
    print(f"deposit   {amount.value} {amount.asset}")


def require_signatures(channel: grpc.Channel) -> Ed25519Signer:
    """From here on the API key alone is worth nothing."""
    private_key = Ed25519PrivateKey.generate()
    request = CreateRequestSigningKeyRequest(
        name="story",
        algorithm=SIGNATURE_ALGORITHM_ED25519,
        public_key=private_key.public_key().public_bytes_raw(),
        request_id=new_request_id(),
    )
    key = RequestSigningKeyServiceStub(channel).CreateRequestSigningKey(request)
    tenants = TenantServiceStub(channel)
    tenants.UpdateCurrentTenant(
        UpdateCurrentTenantRequest(signing_required=True, request_id=new_request_id())
    )
    # Servers believe what they know of a tenant for up to a second.
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            tenants.GetCurrentTenant(GetCurrentTenantRequest())
        except Refusal as refusal:
            print(f"signing   required: an unsigned call is {refusal.reason}")
            return Ed25519Signer(key.request_signing_key.id, private_key)
        time.sleep(0.05)
    raise TimeoutError("calls without a signature are still taken")


def create_quote(channel: grpc.Channel, customer_id: str, bitcoins: str) -> Quote:
    request = CreateQuoteRequest(
        customer_id=customer_id,
        side=SIDE_BUY,
        base_asset="BTC",
        quote_asset="NGN",
        base_amount=Amount(value=bitcoins, asset="BTC"),
        request_id=new_request_id(),
    )
    quote: Quote = QuoteServiceStub(channel).CreateQuote(request).quote
    return quote


def first_settled_trade(events: EventStream) -> Event:
    """Read the log from its beginning; a gap would raise."""
    for expected, event in enumerate(events, start=1):
        assert event.sequence == expected
        if event.type == "trade.settled":
            return event
    raise EOFError("the log ended")


def accept(channel: grpc.Channel, quote: Quote, settled: Future[Event]) -> tuple[Trade, Event]:
    quotes = QuoteServiceStub(channel)
    request = AcceptQuoteRequest(quote_id=quote.id, request_id=new_request_id())
    first, again = quotes.AcceptQuote(request).trade, quotes.AcceptQuote(request).trade
    assert first.id == again.id
    event = settled.result(timeout=10)
    assert event.subject == first.id
    state = TradeState.Name(event.trade.state)
    print(f"accept    {state}, and sent twice it is the same trade")
    print(f"event     {event.type}, after all others without a gap")
    return event.trade, event


@contextmanager
def webhook_receiver() -> Iterator[tuple[str, "queue.Queue[Delivery]"]]:
    """A web server that keeps what it gets: its URL, and the deliveries."""
    deliveries: queue.Queue[Delivery] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            deliveries.put((dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/webhooks", deliveries
        finally:
            server.shutdown()


def check_webhook(event: Event, deliveries: "queue.Queue[Delivery]", secret: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        headers, body = deliveries.get(timeout=deadline - time.monotonic())
        delivered = verify_webhook(body, headers, secret)
        if delivered.id == event.id:
            break
    assert (delivered.sequence, delivered.subject) == (event.sequence, event.subject)
    try:
        verify_webhook(with_a_byte_changed(body), headers, secret)
    except InvalidWebhook:
        what = "verified: the same event; with a byte changed it is refused"
        print(f"webhook   {delivered.type}, {what}")
    else:
        raise AssertionError("a webhook that was changed is believed")


def check_receipt(channel: grpc.Channel, trade: Trade) -> None:
    """The receipt is made a second or so after the trade: until then the call is repeated."""
    trades = TradeServiceStub(channel)
    wanted = GetTradeReceiptRequest(trade_id=trade.id)
    receipt = trades.GetTradeReceipt(wanted, timeout=10).receipt
    gathered = trades.GetTradeEvidence(GetTradeEvidenceRequest(trade_id=trade.id)).evidence
    keys = SigningKeyServiceStub(channel).GetSigningKeys(GetSigningKeysRequest()).keys

    verify_receipt(receipt, keys, gathered.content)
    changed = TradeReceipt()
    changed.CopyFrom(receipt)
    changed.content = with_a_byte_changed(receipt.content)
    try:
        verify_receipt(changed, keys, gathered.content)
    except InvalidReceipt:
        what = "signature and evidence verified; with a byte changed it is refused"
        print(f"receipt   {TradeState.Name(receipt.state)}, {what}")
    else:
        raise AssertionError("a receipt that was changed is believed")


def ask_for_too_much(channel: grpc.Channel, customer_id: str) -> None:
    quote = create_quote(channel, customer_id, "1")
    request = AcceptQuoteRequest(quote_id=quote.id, request_id=new_request_id())
    try:
        QuoteServiceStub(channel).AcceptQuote(request)
    except Refusal as refusal:
        print(f"refusal   {refusal.reason}, retry {refusal.retry}")
    else:
        raise AssertionError("a customer bought more than she can pay")


def with_a_byte_changed(text: bytes) -> bytes:
    return text[:-2] + bytes([text[-2] ^ 1]) + text[-1:]


if __name__ == "__main__":
    main()
