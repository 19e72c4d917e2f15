"""The platform as a partner reaches it: one channel, and the stubs of the contract on it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import grpc

from app.partner.outcome import NotFound
from app.partner.profile import Profile, decoded_seed
from app.partner.screen import Screen
from reli.event.v1.event_service_pb2_grpc import EventServiceStub
from reli.ledger.v1.checkpoint_service_pb2_grpc import SigningKeyServiceStub
from reli.ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub
from reli.market.v1.market_service_pb2_grpc import MarketServiceStub
from reli.quote.v1.quote_service_pb2_grpc import QuoteServiceStub
from reli.sandbox.v1.sandbox_service_pb2_grpc import SandboxServiceStub
from reli.tenant.v1.tenant_service_pb2 import ListCustomersRequest
from reli.tenant.v1.tenant_service_pb2_grpc import (
    ApiKeyServiceStub,
    CustomerServiceStub,
    RequestSigningKeyServiceStub,
    TenantAdminServiceStub,
    TenantServiceStub,
)
from reli.trade.v1.trade_service_pb2_grpc import TradeServiceStub
from reli.webhook.v1.webhook_service_pb2_grpc import WebhookServiceStub
from reli_client import Ed25519Signer, connect

MOVING_TIMEOUT_S: Final = 20.0
"""How long an answer is waited for where something happens, all attempts together."""

_CUSTOMERS_LOOKED_AT: Final = 10_000
_PAGE_SIZE: Final = 200
_CUSTOMER_ID: Final = re.compile(r"customer_[0-7][0-9a-hjkmnp-tv-z]{25}")


class Api:
    """What a profile may call."""

    def __init__(self, profile: Profile, channel: grpc.Channel) -> None:
        self.profile = profile
        self.channel = channel
        self.api_keys = ApiKeyServiceStub(channel)
        self.customers = CustomerServiceStub(channel)
        self.events = EventServiceStub(channel)
        self.ledger = LedgerServiceStub(channel)
        self.market = MarketServiceStub(channel)
        self.quotes = QuoteServiceStub(channel)
        self.request_signing_keys = RequestSigningKeyServiceStub(channel)
        self.sandbox = SandboxServiceStub(channel)
        self.signing_keys = SigningKeyServiceStub(channel)
        self.tenant = TenantServiceStub(channel)
        self.tenants = TenantAdminServiceStub(channel)
        self.trades = TradeServiceStub(channel)
        self.webhooks = WebhookServiceStub(channel)

    def command(self, *words: str) -> tuple[str, ...]:
        """Return a command as it is typed to be of this very profile, whichever is current then."""
        named = ("--profile", self.profile.name) if self.profile.name else ()
        return ("reli", *words, *named)

    def customer_id(self, customer: str) -> str:
        """Return the id of a customer who is named by it or by the tenant's own id.

        Raises NotFound. Nobody named is the tenant itself, whose id here is empty.
        """
        if not customer or _CUSTOMER_ID.fullmatch(customer):
            return customer
        for one in pages(
            self.customers.ListCustomers, ListCustomersRequest(), "customers", _CUSTOMERS_LOOKED_AT
        ):
            if one.external_id == customer:
                return str(one.id)
        raise NotFound(
            f"none of your latest {_CUSTOMERS_LOOKED_AT:,} customers has the id {customer!r}"
        )


@contextmanager
def open_api(profile: Profile) -> Iterator[Api]:
    key = profile.signing_key
    signer = Ed25519Signer(key.id, decoded_seed(key.seed)) if key else None
    with connect(
        profile.url,
        profile.api_key,
        signer=signer,
        root_certificates=profile.ca.encode() or None,
    ) as channel:
        yield Api(profile, channel)


def pages(call: Callable[[Any], Any], request: Any, field: str, limit: int) -> Iterator[Any]:
    """Yield what a list has, up to `limit`, a page at a time."""
    left = limit
    while left:
        request.page_size = min(left, _PAGE_SIZE)
        answer = call(request)
        found = getattr(answer, field)
        yield from found[:left]
        left -= min(left, len(found))
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def new_request_id() -> str:
    return f"reli-{uuid4()}"


def told_request_id(screen: Screen, given: str | None) -> str:
    """Return the id of a call that has an effect, which was told before the call is made."""
    request_id = given or new_request_id()
    screen.note_document({"request_id": request_id})
    if not given:
        screen.note("request id ", request_id, " (if the answer is lost: --request-id)")
    return request_id
