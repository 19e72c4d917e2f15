"""Bad input is refused with a reason of its own, and changes nothing.

A case is a call that would succeed, and what is wrong with it. `rows` proves that nothing changed:
it hashes every row that the tenants of this module have in any tenant table of the catalogue.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from dataclasses import field as field_of
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from adapters.envoy.descriptor import commented_set_path
from adapters.openapi.contract import Contract
from adapters.openapi.limits import number_limits, text_limits
from domain.errors import Retry
from domain.ids import (
    AccountId,
    ApiKeyId,
    BreakId,
    BreakResolutionId,
    CustomerId,
    DeadLetterId,
    EntryId,
    EventId,
    LpSettlementId,
    QuoteId,
    RequestSigningKeyId,
    TenantId,
    TradeId,
    TransferId,
    TypedId,
    WebhookDeliveryId,
    WebhookEndpointId,
)
from domain.ledger.account import AccountKind
from reli.auth.v1 import access_pb2
from reli.event.v1 import event_service_pb2 as event_pb
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.reconciliation.v1 import reconciliation_service_pb2 as reconciliation_pb
from reli.reconciliation.v1 import statement_pb2
from reli.sandbox.v1 import sandbox_service_pb2 as sandbox_pb
from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.trade.v1 import trade_service_pb2 as trade_pb
from reli.webhook.v1 import webhook_service_pb2 as webhook_pb
from tests.support.chain import chain_books
from tests.support.closes import close_days
from tests.support.dead_letters import a_dead_letter
from tests.support.event_log import stamp_events
from tests.support.lp_settlements import an_lp_desk
from tests.support.platform import (
    Client,
    Platform,
    amount,
    new_request_id,
    refusal_in,
    refusal_of,
    uuid_at,
)
from tests.support.receipts import make_receipt
from tests.support.rpc import RPCS, WITH_A_KEY, Rpc
from tests.support.signing import a_signing_key_id
from tests.support.statements import csv_statement
from tests.support.webhooks import an_endpoint, some_deliveries

INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
MISSING: Final = grpc.StatusCode.NOT_FOUND
EXISTS: Final = grpc.StatusCode.ALREADY_EXISTS
REFUSED: Final = grpc.StatusCode.FAILED_PRECONDITION
FORBIDDEN: Final = grpc.StatusCode.PERMISSION_DENIED
UNAUTHENTICATED: Final = grpc.StatusCode.UNAUTHENTICATED

NOTHING: Final[Mapping[str, int]] = {}
THE_REQUEST: Final = {"requests": 1, "audit_records": 1}
THE_REQUEST_AND_BOTH_IDS: Final = {"requests": 1, "audit_records": 1, "burned_ids": 2}

INNER_WORDS: Final = re.compile(
    r"Traceback|Error\b|Exception|<class|\.py\b|\bNone\b|asyncpg|sqlalchemy|core\.|constraint"
    r"|\bSELECT\b|\bINSERT\b|\bUPDATE\b|violates",
)

NOW: Final = datetime.now(UTC)

BANK: Final = statement_pb2.Source(kind=statement_pb2.SOURCE_KIND_RAIL, name="first-bank")

SOMEWHERE: Final = "https://example.com/webhooks"

STUCK: Final = "0.00007761"
"""An amount at which the primary venue cuts the line."""
SPARE_INSTRUMENT: Final = "ETH-ZAR"
SET_TENANT: Final = "TenantAdminService/SetTenantTradingState"
FETCH: Final = "ReconciliationAdminService/FetchStatement"
SET_LP: Final = "LiquidityAdminService/SetLpTradingState"
SET_INSTRUMENT: Final = "MarketAdminService/SetInstrumentTradingState"
CREATE_ENDPOINT: Final = "WebhookService/CreateWebhookEndpoint"
UPDATE_ENDPOINT: Final = "WebhookService/UpdateWebhookEndpoint"
REPLAY_EVENTS: Final = "WebhookService/ReplayWebhookEvents"
FAR_WORSE: Final = "0.00007791"
"""An amount that the primary fills at a price beyond the tolerance."""


def an_id(kind: type[TypedId], *, age: timedelta = timedelta()) -> str:
    return str(kind(uuid_at(datetime.now(UTC) - age)))


@dataclass(kw_only=True)
class World:
    """A tenant with one of everything that can be named, and two others beside it."""

    platform: Platform
    client: Client
    tenant_id: str
    empty_tenant_id: str
    foreign_tenant_id: str
    house_id: str
    slug: str
    key_id: str
    revoked_key_id: str
    spare_key_ids: Sequence[str]
    signing_key_id: str
    reader: Client
    minter: Client
    revoked: Client
    suspended: Client
    closed: Client
    customer_id: str = ""
    poor_customer_id: str = ""
    suspended_customer_id: str = ""
    closed_customer_id: str = ""
    foreign_customer_id: str = ""
    quote_id: str = ""
    other_quote_id: str = ""
    poor_quote_id: str = ""
    used_quote_id: str = ""
    canceled_quote_id: str = ""
    expired_quote_id: str = ""
    suspended_quote_id: str = ""
    foreign_quote_id: str = ""
    trade_id: str = ""
    treasury: str = ""
    customer_account: str = ""
    external: str = ""
    btc_treasury: str = ""
    btc_external: str = ""
    full_treasury: str = ""
    kes_external: str = ""
    overdrawn_treasury: str = ""
    foreign_account: str = ""
    entry_id: str = ""
    reversible_entry_id: str = ""
    reversed_entry_id: str = ""
    hold_entry_id: str = ""
    transfer_id: str = ""
    burned_entry_id: str = ""
    burned_transfer_id: str = ""
    stuck_trade_id: str = ""
    resolution_id: str = ""
    break_id: str = ""
    trade_break_id: str = ""
    proposed_break_id: str = ""
    break_resolution_id: str = ""
    event_id: str = ""
    foreign_event_id: str = ""
    dead_letter_id: str = ""
    replayed_letter_id: str = ""
    foreign_letter_id: str = ""
    spare_lp: str = ""
    lp: str = ""
    lp_settlement_id: str = ""
    other_lp_settlement_id: str = ""
    settled_lp_settlement_id: str = ""
    endpoint_id: str = ""
    spare_endpoint_id: str = ""
    disabled_endpoint_id: str = ""
    foreign_endpoint_id: str = ""
    delivery_id: str = ""
    held_delivery_id: str = ""
    foreign_delivery_id: str = ""
    pending: dict[str, str] = field_of(default_factory=dict)
    rows: dict[str, tuple[int, str]] = field_of(default_factory=dict)

    @property
    def tenant_ids(self) -> list[UUID]:
        named = (self.tenant_id, self.empty_tenant_id, self.foreign_tenant_id, self.house_id)
        return [TenantId.parse(text).uuid for text in named]

    async def call(self, name: str, request: Message, client: Client | None = None) -> Any:
        rpc = RPCS[name]
        client = client or (self.platform.operator if rpc.is_for_operators else self.client)
        return await rpc.call(self.platform.channel, request, client.metadata)

    async def open_account(self, kind: str, asset: str, owner: str = "", tenant: str = "") -> str:
        request = ledger_pb.OpenAccountRequest(
            tenant_id=tenant or self.tenant_id,
            kind=f"ACCOUNT_KIND_{kind}",
            owner=owner,
            asset=asset,
        )
        opened = await self.call("LedgerAdminService/OpenAccount", request)
        return str(opened.account.id)

    async def enter(self, transfer: ledger_pb2.Transfer, entry_id: str = "") -> str:
        request = ledger_pb.CreateEntryRequest(
            tenant_id=self.tenant_id,
            entry_id=entry_id or an_id(EntryId),
            transfers=[transfer],
            request_id=new_request_id(),
        )
        made = await self.call("LedgerAdminService/CreateEntry", request)
        return str(made.entry.id)

    def deposit(self, **fields: Any) -> ledger_pb2.Transfer:
        """One naira from outside to the treasury, or what `fields` make of it."""
        given: dict[str, Any] = {
            "id": an_id(TransferId),
            "debit_account_id": self.external,
            "credit_account_id": self.treasury,
            "amount": amount("1.00", "NGN"),
        }
        return ledger_pb2.Transfer(**(given | fields))


async def a_world(platform: Platform) -> World:
    tenant_id, client = await platform.a_tenant()
    empty_tenant_id, _ = await platform.a_tenant()
    foreign_tenant_id, foreign = await platform.a_tenant()
    admin = platform.operator.tenant_admin
    tenant = (await admin.GetTenant(tenant_pb.GetTenantRequest(tenant_id=tenant_id))).tenant
    key, revoked, *spare = [
        await admin.CreateTenantApiKey(
            tenant_pb.CreateTenantApiKeyRequest(tenant_id=tenant_id, name="spare")
        )
        for _ in range(5)
    ]
    await admin.RevokeTenantApiKey(
        tenant_pb.RevokeTenantApiKeyRequest(tenant_id=tenant_id, api_key_id=revoked.api_key.id)
    )
    suspended_id, _ = await platform.a_tenant()
    closed_id, _ = await platform.a_tenant()
    await admin.SuspendTenant(tenant_pb.SuspendTenantRequest(tenant_id=suspended_id))
    await admin.CloseTenant(tenant_pb.CloseTenantRequest(tenant_id=closed_id))
    signing_key_id, _ = [await a_signing_key_id(client) for _ in range(2)]
    world = World(
        platform=platform,
        client=client,
        tenant_id=tenant_id,
        empty_tenant_id=empty_tenant_id,
        foreign_tenant_id=foreign_tenant_id,
        house_id=str(platform.environment.house_id),
        slug=tenant.slug,
        key_id=key.api_key.id,
        revoked_key_id=revoked.api_key.id,
        spare_key_ids=[one.api_key.id for one in spare],
        signing_key_id=signing_key_id,
        reader=await platform.a_client(tenant_id, [access_pb2.SCOPE_READ]),
        minter=await platform.a_client(
            tenant_id, [access_pb2.SCOPE_SANDBOX, access_pb2.SCOPE_KEYS]
        ),
        revoked=Client(platform.channel, revoked.secret),
        suspended=await platform.a_client(suspended_id),
        closed=await platform.a_client(closed_id),
    )
    await _add_customers_and_quotes(world, foreign)
    await _add_books(world)
    await chain_books(platform)
    await _add_stuck_trades_and_breaks(world)
    await chain_books(platform)
    await world.open_account("CUSTOMER", "KES", world.customer_id)
    await _add_dead_letters(world)
    await _add_breaks_of_a_bank(world)
    await close_days(platform, world.tenant_id)
    await make_receipt(platform, world.tenant_id, world.trade_id)
    await _add_trading_states(world)
    await _add_lp_settlements(world)
    await stamp_events(platform)
    world.event_id, world.foreign_event_id = [
        (await each.events.ListEvents(event_pb.ListEventsRequest(page_size=1))).events[0].id
        for each in (client, foreign)
    ]
    await _add_webhooks(world, foreign)
    return world


async def _add_webhooks(world: World, foreign: Client) -> None:
    """Endpoints to which no worker sends anything."""
    owner = world.platform.owner
    made = [(await an_endpoint(world.client, SOMEWHERE))[0].id for _ in range(3)]
    world.endpoint_id, world.spare_endpoint_id, world.disabled_endpoint_id = made
    world.delivery_id, *_ = await some_deliveries(owner, world.endpoint_id)
    world.held_delivery_id, *_ = await some_deliveries(owner, world.disabled_endpoint_id)
    await world.client.webhooks.DisableWebhookEndpoint(
        webhook_pb.DisableWebhookEndpointRequest(endpoint_id=world.disabled_endpoint_id)
    )
    world.foreign_endpoint_id = (await an_endpoint(foreign, SOMEWHERE))[0].id
    world.foreign_delivery_id, *_ = await some_deliveries(owner, world.foreign_endpoint_id)


async def _add_lp_settlements(world: World) -> None:
    desk, other, third = [await an_lp_desk(world.platform) for _ in range(3)]
    for one in (desk, other, third):
        await one.owe("1.00")
    world.other_lp_settlement_id = (await third.propose()).id
    world.settled_lp_settlement_id = (await desk.settled()).id
    await desk.owe("1.00")
    # Whoever approves it here is not who proposed it.
    proposer = replace(desk, platform=replace(world.platform, operator=desk.second))
    world.lp_settlement_id = (await proposer.propose()).id
    world.lp = other.lp
    await desk.owe("1.00", "BTC")


async def _add_customers_and_quotes(world: World, foreign: Client) -> None:
    client = world.client
    world.customer_id = await world.platform.a_funded_customer(client)
    world.poor_customer_id = (await client.create_customer("poor")).id
    world.suspended_customer_id = await world.platform.a_funded_customer(client)
    world.closed_customer_id = (await client.create_customer()).id
    world.foreign_customer_id = await world.platform.a_funded_customer(foreign)
    world.quote_id = (await client.quote(world.customer_id)).id
    world.other_quote_id = (await client.quote(world.customer_id)).id
    world.poor_quote_id = (await client.quote(world.poor_customer_id)).id
    world.used_quote_id = (await client.quote(world.customer_id)).id
    world.canceled_quote_id = (await client.quote(world.customer_id)).id
    world.expired_quote_id = (await client.quote(world.customer_id)).id
    world.suspended_quote_id = (await client.quote(world.suspended_customer_id)).id
    world.foreign_quote_id = (await foreign.quote(world.foreign_customer_id)).id
    world.trade_id = (await client.accept(world.used_quote_id, "used")).id
    await client.accept((await client.quote(world.customer_id)).id)
    await client.quotes.CancelQuote(quote_pb.CancelQuoteRequest(quote_id=world.canceled_quote_id))
    # One has been over for a second, the others outlive this module.
    await world.platform.owner.execute(
        "UPDATE core.quotes SET created_at = created_at - interval '1 hour', expires_at ="
        " core.now() + CASE id WHEN $1 THEN interval '-1 second' ELSE interval '1 hour' END"
        " WHERE tenant_id = ANY($2)",
        QuoteId.parse(world.expired_quote_id).uuid,
        world.tenant_ids,
    )
    await client.customers.SuspendCustomer(
        tenant_pb.SuspendCustomerRequest(customer_id=world.suspended_customer_id)
    )
    await client.customers.CloseCustomer(
        tenant_pb.CloseCustomerRequest(customer_id=world.closed_customer_id)
    )
    # Each of these request ids now stands for another body than the cases send.
    await client.customers.CreateCustomer(
        tenant_pb.CreateCustomerRequest(external_id="taken", request_id="used")
    )
    await client.quotes.CreateQuote(
        quote_pb.CreateQuoteRequest(
            customer_id=world.customer_id,
            side="SIDE_SELL",
            base_asset="BTC",
            quote_asset="NGN",
            base_amount=amount("1", "BTC"),
            request_id="used",
        )
    )
    await client.sandbox.CreateDeposit(
        sandbox_pb.CreateDepositRequest(amount=amount("7.00", "NGN"), request_id="used")
    )


async def _add_books(world: World) -> None:
    world.treasury = await world.open_account("TREASURY", "NGN")
    world.customer_account = await world.open_account("CUSTOMER", "NGN", world.customer_id)
    world.external = await world.open_account("EXTERNAL", "NGN", "bank")
    world.btc_treasury = await world.open_account("TREASURY", "BTC")
    world.btc_external = await world.open_account("EXTERNAL", "BTC", "chain")
    world.full_treasury = await world.open_account("TREASURY", "KES")
    world.kes_external = await world.open_account("EXTERNAL", "KES", "bank")
    world.overdrawn_treasury = await world.open_account("TREASURY", "USD")
    usd_external = await world.open_account("EXTERNAL", "USD", "bank")
    world.foreign_account = await world.open_account(
        "TREASURY", "NGN", tenant=world.foreign_tenant_id
    )
    world.entry_id = an_id(EntryId)
    committed = world.deposit()
    world.transfer_id = committed.id
    await world.enter(committed, world.entry_id)
    world.reversible_entry_id = await world.enter(world.deposit())
    reversed_id = await world.enter(world.deposit())
    await world.call(
        REVERSE,
        ledger_pb.ReverseEntryRequest(
            tenant_id=world.tenant_id, entry_id=reversed_id, request_id="reversed"
        ),
    )
    world.reversed_entry_id = reversed_id
    world.hold_entry_id = await world.enter(
        world.deposit(kind=ledger_pb2.TRANSFER_KIND_PENDING, amount=amount("0.01", "NGN"))
    )
    await world.call(
        "LedgerAdminService/SetOverdraftLimit",
        ledger_pb.SetOverdraftLimitRequest(
            tenant_id=world.tenant_id,
            account_id=world.overdrawn_treasury,
            overdraft_limit=amount("100", "USD"),
        ),
    )
    await world.enter(
        world.deposit(
            debit_account_id=world.overdrawn_treasury,
            credit_account_id=usd_external,
            amount=amount("50.00", "USD"),
        )
    )
    # As far as a column can go; a hundred million of the largest transfers would lead there.
    await world.platform.owner.execute(
        "UPDATE core.accounts SET credits_posted = 1e38 - 1 WHERE id = $1",
        AccountId.parse(world.full_treasury).uuid,
    )
    await _add_pending_and_burned(world)


async def _add_stuck_trades_and_breaks(world: World) -> None:
    """The primary cut the line on them, and no worker is here to ask it again; and two breaks."""
    for _ in range(2):
        await world.client.accept((await world.client.quote(world.customer_id, FAR_WORSE)).id)
    quotes = [await world.client.quote(world.customer_id, STUCK) for _ in range(2)]
    trade, _ = [await world.client.accept(quote.id) for quote in quotes]
    await world.platform.container.runner().drain()
    proposed = await world.call(
        "TradeAdminService/ProposeResolution",
        trade_pb.ProposeResolutionRequest(
            tenant_id=world.tenant_id,
            trade_id=trade.id,
            verdict="RESOLUTION_VERDICT_NOT_FILLED",
            evidence="line 7",
            request_id=new_request_id(),
        ),
        await world.platform.a_client(world.house_id, [access_pb2.SCOPE_OPERATOR]),
    )
    world.stuck_trade_id, world.resolution_id = trade.id, proposed.resolution.id


async def _add_trading_states(world: World) -> None:
    for state in ("HALTED", "ACTIVE"):
        await world.call(
            SET_TENANT,
            tenant_pb.SetTenantTradingStateRequest(
                tenant_id=world.tenant_id, trading_state=f"TRADING_STATE_{state}", reason="a drill"
            ),
        )
    # An LP that nobody trades with, and an instrument that nobody trades.
    world.spare_lp = f"spare-{new_request_id()}"
    await world.platform.owner.execute("INSERT INTO core.lps (name) VALUES ($1)", world.spare_lp)
    await world.platform.owner.execute(
        "UPDATE core.instruments SET trading_state = 'active' WHERE code = $1", SPARE_INSTRUMENT
    )


async def _add_breaks_of_a_bank(world: World) -> None:
    listed = await world.call(
        "ReconciliationAdminService/ListBreaks",
        reconciliation_pb.ListBreaksRequest(tenant_id=world.tenant_id),
    )
    world.trade_break_id = listed.breaks[0].id
    lines = [(f"FT-{number}", "", NOW, "NGN", "1.00") for number in range(2)]
    await world.call(
        "ReconciliationAdminService/ImportStatement",
        reconciliation_pb.ImportStatementRequest(
            tenant_id=world.tenant_id,
            source=BANK,
            format=statement_pb2.STATEMENT_FORMAT_CSV,
            content=csv_statement(NOW, NOW + timedelta(hours=1), lines),
        ),
    )
    listed = await world.call(
        "ReconciliationAdminService/ListBreaks",
        reconciliation_pb.ListBreaksRequest(tenant_id=world.tenant_id),
    )
    world.break_id, world.proposed_break_id = [one.id for one in listed.breaks[:2]]
    proposed = await world.call(
        "ReconciliationAdminService/ResolveBreak",
        reconciliation_pb.ResolveBreakRequest(
            tenant_id=world.tenant_id,
            break_id=world.proposed_break_id,
            counter_account_id=world.treasury,
            note="line 7",
            request_id=new_request_id(),
        ),
        await world.platform.a_client(world.house_id, [access_pb2.SCOPE_OPERATOR]),
    )
    world.break_resolution_id = proposed.reconciliation_break.resolution.id


async def _add_dead_letters(world: World) -> None:
    """Whatever is replayed here, no worker does it."""
    platform = world.platform
    world.dead_letter_id = await a_dead_letter(platform.owner, world.tenant_id)
    world.replayed_letter_id = await a_dead_letter(platform.owner, world.tenant_id)
    world.foreign_letter_id = await a_dead_letter(platform.owner, world.foreign_tenant_id)
    await platform.owner.execute(
        "UPDATE core.dead_letters SET state = 'replayed', replayed_at = core.now(),"
        " replay_requested_at = core.now(), replay_requested_by = $2 WHERE id = $1",
        DeadLetterId.parse(world.replayed_letter_id).uuid,
        ApiKeyId.parse(world.key_id).uuid,
    )


async def _add_pending_and_burned(world: World) -> None:
    over = Timestamp()
    over.FromDatetime(NOW - timedelta(seconds=1))
    for name in ("open", "posted", "voided", "expired"):
        pending = world.deposit(
            kind=ledger_pb2.TRANSFER_KIND_PENDING,
            amount=amount("5.00", "NGN"),
            expire_time=over if name == "expired" else None,
        )
        await world.enter(pending)
        world.pending[name] = pending.id
    for name, kind in (
        ("posted", ledger_pb2.TRANSFER_KIND_POST),
        ("voided", ledger_pb2.TRANSFER_KIND_VOID),
    ):
        await world.enter(
            ledger_pb2.Transfer(id=an_id(TransferId), kind=kind, pending_id=world.pending[name])
        )
    world.burned_entry_id, world.burned_transfer_id = an_id(EntryId), an_id(TransferId)
    overspent = world.deposit(
        id=world.burned_transfer_id,
        debit_account_id=world.treasury,
        credit_account_id=world.external,
        amount=amount("1000000.00", "NGN"),
    )
    with pytest.raises(grpc.aio.AioRpcError):
        await world.enter(overspent, world.burned_entry_id)


@pytest.fixture(scope="module")
async def world(platform: Platform) -> World:
    return await a_world(platform)


GOOD: Final[Mapping[str, Callable[[World], Mapping[str, Any]]]] = {
    "TenantService/GetCurrentTenant": lambda w: {},
    "TenantService/UpdateCurrentTenant": lambda w: {"display_name": "A new name"},
    "ApiKeyService/CreateApiKey": lambda w: {"name": "k", "scopes": [access_pb2.SCOPE_READ]},
    "ApiKeyService/ListApiKeys": lambda w: {},
    "RequestSigningKeyService/CreateRequestSigningKey": lambda w: {
        "name": "k",
        "algorithm": "SIGNATURE_ALGORITHM_ED25519",
        "public_key": bytes(range(32)),
    },
    "RequestSigningKeyService/ListRequestSigningKeys": lambda w: {},
    "RequestSigningKeyService/RevokeRequestSigningKey": lambda w: {
        "request_signing_key_id": w.signing_key_id
    },
    "ApiKeyService/RevokeApiKey": lambda w: {"api_key_id": w.key_id},
    "ApiKeyService/RotateApiKey": lambda w: {
        "api_key_id": w.spare_key_ids[0],
        "overlap": timedelta(hours=1),
    },
    "AuditService/ListAuditRecords": lambda w: {},
    "CustomerService/CreateCustomer": lambda w: {"external_id": "new"},
    "CustomerService/GetCustomer": lambda w: {"customer_id": w.customer_id},
    "CustomerService/ListCustomers": lambda w: {},
    "CustomerService/SuspendCustomer": lambda w: {"customer_id": w.poor_customer_id},
    "CustomerService/ActivateCustomer": lambda w: {"customer_id": w.suspended_customer_id},
    "CustomerService/CloseCustomer": lambda w: {"customer_id": w.poor_customer_id},
    "TenantAdminService/CreateTenant": lambda w: {"slug": f"{w.slug}-2", "display_name": "New"},
    "TenantAdminService/GetTenant": lambda w: {"tenant_id": w.tenant_id},
    "TenantAdminService/ListTenants": lambda w: {},
    "TenantAdminService/UpdateTenantTerms": lambda w: {
        "tenant_id": w.tenant_id,
        "platform_fee_bps": 7,
    },
    "TenantAdminService/SuspendTenant": lambda w: {"tenant_id": w.empty_tenant_id},
    "TenantAdminService/ActivateTenant": lambda w: {"tenant_id": w.empty_tenant_id},
    "TenantAdminService/CloseTenant": lambda w: {"tenant_id": w.empty_tenant_id},
    "TenantAdminService/SetTenantTradingState": lambda w: {
        "tenant_id": w.empty_tenant_id,
        "trading_state": "TRADING_STATE_HALTED",
        "reason": "it asked for it",
    },
    "TenantAdminService/CreateTenantApiKey": lambda w: {"tenant_id": w.tenant_id, "name": "k"},
    "TenantAdminService/RevokeTenantApiKey": lambda w: {
        "tenant_id": w.tenant_id,
        "api_key_id": w.spare_key_ids[2],
    },
    "TenantAdminService/RotateTenantApiKey": lambda w: {
        "tenant_id": w.tenant_id,
        "api_key_id": w.spare_key_ids[1],
        "overlap": timedelta(hours=1),
    },
    "MarketService/ListAssets": lambda w: {},
    "MarketService/ListInstruments": lambda w: {},
    "MarketAdminService/SetInstrumentTradingState": lambda w: {
        "instrument": SPARE_INSTRUMENT,
        "trading_state": "TRADING_STATE_REDUCING",
        "reason": "it is wound down",
    },
    "MarketAdminService/ListTradingStateChanges": lambda w: {"tenant_id": w.tenant_id},
    "LiquidityAdminService/ListLps": lambda w: {},
    "LiquidityAdminService/SetLpTradingState": lambda w: {
        "lp": w.spare_lp,
        "trading_state": "TRADING_STATE_HALTED",
        "reason": "its statements do not add up",
    },
    "QuoteService/CreateQuote": lambda w: {
        "customer_id": w.customer_id,
        "side": 1,
        "base_asset": "BTC",
        "quote_asset": "NGN",
        "base_amount": amount("0.01", "BTC"),
    },
    "QuoteService/GetQuote": lambda w: {"quote_id": w.quote_id},
    "QuoteService/ListQuotes": lambda w: {},
    "QuoteService/AcceptQuote": lambda w: {
        "quote_id": w.quote_id,
        "request_id": new_request_id(),
    },
    "QuoteService/CancelQuote": lambda w: {"quote_id": w.other_quote_id},
    "EventService/ListEvents": lambda w: {"after": 0},
    "EventService/GetEvent": lambda w: {"event_id": w.event_id},
    "EventService/StreamEvents": lambda w: {"after": 0},
    **dict.fromkeys(
        ("QuoteService/GetIndicativeQuote", "QuoteService/StreamQuotes"),
        lambda w: {
            "side": 1,
            "base_asset": "BTC",
            "quote_asset": "NGN",
            "base_amount": amount("0.01", "BTC"),
        },
    ),
    "TradeService/GetTrade": lambda w: {"trade_id": w.trade_id},
    "TradeService/GetTradeEvidence": lambda w: {"trade_id": w.trade_id},
    "TradeService/GetTradeReceipt": lambda w: {"trade_id": w.trade_id},
    "TradeAdminService/GetTenantTradeEvidence": lambda w: {
        "tenant_id": w.tenant_id,
        "trade_id": w.trade_id,
    },
    "TradeAdminService/GetTenantTradeReceipt": lambda w: {
        "tenant_id": w.tenant_id,
        "trade_id": w.trade_id,
    },
    "TradeService/ListTrades": lambda w: {},
    "ReconciliationAdminService/ImportStatement": lambda w: {
        "tenant_id": w.tenant_id,
        "source": BANK,
        "format": "STATEMENT_FORMAT_CSV",
        "content": csv_statement(NOW - timedelta(hours=2), NOW),
    },
    "ReconciliationAdminService/FetchStatement": lambda w: {
        "lp": "alpha",
        "day": (datetime.now(UTC) - timedelta(days=1)).date().isoformat(),
    },
    "ReconciliationService/ListBreaks": lambda w: {},
    "ReconciliationAdminService/ListBreaks": lambda w: {"tenant_id": w.tenant_id},
    "ReconciliationAdminService/AssignBreak": lambda w: {
        "tenant_id": w.tenant_id,
        "break_id": w.break_id,
        "owner": "ada",
    },
    "ReconciliationAdminService/ResolveBreak": lambda w: {
        "tenant_id": w.tenant_id,
        "break_id": w.break_id,
        "counter_account_id": w.treasury,
        "note": "line 7 of the statement",
        "request_id": new_request_id(),
    },
    "ReconciliationAdminService/ApproveBreakResolution": lambda w: {
        "tenant_id": w.tenant_id,
        "break_id": w.proposed_break_id,
        "break_resolution_id": w.break_resolution_id,
        "request_id": new_request_id(),
    },
    "TradeAdminService/ListStuckTrades": lambda w: {},
    "TradeAdminService/ProposeResolution": lambda w: {
        "tenant_id": w.tenant_id,
        "trade_id": w.stuck_trade_id,
        "verdict": "RESOLUTION_VERDICT_FILLED",
        "venue_order_id": "order-7",
        "filled_amount": amount("11000.00", "NGN"),
        "evidence": "line 7 of the statement",
        "request_id": new_request_id(),
    },
    "TradeAdminService/ApproveResolution": lambda w: {
        "tenant_id": w.tenant_id,
        "trade_id": w.stuck_trade_id,
        "resolution_id": w.resolution_id,
        "request_id": new_request_id(),
    },
    "LpSettlementAdminService/ListLpPositions": lambda w: {},
    "LpSettlementAdminService/ProposeLpSettlement": lambda w: {
        "lp": w.lp,
        "rail": "a-bank",
        "request_id": new_request_id(),
    },
    "LpSettlementAdminService/ApproveLpSettlement": lambda w: {
        "lp_settlement_id": w.lp_settlement_id,
        "request_id": new_request_id(),
    },
    "LpSettlementAdminService/SettleLpSettlement": lambda w: {
        "lp_settlement_id": w.lp_settlement_id,
        "reference": "PAY-1",
        "evidence": "line 7 of the statement",
        "request_id": new_request_id(),
    },
    "LpSettlementAdminService/CancelLpSettlement": lambda w: {
        "lp_settlement_id": w.other_lp_settlement_id,
        "request_id": new_request_id(),
    },
    "LpSettlementAdminService/GetLpSettlement": lambda w: {"lp_settlement_id": w.lp_settlement_id},
    "LpSettlementAdminService/ListLpSettlements": lambda w: {},
    "EventAdminService/ListDeadLetters": lambda w: {},
    "EventAdminService/ReplayDeadLetter": lambda w: {
        "tenant_id": w.tenant_id,
        "dead_letter_id": w.dead_letter_id,
        "request_id": new_request_id(),
    },
    "LedgerService/ListAccounts": lambda w: {},
    "LedgerService/GetAccount": lambda w: {"account_id": w.treasury},
    "LedgerService/GetBalance": lambda w: {"account_id": w.treasury},
    "LedgerService/ListPostings": lambda w: {"account_id": w.treasury},
    "LedgerService/ListBalances": lambda w: {"customer_id": w.customer_id},
    "CheckpointService/ListCheckpoints": lambda w: {},
    "CheckpointService/GetInclusionProof": lambda w: {"entry_id": w.entry_id},
    "CheckpointService/ExportBooks": lambda w: {},
    "CheckpointAdminService/ListTenantCheckpoints": lambda w: {"tenant_id": w.tenant_id},
    "CheckpointAdminService/GetTenantInclusionProof": lambda w: {
        "tenant_id": w.tenant_id,
        "entry_id": w.entry_id,
    },
    "CheckpointAdminService/ExportTenantBooks": lambda w: {"tenant_id": w.tenant_id},
    "CheckpointService/GetLiabilityProof": lambda w: {
        "customer_id": w.customer_id,
        "asset": "NGN",
    },
    "CheckpointAdminService/GetTenantLiabilityProof": lambda w: {
        "tenant_id": w.tenant_id,
        "customer_id": w.customer_id,
        "asset": "NGN",
    },
    "SigningKeyService/GetSigningKeys": lambda w: {},
    "StatementService/GetStatement": lambda w: {
        "account_id": w.treasury,
        "start_time": _in_days(-30),
        "end_time": _in_days(1),
    },
    "StatementAdminService/GetTenantStatement": lambda w: {
        "tenant_id": w.tenant_id,
        "account_id": w.treasury,
        "start_time": _in_days(-30),
        "end_time": _in_days(1),
    },
    "StatementService/GetDailyClose": lambda w: {"day": "2026-03-02"},
    "StatementService/ListDailyCloses": lambda w: {},
    "StatementAdminService/GetTenantDailyClose": lambda w: {
        "tenant_id": w.tenant_id,
        "day": "2026-03-02",
    },
    "StatementAdminService/ListTenantDailyCloses": lambda w: {"tenant_id": w.tenant_id},
    "LedgerAdminService/CreateEntry": lambda w: {
        "tenant_id": w.tenant_id,
        "entry_id": an_id(EntryId),
        "transfers": [w.deposit()],
        "request_id": new_request_id(),
    },
    "LedgerAdminService/CreateEntries": lambda w: {
        "tenant_id": w.tenant_id,
        "entries": [{"entry_id": an_id(EntryId), "transfers": [w.deposit()]}],
    },
    "LedgerAdminService/LoadEntries": lambda w: {
        "tenant_id": w.tenant_id,
        "entries": [{"entry_id": an_id(EntryId), "transfers": [w.deposit()]}],
    },
    "LedgerAdminService/ReverseEntry": lambda w: {
        "tenant_id": w.tenant_id,
        "entry_id": w.reversible_entry_id,
        "request_id": new_request_id(),
    },
    "LedgerAdminService/GetEntry": lambda w: {"tenant_id": w.tenant_id, "entry_id": w.entry_id},
    "LedgerAdminService/OpenAccount": lambda w: {
        "tenant_id": w.tenant_id,
        "kind": ledger_pb2.ACCOUNT_KIND_TREASURY,
        "asset": "ETH",
    },
    "LedgerAdminService/SetOverdraftLimit": lambda w: {
        "tenant_id": w.tenant_id,
        "account_id": w.treasury,
        "overdraft_limit": amount("10.00", "NGN"),
    },
    "SandboxService/CreateDeposit": lambda w: {
        "customer_id": w.customer_id,
        "amount": amount("1.00", "NGN"),
        "request_id": new_request_id(),
    },
    "WebhookService/CreateWebhookEndpoint": lambda w: {
        "url": SOMEWHERE,
        "description": "all of it",
        "event_types": ["trade.settled", "quote.*"],
    },
    "WebhookService/GetWebhookEndpoint": lambda w: {"endpoint_id": w.endpoint_id},
    "WebhookService/ListWebhookEndpoints": lambda w: {},
    "WebhookService/UpdateWebhookEndpoint": lambda w: {
        "endpoint_id": w.endpoint_id,
        "url": f"{SOMEWHERE}/2",
    },
    "WebhookService/DisableWebhookEndpoint": lambda w: {"endpoint_id": w.spare_endpoint_id},
    "WebhookService/EnableWebhookEndpoint": lambda w: {"endpoint_id": w.spare_endpoint_id},
    "WebhookService/DeleteWebhookEndpoint": lambda w: {"endpoint_id": w.spare_endpoint_id},
    "WebhookService/RotateWebhookSecret": lambda w: {"endpoint_id": w.endpoint_id},
    "WebhookService/SendTestEvent": lambda w: {"endpoint_id": w.endpoint_id},
    "WebhookService/ListWebhookDeliveries": lambda w: {"endpoint_id": w.endpoint_id},
    "WebhookService/GetWebhookDelivery": lambda w: {"delivery_id": w.delivery_id},
    "WebhookService/ListWebhookAttempts": lambda w: {"delivery_id": w.delivery_id},
    "WebhookService/ReplayWebhookDelivery": lambda w: {"delivery_id": w.delivery_id},
    "WebhookService/ReplayWebhookDeliveries": lambda w: {"endpoint_id": w.endpoint_id},
    "WebhookService/ReplayWebhookEvents": lambda w: {
        "endpoint_id": w.endpoint_id,
        "first_sequence": 1,
        "last_sequence": 2,
    },
}
"""For each RPC, a request that succeeds."""

Change = Mapping[str, Any]
"""Paths into a request, and what to put there: a value, None for nothing, or what a world makes."""


def changed(world: World, rpc: str, change: Change) -> Message:
    request: Any = RPCS[rpc].request(**GOOD[rpc](world))
    for path, made in change.items():
        value = made(world) if callable(made) else made
        *parents, last = path.split(".")
        target = request
        for name in parents:
            target = target[int(name)] if name.isdigit() else getattr(target, name)
        if value is None:
            target.ClearField(last)
        elif isinstance(value, Message):
            getattr(target, last).CopyFrom(value)
        elif isinstance(value, list):
            target.ClearField(last)
            getattr(target, last).extend(value)
        else:
            setattr(target, last, value)
    return request  # type: ignore[no-any-return]


async def rows(world: World) -> dict[str, tuple[int, str]]:
    """Return how many rows the world's tenants have in each tenant table, and their hash."""
    owner = world.platform.owner
    tables = [
        row["name"]
        for row in await owner.fetch(
            "SELECT relname AS name FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
            " WHERE relnamespace = 'core'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relpersistence = 'p' AND attname = 'tenant_id'"
            # Who reads lists the lines that waited for it, and tells no more than was there.
            " AND relname NOT IN ('account_lines', 'unlisted_lines')"
        )
    ]
    assert {"tenants", "requests", "accounts", "transfers", "outbox", "trade_queue"} <= set(tables)
    found = await owner.fetch(
        " UNION ALL ".join(
            f"SELECT '{table}' AS name, count(*) AS rows,"
            " md5(string_agg(t::text, '|' ORDER BY t::text)) AS hash"
            f" FROM core.{table} AS t WHERE tenant_id = ANY($1)"
            for table in tables
        ),
        world.tenant_ids,
    )
    everywhere = await owner.fetchval("SELECT count(*) FROM core.tenants")
    return {row["name"]: (row["rows"], row["hash"]) for row in found} | {"all": (everywhere, "")}


@dataclass(frozen=True, kw_only=True)
class Expected:
    code: grpc.StatusCode
    reason: str
    field: str = ""


@asynccontextmanager
async def leaving(world: World, leaves: Mapping[str, int]) -> AsyncIterator[None]:
    """Whatever is done here adds so many rows to these tables and changes nothing else."""
    # Nobody else writes to these tenants, so what one test leaves is what the next one finds.
    before = world.rows or await rows(world)
    yield
    after = world.rows = await rows(world)
    more = {name: after[name][0] - before[name][0] for name in after if after[name] != before[name]}
    assert more == leaves


async def assert_refused(
    world: World,
    rpc: Rpc,
    request: Message | bytes,
    expected: Expected,
    metadata: Sequence[tuple[str, str]] | None = None,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rpc.call(
            world.platform.channel, request, key_of(world, rpc) if metadata is None else metadata
        )

    refusal = refusal_of(caught.value)
    found = Expected(
        code=refusal.code, reason=refusal.reason, field=refusal.metadata.get("field", "")
    )
    assert found == expected, (request, refusal)
    assert refusal.retry == Retry.NEVER
    assert refusal.message == caught.value.details()
    assert not INNER_WORDS.search(refusal.message), refusal.message


def key_of(world: World, rpc: Rpc) -> Sequence[tuple[str, str]]:
    return (world.platform.operator if rpc.is_for_operators else world.client).metadata


def _in_days(days: int) -> Timestamp:
    return Timestamp(seconds=int((datetime.now(UTC) + timedelta(days=days)).timestamp()))


def case(
    why: str,
    rpc: str,
    change: Change,
    code: grpc.StatusCode,
    reason: str,
    field: str = "",
    leaves: Mapping[str, int] = NOTHING,
) -> Any:
    expected = Expected(code=code, reason=reason, field=field)
    return pytest.param(rpc, change, expected, leaves, id=f"{rpc.partition('/')[2]}: {why}")


# What is wrong in the same way wherever such a field appears.


def fields_of(*names: str) -> Iterator[tuple[str, str]]:
    """Return RPC and path of every field of these names, inside of repeated transfers too."""
    for rpc in RPCS.values():
        for name in rpc.fields:
            if name in names:
                yield rpc.name, name
        if "transfers" in rpc.fields:
            transfer = ledger_pb2.Transfer.DESCRIPTOR.fields_by_name
            yield from ((rpc.name, f"transfers.0.{name}") for name in names if name in transfer)


ID_FIELDS: Final = [
    (rpc, path)
    for rpc, path in fields_of(
        *("tenant_id", "customer_id", "api_key_id", "quote_id", "trade_id", "resolution_id"),
        *(
            "dead_letter_id",
            "event_id",
            "lp_settlement_id",
            "account_id",
            "entry_id",
            "id",
            "debit_account_id",
            "credit_account_id",
            "pending_id",
            "break_id",
            "break_resolution_id",
            "linked_break_id",
            "linked_entry_id",
            "counter_account_id",
            "endpoint_id",
            "delivery_id",
        ),
    )
]
MAY_BE_EMPTY: Final = {
    ("QuoteService/CreateQuote", "customer_id"),
    ("QuoteService/ListQuotes", "customer_id"),
    ("TradeService/ListTrades", "customer_id"),
    ("TradeAdminService/ListStuckTrades", "tenant_id"),
    ("EventAdminService/ListDeadLetters", "tenant_id"),
    ("AuditService/ListAuditRecords", "api_key_id"),
    ("SandboxService/CreateDeposit", "customer_id"),
    *(("LedgerAdminService/CreateEntry", f"transfers.0.{name}") for name in
      ("debit_account_id", "credit_account_id", "pending_id")),
}  # fmt: skip

DIGITS: Final = "01h455vb4pex5vsknk084sn02q"
NO_IDS: Final = [
    "",
    f"apple_{DIGITS}",
    DIGITS,
    "01890a5d-ac96-774b-bcce-b302099a8057",
    "{prefix}_" + DIGITS[1:],
    "{prefix}_" + DIGITS + "0",
    "{prefix}_8" + DIGITS[1:],
    "{prefix}_" + DIGITS.upper(),
    "{prefix}_" + DIGITS[:-1] + "u",
    " {prefix}_" + DIGITS,
    "{prefix}_" + DIGITS + "\n",
    "{prefix}_" + DIGITS[:-1] + "\0",
    "{prefix}_" + "٠" * 26,
    "x" * 60_000,
    "'; DROP TABLE core.tenants; --",
]
KINDS: Final = {
    "id": "transfer",
    "pending_id": "transfer",
    "api_key_id": "apikey",
    "dead_letter_id": "deadletter",
    "lp_settlement_id": "lpsettlement",
    "endpoint_id": "webhookendpoint",
    "delivery_id": "webhookdelivery",
    "break_resolution_id": "breakresolution",
    "linked_break_id": "break",
    "linked_entry_id": "entry",
    "counter_account_id": "account",
    "debit_account_id": "account",
    "credit_account_id": "account",
}


@pytest.mark.parametrize(("name", "path"), ID_FIELDS)
async def test_what_is_no_id_of_the_right_kind_is_refused(
    world: World, name: str, path: str
) -> None:
    field = path.rpartition(".")[2]
    prefix = KINDS.get(field, field.removesuffix("_id"))

    async with leaving(world, NOTHING):
        for text in NO_IDS:
            if text or (name, path) not in MAY_BE_EMPTY:
                await assert_refused(
                    world,
                    RPCS[name],
                    changed(world, name, {path: text.replace("{prefix}", prefix)}),
                    Expected(code=INVALID, reason="INVALID_ID", field=field),
                )


AMOUNT_FIELDS: Final = [
    ("QuoteService/CreateQuote", "base_amount", "BTC"),
    ("QuoteService/CreateQuote", "quote_amount", "NGN"),
    ("QuoteService/GetIndicativeQuote", "base_amount", "BTC"),
    ("QuoteService/GetIndicativeQuote", "quote_amount", "NGN"),
    ("QuoteService/StreamQuotes", "base_amount", "BTC"),
    ("QuoteService/StreamQuotes", "quote_amount", "NGN"),
    ("SandboxService/CreateDeposit", "amount", "NGN"),
    ("TradeAdminService/ProposeResolution", "filled_amount", "NGN"),
    ("LedgerAdminService/CreateEntry", "transfers.0.amount", "NGN"),
    ("LedgerAdminService/SetOverdraftLimit", "overdraft_limit", "NGN"),
]
SCALE: Final = {"BTC": 8, "NGN": 2}
MALFORMED: Final = [
    *("", " ", "-", ".", "+1", "--1", "1.", ".5", "01", "00.1", "1.2.3", "0x10", "1_000", "1,000"),
    *("1e5", "1E5", "1e-2", "NaN", "nan", "Infinity", "-inf", " 1", "1 ", "1\n", "1\0", "1 000"),
    *("１", "١", "¹", "−1", "½", "∞", "1; DROP TABLE core.tenants", "9" * 200, "0" * 60_000),
]
ZERO: Final = ["0", "0.00", "-0", "-0.00"]
NEGATIVE: Final = ["-1", "-0.01", "-" + "9" * 20]
TOO_LARGE: Final = ["1" + "0" * 31, "9" * 60]


@pytest.mark.parametrize(("name", "path", "asset"), AMOUNT_FIELDS)
async def test_what_is_no_amount_is_refused(world: World, name: str, path: str, asset: str) -> None:
    scale = SCALE[asset]
    wrong = {
        "MALFORMED_AMOUNT": MALFORMED,
        "AMOUNT_NOT_POSITIVE": NEGATIVE if path == "overdraft_limit" else [*ZERO, *NEGATIVE],
        "AMOUNT_TOO_LARGE": [*TOO_LARGE, "1" + "0" * (30 - scale) + "." + "1".zfill(scale)],
        "TOO_MANY_DIGITS": ["1." + "1".zfill(scale + 1), "0." + "0" * (scale + 1)],
    }

    async with leaving(world, NOTHING):
        for value, reason in ((text, reason) for reason, texts in wrong.items() for text in texts):
            await assert_refused(
                world,
                RPCS[name],
                changed(world, name, {path: amount(value, asset)}),
                Expected(code=INVALID, reason=reason, field=f"{path.rpartition('.')[2]}.value"),
            )


@pytest.mark.parametrize(("name", "path", "asset"), AMOUNT_FIELDS)
async def test_an_amount_of_no_asset_is_refused(
    world: World, name: str, path: str, asset: str
) -> None:
    field = f"{path.rpartition('.')[2]}.asset"

    async with leaving(world, NOTHING):
        for code in ("", "XYZ", asset.lower(), f"{asset} ", f"{asset}\0", "ВТС", "B" * 60_000):
            await assert_refused(
                world,
                RPCS[name],
                changed(world, name, {path: amount("1", code)}),
                Expected(code=INVALID, reason="UNKNOWN_ASSET", field=field),
            )


PAGED: Final = [rpc for rpc, _ in fields_of("page_token")]


@pytest.mark.parametrize("name", [rpc for rpc, _ in fields_of("page_size")])
async def test_a_page_is_1_to_200_long(world: World, name: str) -> None:
    async with leaving(world, NOTHING):
        for size in (-1, 201, 2**31 - 1, -(2**31)):
            await assert_refused(
                world,
                RPCS[name],
                changed(world, name, {"page_size": size}),
                Expected(code=INVALID, reason="INVALID_ARGUMENT", field="page_size"),
            )


@pytest.fixture(scope="module")
async def tokens(world: World) -> Mapping[str, str]:
    """A true token of every method that lists."""
    found = {}
    for name in PAGED:
        page = await world.call(name, changed(world, name, {"page_size": 1}))
        assert page.next_page_token, f"{name} has but one thing to list here"
        found[name] = page.next_page_token
    return found


@pytest.mark.parametrize("name", PAGED)
async def test_a_page_token_is_what_the_same_method_gave(
    world: World, tokens: Mapping[str, str], name: str
) -> None:
    own = tokens[name]
    forged = [
        *("x", "=", "%%%", "\0", "é", "1", "-1", "A" * 23, "A" * 60_000),
        *(own[:length] for length in (1, 8, len(own) - 4, len(own) - 1)),
        *(own + "A", own + "AAAA", own + "\n", " " + own, own.swapcase()),
        *(token for other, token in tokens.items() if other != name),
    ]

    async with leaving(world, NOTHING):
        for token in forged:
            await assert_refused(
                world,
                RPCS[name],
                changed(world, name, {"page_token": token}),
                Expected(code=INVALID, reason="INVALID_PAGE_TOKEN", field="page_token"),
            )


REPEATABLE: Final = [rpc for rpc, _ in fields_of("request_id")]
MONEY_MOVES: Final = [
    "QuoteService/AcceptQuote",
    "LedgerAdminService/CreateEntry",
    "SandboxService/CreateDeposit",
    "TradeAdminService/ProposeResolution",
    "TradeAdminService/ApproveResolution",
    "ReconciliationAdminService/ResolveBreak",
    "ReconciliationAdminService/ApproveBreakResolution",
    "LpSettlementAdminService/ProposeLpSettlement",
    "LpSettlementAdminService/ApproveLpSettlement",
    "LpSettlementAdminService/SettleLpSettlement",
    "LpSettlementAdminService/CancelLpSettlement",
    "EventAdminService/ReplayDeadLetter",
]


@pytest.mark.parametrize("name", REPEATABLE)
async def test_a_request_id_is_up_to_64_printable_characters(world: World, name: str) -> None:
    rpc = RPCS[name]
    invalid = Expected(code=INVALID, reason="REQUEST_ID_INVALID", field="request_id")

    async with leaving(world, NOTHING):
        for text in ("x" * 65, "a\nb", "a\0b", "é", "１", "\x7f", "x" * 60_000):
            request = changed(world, name, {"request_id": text})
            await assert_refused(world, rpc, request, invalid)
        header = [*key_of(world, rpc), ("idempotency-key", "x" * 65)]
        await assert_refused(world, rpc, changed(world, name, {"request_id": ""}), invalid, header)


@pytest.mark.parametrize("name", REPEATABLE)
async def test_field_and_header_of_a_request_id_must_match(world: World, name: str) -> None:
    async with leaving(world, NOTHING):
        await assert_refused(
            world,
            RPCS[name],
            changed(world, name, {"request_id": "one"}),
            Expected(code=INVALID, reason="REQUEST_ID_MISMATCH", field="request_id"),
            [*key_of(world, RPCS[name]), ("idempotency-key", "two")],
        )


async def test_of_two_headers_that_differ_neither_is_meant(world: World) -> None:
    header = [*key_of(world, RPCS[DEPOSIT]), ("idempotency-key", "a"), ("idempotency-key", "b")]

    async with leaving(world, NOTHING):
        await assert_refused(
            world,
            RPCS[DEPOSIT],
            changed(world, DEPOSIT, {"request_id": ""}),
            Expected(code=INVALID, reason="REQUEST_ID_MISMATCH", field="request_id"),
            header,
        )


@pytest.mark.parametrize("name", MONEY_MOVES)
async def test_money_moves_under_a_request_id_only(world: World, name: str) -> None:
    async with leaving(world, NOTHING):
        await assert_refused(
            world,
            RPCS[name],
            changed(world, name, {"request_id": ""}),
            Expected(code=INVALID, reason="REQUEST_ID_REQUIRED", field="request_id"),
        )


@pytest.mark.parametrize(
    "name",
    [
        "CustomerService/CreateCustomer",
        "QuoteService/CreateQuote",
        "QuoteService/AcceptQuote",
        "SandboxService/CreateDeposit",
    ],
)
async def test_a_request_id_stands_for_one_body(world: World, name: str) -> None:
    async with leaving(world, NOTHING):
        await assert_refused(
            world,
            RPCS[name],
            changed(world, name, {"request_id": "used"}),
            Expected(code=EXISTS, reason="REQUEST_ID_REUSED"),
        )


SIGNING_KEY: Final = "RequestSigningKeyService/CreateRequestSigningKey"
TEXTS: Final = {
    ("TenantService/UpdateCurrentTenant", "display_name"): 100,
    ("TenantAdminService/CreateTenant", "display_name"): 100,
    ("TenantAdminService/CreateTenantApiKey", "name"): 64,
    ("ApiKeyService/CreateApiKey", "name"): 64,
    (SIGNING_KEY, "name"): 64,
    ("CustomerService/CreateCustomer", "external_id"): 64,
    ("LedgerAdminService/CreateEntry", "description"): 200,
    ("LedgerAdminService/OpenAccount", "owner"): 64,
    ("TradeAdminService/ProposeResolution", "venue_order_id"): 64,
    ("TradeAdminService/ProposeResolution", "evidence"): 500,
    ("ReconciliationAdminService/AssignBreak", "owner"): 64,
    ("ReconciliationAdminService/ResolveBreak", "note"): 500,
    **{(rpc, "reason"): 200 for rpc in (SET_TENANT, SET_LP, SET_INSTRUMENT)},
    (SET_LP, "lp"): 31,
    (FETCH, "lp"): 31,
    (SET_INSTRUMENT, "instrument"): 33,
    ("LpSettlementAdminService/ProposeLpSettlement", "lp"): 64,
    ("LpSettlementAdminService/SettleLpSettlement", "evidence"): 500,
    ("LpSettlementAdminService/SettleLpSettlement", "reference"): 64,
    (CREATE_ENDPOINT, "description"): 200,
    (UPDATE_ENDPOINT, "description"): 200,
}


@pytest.mark.parametrize(("name", "path"), TEXTS)
async def test_a_text_is_short_and_without_control_characters(
    world: World, name: str, path: str
) -> None:
    too_long = ["é" * (TEXTS[name, path] + 1), "x" * 60_000]
    too_short = [] if path in ("description", "owner") else [""]

    async with leaving(world, NOTHING):
        for text in (*too_long, *too_short, "a\0b", "a\nb", "a\tb", "\x1b[31m", "a\x7f", "a\x85"):
            await assert_refused(
                world,
                RPCS[name],
                changed(world, name, {path: text}),
                Expected(code=INVALID, reason="INVALID_ARGUMENT", field=path),
            )


@pytest.mark.parametrize("name", RPCS)
async def test_bytes_that_are_no_such_message_are_refused(world: World, name: str) -> None:
    malformed = [b"\xff", b"\x0a\x05ab", b"\x0b", b"\x00", b"\x12\x80\x80\x80\x80\x10"]
    first = RPCS[name].descriptor.input_type.fields_by_number.get(1)
    if first is not None and first.type == first.TYPE_STRING:
        malformed.append(b"\x0a\x02\xff\xfe")

    async with leaving(world, NOTHING):
        for content in malformed:
            await assert_refused(
                world, RPCS[name], content, Expected(code=INVALID, reason="MALFORMED_REQUEST")
            )


# What is wrong with one call.


def duration(seconds: int, nanos: int = 0) -> Duration:
    return Duration(seconds=seconds, nanos=nanos)


def branding(**fields: Any) -> Struct:
    made = Struct()
    made.update(fields)
    return made


def a_nest(levels: int) -> list[Any]:
    return [a_nest(levels - 1)] if levels > 1 else []


def a_resolution(kind: str, name: str, **fields: Any) -> Callable[[World], list[Message]]:
    """Resolve a pending transfer of the world, with accounts and amount as it has them."""
    return lambda w: [
        w.deposit(
            kind=ledger_pb2.TransferKind.Value(f"TRANSFER_KIND_{kind}"),
            pending_id=w.pending.get(name) or {"regular": w.transfer_id}.get(name, name),
            **{"amount": amount("5.00", "NGN")} | {
                key: value(w) if callable(value) else value for key, value in fields.items()
            },
        )
    ]  # fmt: skip


def transfer(**fields: Any) -> Callable[[World], list[Message]]:
    return lambda w: [
        w.deposit(**{k: value(w) if callable(value) else value for k, value in fields.items()})
    ]


QUOTE: Final = "QuoteService/CreateQuote"
ACCEPT: Final = "QuoteService/AcceptQuote"
CANCEL: Final = "QuoteService/CancelQuote"
INDICATIVE: Final = "QuoteService/GetIndicativeQuote"
PRICES: Final = "QuoteService/StreamQuotes"
DEPOSIT: Final = "SandboxService/CreateDeposit"
PROPOSE: Final = "TradeAdminService/ProposeResolution"
APPROVE: Final = "TradeAdminService/ApproveResolution"
IMPORT: Final = "ReconciliationAdminService/ImportStatement"
RESOLVE_BREAK: Final = "ReconciliationAdminService/ResolveBreak"
APPROVE_BREAK: Final = "ReconciliationAdminService/ApproveBreakResolution"
EVENT: Final = "EventService/GetEvent"
EVENT_VIEWS: Final = ("EventService/ListEvents", "EventService/StreamEvents")
REPLAY: Final = "EventAdminService/ReplayDeadLetter"
PROPOSE_PAYMENT: Final = "LpSettlementAdminService/ProposeLpSettlement"
APPROVE_PAYMENT: Final = "LpSettlementAdminService/ApproveLpSettlement"
PAY: Final = "LpSettlementAdminService/SettleLpSettlement"
GIVE_UP: Final = "LpSettlementAdminService/CancelLpSettlement"
ENTRY: Final = "LedgerAdminService/CreateEntry"
REVERSE: Final = "LedgerAdminService/ReverseEntry"
BATCH: Final = "LedgerAdminService/CreateEntries"
LOAD: Final = "LedgerAdminService/LoadEntries"
OPEN: Final = "LedgerAdminService/OpenAccount"
STATEMENTS: Final = ("StatementService/GetStatement", "StatementAdminService/GetTenantStatement")
OF_TRADE: Final = ("TradeService/GetTradeEvidence", "TradeService/GetTradeReceipt")
CLOSES: Final = ("StatementService/GetDailyClose", "StatementAdminService/GetTenantDailyClose")
LIMIT: Final = "LedgerAdminService/SetOverdraftLimit"
UPDATE: Final = "TenantService/UpdateCurrentTenant"
TERMS: Final = "TenantAdminService/UpdateTenantTerms"
CREATE: Final = "TenantAdminService/CreateTenant"
KEY: Final = "ApiKeyService/CreateApiKey"
A_LIMIT: Final[dict[str, Any]] = {"cost_class": "COST_CLASS_READ", "per_second": 10, "burst": 10}
TENANT_KEY: Final = "TenantAdminService/CreateTenantApiKey"
GET_TENANT: Final = "reli.tenant.v1.TenantService/GetCurrentTenant"
SUSPEND: Final = "TenantAdminService/SuspendTenant"
ROTATE: Final = "ApiKeyService/RotateApiKey"
ROTATE_TENANT_KEY: Final = "TenantAdminService/RotateTenantApiKey"


def price_cases(rpc: str) -> list[Any]:
    """Return what is wrong with a question for a price, whichever method it is put to."""
    return [
        *(
            case(f"side {side}", rpc, {"side": side}, INVALID, "INVALID_ARGUMENT", "side")
            for side in (0, 3, 7, -1)
        ),
        case("no amount", rpc, {"base_amount": None}, INVALID, "INVALID_ARGUMENT", "base_amount"),
        *(
            case(
                f"base {code!r}", rpc, {"base_asset": code}, INVALID, "UNKNOWN_ASSET", "base_asset"
            )
            for code in ("", "XYZ", "btc", "BTC\0")
        ),
        case("quote XYZ", rpc, {"quote_asset": "XYZ"}, INVALID, "UNKNOWN_ASSET", "quote_asset"),
        case(
            "base = quote",
            rpc,
            {"base_asset": "NGN", "base_amount": amount("1", "NGN")},
            INVALID,
            "SAME_ASSET",
        ),
        case(
            "base amount in the quote asset",
            rpc,
            {"base_amount": amount("1", "NGN")},
            INVALID,
            "INVALID_ARGUMENT",
            "base_amount.asset",
        ),
        case(
            "quote amount in the base asset",
            rpc,
            {"quote_amount": amount("1", "BTC")},
            INVALID,
            "INVALID_ARGUMENT",
            "quote_amount.asset",
        ),
        case(
            "a pair that is not traded",
            rpc,
            {"base_asset": "NGN", "quote_asset": "BTC", "base_amount": amount("1", "NGN")},
            MISSING,
            "INSTRUMENT_NOT_FOUND",
        ),
        case(
            "more than anybody trades",
            rpc,
            {"base_amount": amount("1" + "0" * 22, "BTC")},
            INVALID,
            "AMOUNT_TOO_LARGE",
        ),
        case(
            "sold for more than anybody trades",
            rpc,
            {"side": 2, "quote_amount": amount("1" + "0" * 28, "NGN")},
            INVALID,
            "AMOUNT_TOO_LARGE",
        ),
        case(
            "too little to be left after fee and markup",
            rpc,
            {"quote_amount": amount("0.01", "NGN")},
            INVALID,
            "AMOUNT_TOO_SMALL",
        ),
        case(
            "too little to be worth anything",
            rpc,
            {
                "side": 2,
                "base_asset": "USDT",
                "base_amount": amount("0.000001", "USDT"),
            },
            INVALID,
            "AMOUNT_TOO_SMALL",
        ),
    ]


LP_SETTLEMENT_CASES: Final = [
    *(
        case(f"rail {rail!r}", PROPOSE_PAYMENT, {"rail": rail}, INVALID, "INVALID_ARGUMENT", "rail")
        for rail in ("", "A-bank", "a bank", "1-bank", "a_bank", "a" * 32, "bánk")
    ),
    *(
        case(
            f"reference {text!r}",
            PAY,
            {"reference": text},
            INVALID,
            "INVALID_ARGUMENT",
            "reference",
        )
        for text in ("PAY", "PAY 1", "PAY-é1")
    ),
    case(
        "the future",
        PROPOSE_PAYMENT,
        {"as_of_time": lambda w: _in_days(1)},
        INVALID,
        "INVALID_ARGUMENT",
        "as_of_time",
    ),
    *(
        case(why, PROPOSE_PAYMENT, change, REFUSED, reason, "", THE_REQUEST)
        for why, change, reason in (
            ("an LP that nobody knows", {"lp": "nobody"}, "LP_SETTLEMENT_EMPTY"),
            (
                "a time when nothing was owed",
                {"as_of_time": lambda w: _in_days(-30)},
                "LP_SETTLEMENT_EMPTY",
            ),
        )
    ),
    case("not approved", PAY, {}, REFUSED, "ILLEGAL_TRANSITION", "", THE_REQUEST),
    *(
        case(why, rpc, {"lp_settlement_id": id}, code, reason, "", leaves)
        for rpc in (APPROVE_PAYMENT, PAY, GIVE_UP)
        for why, id, code, reason, leaves in (
            (
                "settled",
                lambda w: w.settled_lp_settlement_id,
                REFUSED,
                "ILLEGAL_TRANSITION",
                THE_REQUEST,
            ),
            (
                "unknown",
                lambda w: an_id(LpSettlementId),
                MISSING,
                "LP_SETTLEMENT_NOT_FOUND",
                NOTHING,
            ),
        )
    ),
]

QUOTE_CASES: Final = [
    *price_cases(QUOTE),
    *price_cases(INDICATIVE),
    *price_cases(PRICES),
    *(
        case(f"ttl {ttl}", QUOTE, {"ttl": ttl}, INVALID, "INVALID_ARGUMENT", "ttl")
        for ttl in (
            *(duration(0), duration(-1), duration(0, 999_999_999), duration(900, 1_000_000)),
            *(duration(901), duration(0, -5), duration(2, 10**9), duration(1, 2**31 - 1)),
            *(duration(2**63 - 1), duration(-(2**63)), duration(315_576_000_000)),
        )
    ),
    *(
        case(why, rpc, {"customer_id": customer}, code, reason, "", leaves)
        for rpc, leaves in ((QUOTE, NOTHING), (DEPOSIT, THE_REQUEST))
        for why, customer, code, reason in (
            ("suspended", lambda w: w.suspended_customer_id, REFUSED, "CUSTOMER_SUSPENDED"),
            ("closed", lambda w: w.closed_customer_id, REFUSED, "CUSTOMER_CLOSED"),
        )
    ),
    *(
        case(why, rpc, {"customer_id": customer}, MISSING, "CUSTOMER_NOT_FOUND")
        for rpc in (QUOTE, DEPOSIT, "CustomerService/SuspendCustomer", "LedgerService/ListBalances")
        for why, customer in (
            ("foreign customer", lambda w: w.foreign_customer_id),
            ("unknown customer", lambda w: an_id(CustomerId)),
            ("customer of the year 10889", lambda w: "customer_7zzzzzzzzzzzzzzzzzzzzzzzzz"),
        )
    ),
    *(
        case(why, rpc, {"quote_id": quote}, code, reason, "", leaves)
        for rpc, leaves in ((ACCEPT, THE_REQUEST), (CANCEL, NOTHING))
        for why, quote, code, reason in (
            ("expired", lambda w: w.expired_quote_id, REFUSED, "QUOTE_EXPIRED"),
            ("used", lambda w: w.used_quote_id, REFUSED, "QUOTE_ALREADY_ACCEPTED"),
            ("canceled", lambda w: w.canceled_quote_id, REFUSED, "QUOTE_CANCELED"),
        )
    ),
    *(
        case(why, rpc, {"quote_id": quote}, MISSING, "QUOTE_NOT_FOUND")
        for rpc in (ACCEPT, CANCEL, "QuoteService/GetQuote")
        for why, quote in (
            ("foreign", lambda w: w.foreign_quote_id),
            ("unknown", lambda w: an_id(QuoteId)),
            ("of the year 1970", lambda w: f"quote_{'0' * 26}"),
        )
    ),
    case(
        "more than the customer has",
        ACCEPT,
        {"quote_id": lambda w: w.poor_quote_id},
        REFUSED,
        "INSUFFICIENT_FUNDS",
        "",
        THE_REQUEST,
    ),
    case(
        "for a suspended customer",
        ACCEPT,
        {"quote_id": lambda w: w.suspended_quote_id},
        REFUSED,
        "CUSTOMER_SUSPENDED",
        "",
        THE_REQUEST,
    ),
    case(
        "canceled, under a request id",
        CANCEL,
        {"quote_id": lambda w: w.canceled_quote_id, "request_id": "cancel"},
        REFUSED,
        "QUOTE_CANCELED",
        "",
        THE_REQUEST,
    ),
    *(
        case("unknown", rpc, {"trade_id": lambda w: an_id(TradeId)}, MISSING, "TRADE_NOT_FOUND")
        for rpc in ("TradeService/GetTrade", *OF_TRADE, PROPOSE, APPROVE)
    ),
    *(
        case(f"verdict {verdict}", PROPOSE, {"verdict": verdict}, INVALID, "INVALID_ARGUMENT",
             "verdict")
        for verdict in (0, 7, -1)
    ),
]  # fmt: skip

TENANT_CASES: Final = [
    *(
        case(f"slug {slug!r}", CREATE, {"slug": slug}, INVALID, "INVALID_ARGUMENT", "slug")
        for slug in ("", "a", "A-b", "-ab", "ab-", "a_b", "a b", "ab\n", "ａb", "a" * 41, "a.b")
    ),
    case("slug taken", CREATE, {"slug": lambda w: w.slug}, EXISTS, "TENANT_EXISTS"),
    case(
        "slug taken, under a request id",
        CREATE,
        {"slug": lambda w: w.slug, "request_id": lambda w: w.slug},
        EXISTS,
        "TENANT_EXISTS",
        "",
        {"requests": 1},  # which may come again, once the slug is free
    ),
    case(
        "external id taken",
        "CustomerService/CreateCustomer",
        {"external_id": "taken"},
        EXISTS,
        "CUSTOMER_EXISTS",
    ),
    case(
        "external id taken, under a request id",
        "CustomerService/CreateCustomer",
        {"external_id": "taken", "request_id": "taken"},
        EXISTS,
        "CUSTOMER_EXISTS",
        "",
        THE_REQUEST,
    ),
    case(
        "external id of other letters",
        "CustomerService/CreateCustomer",
        {"external_id": "café"},
        INVALID,
        "INVALID_ARGUMENT",
        "external_id",
    ),
    *(
        case(f"branding {why}", rpc, {"branding": made}, INVALID, "INVALID_ARGUMENT", "branding")
        for rpc in (CREATE, UPDATE)
        for why, made in (
            ("too large", branding(logo="x" * 8_200)),
            ("with NUL", branding(a="b\0c")),
            ("with NUL in a name", branding(**{"a\0": 1})),
            ("with NUL deep inside", branding(a=[{"b": ["\0"]}])),
            ("NaN", branding(a=float("nan"))),
            ("infinite", branding(a=[float("-inf")])),
            ("too deep", branding(a=a_nest(16))),
        )
    ),
    *(
        case(f"ttl {ttl}", UPDATE, {"quote_ttl": ttl}, INVALID, "INVALID_ARGUMENT", "quote_ttl")
        for ttl in (duration(0), duration(-1), duration(901), duration(0, 10**6), duration(2**62))
    ),
    case(
        "ttl 0",
        CREATE,
        {"settings.quote_ttl": duration(0)},
        INVALID,
        "INVALID_ARGUMENT",
        "settings.quote_ttl",
    ),
    *(
        case(f"markup {bps}", rpc, {path: [markup]}, INVALID, "INVALID_ARGUMENT", "markup_bps")
        for rpc, path in ((UPDATE, "markups"), (CREATE, "settings.markups"))
        for bps in (-1, 1_001, 2**31 - 1)
        for markup in [tenant_pb2.InstrumentMarkup(instrument="BTC-NGN", bps=bps)]
    ),
    *(
        case(f"markup of {code[:9]!r}", rpc, {path: [markup]}, MISSING, "INSTRUMENT_NOT_FOUND")
        for rpc, path in ((UPDATE, "markups"), (CREATE, "settings.markups"))
        for code in ("", "NGN-BTC", "BTC-NGN\0", "x" * 60_000)
        for markup in [tenant_pb2.InstrumentMarkup(instrument=code, bps=1)]
    ),
    case(
        "a markup out of range for sixty thousand letters",
        UPDATE,
        {"markups": [tenant_pb2.InstrumentMarkup(instrument="x" * 60_000, bps=-1)]},
        INVALID,
        "INVALID_ARGUMENT",
        "markup_bps",
    ),
    case(
        "too many markups",
        UPDATE,
        {"markups": [tenant_pb2.InstrumentMarkup(instrument="BTC-NGN")] * 101},
        INVALID,
        "INVALID_ARGUMENT",
        "markups",
    ),
    *(
        case(f"LPs {lps}", rpc, {path: lps}, INVALID, reason, field)
        for rpc, path in ((TERMS, "lp_order"), (CREATE, "settings.lp_order"))
        for lps, reason, field in (
            (["gamma"], "UNKNOWN_LP", ""),
            ([""], "UNKNOWN_LP", ""),
            (["alpha", "alpha\0"], "UNKNOWN_LP", ""),
            (["alpha", "beta", "alpha"], "INVALID_ARGUMENT", "lp_order"),
        )
    ),
    *(
        case(f"routing {routing}", rpc, {path: [tenant_pb2.InstrumentRouting(**routing)]}, code,
             reason, field)
        for rpc, path in ((TERMS, "routings"), (CREATE, "settings.routings"))
        for routing, code, reason, field in (
            ({"instrument": "BTC-XYZ", "rule": 1}, MISSING, "INSTRUMENT_NOT_FOUND", ""),
            ({"instrument": "", "rule": 1}, MISSING, "INSTRUMENT_NOT_FOUND", ""),
            ({"instrument": "BTC-NGN"}, INVALID, "INVALID_ARGUMENT", "routings.rule"),
            ({"instrument": "BTC-NGN", "rule": 4}, INVALID, "INVALID_ARGUMENT", "routings.rule"),
            ({"instrument": "BTC-NGN", "rule": -1}, INVALID, "INVALID_ARGUMENT", "routings.rule"),
        )
    ),
    case("many routings", TERMS,
         {"routings": [tenant_pb2.InstrumentRouting(instrument="BTC-NGN",
                                                      rule="ROUTING_RULE_SCORE")] * 101},
         INVALID, "INVALID_ARGUMENT", "routings"),
    *(
        case(f"state {state}", rpc, {"trading_state": state}, INVALID, "INVALID_ARGUMENT",
             "trading_state")
        for rpc in (SET_TENANT, SET_LP, SET_INSTRUMENT)
        for state in (0, 4, -1)
    ),
    *(
        case("the state that it is in", rpc, {"trading_state": 1}, REFUSED, "ILLEGAL_TRANSITION")
        for rpc in (SET_TENANT, SET_LP, SET_INSTRUMENT)
    ),
    case("halt the house", SET_TENANT, {"tenant_id": lambda w: w.house_id}, INVALID,
         "INVALID_ARGUMENT", "tenant_id"),
    case("an unknown LP", SET_LP, {"lp": "gamma"}, INVALID, "UNKNOWN_LP"),
    case("an unknown LP", FETCH, {"lp": "gamma"}, INVALID, "UNKNOWN_LP"),
    *(
        case(f"day {day!r}", FETCH, {"day": day}, INVALID, "INVALID_ARGUMENT", "day")
        for day in ("", "yesterday", "2026-02-30", "20260302", "2026-03-02T00:00:00Z")
    ),
    *(
        case(f"day {day}", FETCH, {"day": day}, INVALID, "STATEMENT_TIME_OUT_OF_RANGE")
        for day in ("1970-01-01", "9999-12-30")
    ),
    case("no such instrument", SET_INSTRUMENT, {"instrument": "BTC-XYZ"}, MISSING,
         "INSTRUMENT_NOT_FOUND"),
    case("many LPs", TERMS, {"lp_order": ["x"] * 101}, INVALID, "INVALID_ARGUMENT", "lp_order"),
    *(
        case(f"fee {bps}", rpc, {path: bps}, INVALID, "INVALID_ARGUMENT", "platform_fee_bps")
        for rpc, path in ((TERMS, "platform_fee_bps"), (CREATE, "settings.platform_fee_bps"))
        for bps in (-1, 1_001, -(2**31))
    ),
    *(
        case(f"{step} the house", rpc, {"tenant_id": lambda w: w.house_id}, INVALID,
             "INVALID_ARGUMENT", "tenant_id")
        for step in ("Suspend", "Close")
        for rpc in [f"TenantAdminService/{step}Tenant"]
    ),
    *(
        case(why, f"TenantAdminService/{step}Tenant", {"tenant_id": tenant}, REFUSED, reason)
        for why, step, tenant, reason in (
            ("active", "Activate", lambda w: w.tenant_id, "ILLEGAL_TRANSITION"),
            ("with balances", "Close", lambda w: w.tenant_id, "BALANCE_NOT_ZERO"),
        )
    ),
    *(
        case(why, f"CustomerService/{step}Customer", {"customer_id": customer}, REFUSED, reason)
        for why, step, customer, reason in (
            ("active", "Activate", lambda w: w.customer_id, "ILLEGAL_TRANSITION"),
            ("closed", "Activate", lambda w: w.closed_customer_id, "ILLEGAL_TRANSITION"),
            ("suspended", "Suspend", lambda w: w.suspended_customer_id, "ILLEGAL_TRANSITION"),
            ("closed", "Close", lambda w: w.closed_customer_id, "ILLEGAL_TRANSITION"),
            ("with a balance", "Close", lambda w: w.customer_id, "BALANCE_NOT_ZERO"),
        )
    ),
    *(
        case(f"range {text!r}", rpc, {"allowed_ip_ranges": [text]}, INVALID, "INVALID_ARGUMENT",
            "allowed_ip_ranges")
        for rpc in (KEY, TENANT_KEY)
        for text in ("", "home", "10.0.0.1/8", "10.0.0.0/33", "::ffff:10.0.0.0/104", "1" * 60_000)
    ),
    *(
        case("33 ranges", rpc, {"allowed_ip_ranges": [f"10.{n}.0.0/17" for n in range(33)]},
            INVALID, "INVALID_ARGUMENT", "allowed_ip_ranges")
        for rpc in (KEY, TENANT_KEY)
    ),
    *(
        case(f"method {methods[-1][:60]!r}", TENANT_KEY, {"tenant_id": tenant,
            "scopes": [scope], "methods": methods}, INVALID, "INVALID_ARGUMENT", "methods")
        for tenant, scope, methods in (
            (lambda w: w.tenant_id, access_pb2.SCOPE_READ, [GET_TENANT]),
            (lambda w: w.house_id, access_pb2.SCOPE_READ, ["reli.tenant.v1." + SUSPEND]),
            *(
                (lambda w: w.house_id, access_pb2.SCOPE_OPERATOR, [name])
                for name in (
                    *("", "GetTenant", "/" + GET_TENANT, GET_TENANT, "x" * 60_000, "a\0b/c"),
                    *("grpc.health.v1.Health/Check", "reli.tenant.v1." + TENANT_KEY),
                    "reli.tenant.v1." + ROTATE_TENANT_KEY,
                )
            ),
            (lambda w: w.house_id, access_pb2.SCOPE_READ, [GET_TENANT] * 65),
        )
    ),
    *(
        case(f"expires {why}", rpc, {"expire_time": instant}, INVALID, "INVALID_ARGUMENT",
            "expire_time")
        for rpc in (KEY, TENANT_KEY, ROTATE, ROTATE_TENANT_KEY)
        for why, instant in (
            ("in the past", Timestamp(seconds=1_700_000_000)),
            ("before all time", Timestamp(seconds=-1)),
            ("never in our calendar", Timestamp(seconds=2**60)),
        )
    ),
    *(
        case(f"overlap {why}", rpc, {"overlap": overlap}, INVALID, "INVALID_ARGUMENT", "overlap")
        for rpc in (ROTATE, ROTATE_TENANT_KEY)
        for why, overlap in (
            ("missing", None),
            ("negative", Duration(seconds=-1)),
            ("of more than a week", Duration(seconds=7 * 86_400, nanos=1_000)),
            ("of no duration", Duration(seconds=1, nanos=2**31 - 1)),
            ("of an age", Duration(seconds=2**62)),
        )
    ),
    *(
        case("revoked", rpc, {"api_key_id": lambda w: w.revoked_key_id}, REFUSED,
            "API_KEY_NOT_LIVE")
        for rpc in (ROTATE, ROTATE_TENANT_KEY)
    ),
    case("no scope", KEY, {"scopes": []}, INVALID, "INVALID_ARGUMENT", "scopes"),
    *(
        case(f"scope {scope}", rpc, {"scopes": [1, scope]}, INVALID, "INVALID_ARGUMENT", "scopes")
        for rpc in (KEY, TENANT_KEY)
        for scope in (0, 99, -1, access_pb2.SCOPE_OPERATOR)
    ),
    *(
        case(why, rpc, {"tenant_id": tenant}, MISSING, reason)
        for why, tenant in (
            ("unknown tenant", lambda w: an_id(TenantId)),
            ("tenant of zeros", lambda w: f"tenant_{'0' * 26}"),
        )
        for rpc, reason in (
            ("TenantAdminService/GetTenant", "TENANT_NOT_FOUND"),
            (TERMS, "TENANT_NOT_FOUND"),
            ("TenantAdminService/SuspendTenant", "TENANT_NOT_FOUND"),
            (SET_TENANT, "TENANT_NOT_FOUND"),
            ("MarketAdminService/ListTradingStateChanges", "TENANT_NOT_FOUND"),
            (TENANT_KEY, "TENANT_NOT_FOUND"),
            ("TenantAdminService/RevokeTenantApiKey", "API_KEY_NOT_FOUND"),
            (ROTATE_TENANT_KEY, "API_KEY_NOT_FOUND"),
            (ENTRY, "TENANT_NOT_FOUND"),
            (BATCH, "TENANT_NOT_FOUND"),
            (LOAD, "TENANT_NOT_FOUND"),
            ("LedgerAdminService/GetEntry", "ENTRY_NOT_FOUND"),
            ("CheckpointAdminService/ListTenantCheckpoints", "TENANT_NOT_FOUND"),
            ("CheckpointAdminService/GetTenantInclusionProof", "ENTRY_NOT_FOUND"),
            ("CheckpointAdminService/ExportTenantBooks", "TENANT_NOT_FOUND"),
            ("CheckpointAdminService/GetTenantLiabilityProof", "CUSTOMER_NOT_FOUND"),
            (OPEN, "TENANT_NOT_FOUND"),
            (LIMIT, "ACCOUNT_NOT_FOUND"),
            ("StatementAdminService/GetTenantStatement", "ACCOUNT_NOT_FOUND"),
            ("StatementAdminService/GetTenantDailyClose", "TENANT_NOT_FOUND"),
            ("StatementAdminService/ListTenantDailyCloses", "TENANT_NOT_FOUND"),
            ("TradeAdminService/GetTenantTradeEvidence", "TRADE_NOT_FOUND"),
            ("TradeAdminService/GetTenantTradeReceipt", "TRADE_NOT_FOUND"),
        )
    ),
    *(
        case("unknown", f"ApiKeyService/{step}ApiKey", {"api_key_id": lambda w: an_id(ApiKeyId)},
            MISSING, "API_KEY_NOT_FOUND")
        for step in ("Revoke", "Rotate")
    ),
    *(
        case(f"a public key of {length} bytes", SIGNING_KEY, {"public_key": bytes(length)}, INVALID,
             "INVALID_ARGUMENT", "public_key")
        for length in (0, 31, 33, 64)
    ),
    case("a public key of a shared secret", SIGNING_KEY,
         {"algorithm": "SIGNATURE_ALGORITHM_HMAC_SHA256"}, INVALID, "INVALID_ARGUMENT",
         "public_key"),
    *(
        case(f"algorithm {number}", SIGNING_KEY, {"algorithm": number}, INVALID,
             "INVALID_ARGUMENT", "algorithm")
        for number in (0, 3, -1)
    ),
    *(
        case(f"{field} {value}", TERMS, {"rate_limits": [limit]}, INVALID, "INVALID_ARGUMENT",
             f"rate_limits.{field}")
        for field, value in (("cost_class", 0), ("cost_class", 5), ("per_second", 0),
                             ("per_second", 100_001), ("burst", 9), ("burst", 101),
                             ("key_percent", 101), ("key_percent", -1))
        for limit in [tenant_pb2.RateLimit(**(A_LIMIT | {field: value}))]
    ),
    case("a class twice", TERMS, {"rate_limits": [tenant_pb2.RateLimit(**A_LIMIT)] * 2}, INVALID,
         "INVALID_ARGUMENT", "rate_limits.cost_class"),
    case("signatures without a key", TERMS,
         {"tenant_id": lambda w: w.empty_tenant_id, "signing_required": True}, REFUSED,
         "REQUEST_SIGNING_KEY_REQUIRED"),
    case(
        "unknown",
        "RequestSigningKeyService/RevokeRequestSigningKey",
        {"request_signing_key_id": lambda w: an_id(RequestSigningKeyId)},
        MISSING,
        "REQUEST_SIGNING_KEY_NOT_FOUND",
    ),
]  # fmt: skip

DAY: Final = timedelta(hours=24)
LEDGER_CASES: Final = [
    case("no entry", BATCH, {"entries": []}, INVALID, "EMPTY_BATCH", "entries"),
    case("no entry", LOAD, {"entries": []}, INVALID, "EMPTY_BATCH", "entries"),
    case(
        "8,191 entries",
        BATCH,
        {"entries": lambda w: [ledger_pb.NewEntry()] * 8_191},
        INVALID,
        "BATCH_TOO_LARGE",
        "entries",
    ),
    case(
        "8,200 transfers",
        BATCH,
        {
            "entries": lambda w: [
                ledger_pb.NewEntry(entry_id=an_id(EntryId), transfers=[w.deposit()] * 100)
            ]
            * 82
        },
        INVALID,
        "BATCH_TOO_LARGE",
        "entries",
    ),
    case("no transfer", ENTRY, {"transfers": []}, INVALID, "EMPTY_ENTRY"),
    case(
        "101 transfers",
        ENTRY,
        {"transfers": lambda w: [w.deposit() for _ in range(101)]},
        INVALID,
        "TOO_MANY_TRANSFERS",
    ),
    case(
        "a transfer twice",
        ENTRY,
        {"transfers": lambda w: [w.deposit()] * 2},
        INVALID,
        "DUPLICATE_TRANSFER_ID",
    ),
    case(
        "from an account to itself",
        ENTRY,
        {"transfers": transfer(credit_account_id=lambda w: w.external)},
        INVALID,
        "ACCOUNTS_MUST_DIFFER",
    ),
    *(
        case(f"{kind} of nothing", ENTRY, {"transfers": transfer(kind=kind)}, INVALID,
             "PENDING_ID_REQUIRED")
        for kind in ("TRANSFER_KIND_POST", "TRANSFER_KIND_VOID")
    ),
    case(
        "a regular transfer that resolves",
        ENTRY,
        {"transfers": transfer(pending_id=lambda w: w.pending["open"])},
        INVALID,
        "PENDING_ID_UNEXPECTED",
    ),
    case(
        "a regular transfer that expires",
        ENTRY,
        {"transfers": transfer(expire_time=Timestamp(seconds=2_000_000_000))},
        INVALID,
        "EXPIRY_UNEXPECTED",
    ),
    *(
        case(f"kind {kind}", ENTRY, {"transfers": transfer(kind=kind)}, INVALID,
             "INVALID_ARGUMENT", "kind")
        for kind in (ledger_pb2.TRANSFER_KIND_EXPIRE, 7, -1)
    ),
    *(
        case(f"purpose {purpose!r}", ENTRY, {"transfers": transfer(purpose=purpose)}, INVALID,
             "INVALID_ARGUMENT", "purpose")
        for purpose in ("Fee", "a b", "a\0", "fee\n", "é", "x" * 33)
    ),
    *(
        case(f"{path} {time}", rpc, {path: time}, INVALID, "INVALID_ARGUMENT", path)
        for rpc, path in (
            (ENTRY, "effective_time"),
            ("LedgerService/GetBalance", "effective_time"),
            ("LedgerService/GetBalance", "record_time"),
            (REVERSE, "effective_time"),
        )
        for time in (
            *(Timestamp(seconds=-1), Timestamp(seconds=253_402_300_800), Timestamp(nanos=-1)),
            *(Timestamp(nanos=10**9), Timestamp(seconds=2**63 - 1), Timestamp(seconds=-(2**63))),
        )
    ),
    case(
        "expiring in the year 10000",
        ENTRY,
        {"transfers": transfer(expire_time=Timestamp(seconds=253_402_300_800))},
        INVALID,
        "INVALID_ARGUMENT",
        "expire_time",
    ),
    *(
        case(f"no {path}", ENTRY, {f"transfers.0.{path}": None}, INVALID, "INVALID_ARGUMENT", path)
        for path in ("debit_account_id", "credit_account_id", "amount")
    ),
    case(
        "an entry id that failed",
        ENTRY,
        {"entry_id": lambda w: w.burned_entry_id},
        REFUSED,
        "ENTRY_ALREADY_FAILED",
        "",
        THE_REQUEST,
    ),
    case(
        "an entry id with other content",
        ENTRY,
        {"entry_id": lambda w: w.entry_id},
        EXISTS,
        "ENTRY_CONFLICT",
        "",
        THE_REQUEST,
    ),
    case(
        "a transfer id that failed",
        ENTRY,
        {"transfers": transfer(id=lambda w: w.burned_transfer_id)},
        REFUSED,
        "TRANSFER_ALREADY_FAILED",
        "",
        THE_REQUEST,
    ),
    case(
        "a transfer id of another entry",
        ENTRY,
        {"transfers": transfer(id=lambda w: w.transfer_id)},
        EXISTS,
        "TRANSFER_CONFLICT",
        "",
        THE_REQUEST,
    ),
    *(
        case(
            f"counts {days} days from now",
            ENTRY,
            {"effective_time": lambda w, days=days: _in_days(days)},
            INVALID,
            "EFFECTIVE_TIME_OUT_OF_WINDOW",
            "effective_time",
        )
        for days in (-367, 32)
    ),
    case("no such entry", REVERSE, {"entry_id": lambda w: an_id(EntryId)}, MISSING,
         "ENTRY_NOT_FOUND"),
    case("a hold", REVERSE, {"entry_id": lambda w: w.hold_entry_id}, REFUSED,
         "ENTRY_NOT_REVERSIBLE", "", THE_REQUEST),
    case("an entry that was reversed", REVERSE, {"entry_id": lambda w: w.reversed_entry_id},
         REFUSED, "ENTRY_ALREADY_REVERSED", "", THE_REQUEST),
    case(
        "an order that is none",
        "LedgerService/ListPostings",
        {"order": 9},
        INVALID,
        "INVALID_ARGUMENT",
        "order",
    ),
    *(
        case(f"{path} {why}", ENTRY, {path: made}, INVALID, "ID_OUT_OF_WINDOW")
        for path, kind in (("entry_id", EntryId), ("transfers.0.id", TransferId))
        for why, made in (
            ("too old", lambda w, kind=kind: an_id(kind, age=DAY + timedelta(minutes=1))),
            ("ahead of time", lambda w, kind=kind: an_id(kind, age=timedelta(minutes=-2))),
            ("no UUIDv7", lambda w, kind=kind: str(kind(uuid4()))),
            ("of zeros", lambda w, kind=kind: str(kind(UUID(int=0)))),
            ("of ones", lambda w, kind=kind: str(kind(UUID(int=2**128 - 1)))),
        )
    ),
    *(
        case(f"{why} {path}", ENTRY, {f"transfers.0.{path}": account}, MISSING,
             "ACCOUNT_NOT_FOUND", path)
        for path in ("debit_account_id", "credit_account_id")
        for why, account in (
            ("foreign", lambda w: w.foreign_account),
            ("unknown", lambda w: an_id(AccountId)),
        )
    ),
    case(
        "an amount of another asset",
        ENTRY,
        {"transfers": transfer(amount=amount("1", "BTC"))},
        INVALID,
        "ASSET_MISMATCH",
    ),
    case(
        "an account of another asset",
        ENTRY,
        {"transfers": transfer(credit_account_id=lambda w: w.btc_treasury)},
        INVALID,
        "ASSET_MISMATCH",
    ),
    case(
        "a post of nothing known",
        ENTRY,
        {"transfers": a_resolution("POST", an_id(TransferId))},
        MISSING,
        "PENDING_TRANSFER_NOT_FOUND",
    ),
    *(
        case(why, ENTRY, {"transfers": made}, code, reason, "", leaves)
        for why, made, code, reason, leaves in (
            ("a post of a regular transfer", a_resolution("POST", "regular"), REFUSED,
             "TRANSFER_NOT_PENDING", THE_REQUEST),
            ("a post elsewhere",
             a_resolution("POST", "open", credit_account_id=lambda w: w.customer_account),
             INVALID, "PENDING_ACCOUNTS_DIFFER", NOTHING),
            ("a post of more", a_resolution("POST", "open", amount=amount("5.01", "NGN")),
             REFUSED, "EXCEEDS_PENDING_AMOUNT", THE_REQUEST),
            ("a void of a part", a_resolution("VOID", "open", amount=amount("4.99", "NGN")),
             REFUSED, "EXCEEDS_PENDING_AMOUNT", THE_REQUEST),
            ("a second post", a_resolution("POST", "posted"), REFUSED, "PENDING_ALREADY_POSTED",
             THE_REQUEST),
            ("a void of what was posted", a_resolution("VOID", "posted"), REFUSED,
             "PENDING_ALREADY_POSTED", THE_REQUEST),
            ("a post of what was voided", a_resolution("POST", "voided"), REFUSED,
             "PENDING_ALREADY_VOIDED", THE_REQUEST),
            ("a post of what has expired", a_resolution("POST", "expired"), REFUSED,
             "PENDING_EXPIRED", THE_REQUEST),
        )
    ),
    *(
        case(
            f"{kind} of more than the account has",
            ENTRY,
            {
                "transfers": transfer(
                    debit_account_id=lambda w: w.treasury,
                    credit_account_id=lambda w: w.external,
                    amount=amount("1000.00", "NGN"),
                    kind=kind,
                )
            },
            REFUSED,
            "INSUFFICIENT_FUNDS",
            "",
            THE_REQUEST_AND_BOTH_IDS,
        )
        for kind in ("TRANSFER_KIND_REGULAR", "TRANSFER_KIND_PENDING")
    ),
    case(
        "beyond the last column",
        ENTRY,
        {
            "transfers": transfer(
                debit_account_id=lambda w: w.kes_external,
                credit_account_id=lambda w: w.full_treasury,
                amount=amount("0.01", "KES"),
            )
        },
        REFUSED,
        "BALANCE_OVERFLOW",
        "",
        THE_REQUEST_AND_BOTH_IDS,
    ),
    *(
        case(f"kind {kind}", OPEN, {"kind": kind}, INVALID, "INVALID_ARGUMENT", "kind")
        for kind in (0, len(AccountKind) + 1, 99, -1)
    ),
    case("asset XYZ", OPEN, {"asset": "XYZ"}, INVALID, "UNKNOWN_ASSET", "asset"),
    case("a treasury of somebody", OPEN, {"owner": "x"}, INVALID, "INVALID_ARGUMENT", "owner"),
    case("of nobody", OPEN, {"kind": "ACCOUNT_KIND_LP"}, INVALID, "INVALID_ARGUMENT", "owner"),
    *(
        case(f"of {why}", OPEN, {"kind": "ACCOUNT_KIND_CUSTOMER", "owner": owner}, code, reason,
             field)
        for why, owner, code, reason, field in (
            ("no customer", "x", INVALID, "INVALID_ID", "owner"),
            ("an unknown customer", lambda w: an_id(CustomerId), MISSING, "CUSTOMER_NOT_FOUND", ""),
            ("a foreign customer", lambda w: w.foreign_customer_id, MISSING,
             "CUSTOMER_NOT_FOUND", ""),
        )
    ),
    case("no limit", LIMIT, {"overdraft_limit": None}, INVALID, "UNKNOWN_ASSET",
         "overdraft_limit.asset"),
    case(
        "a customer's",
        LIMIT,
        {"account_id": lambda w: w.customer_account},
        INVALID,
        "INVALID_ARGUMENT",
        "account_id",
    ),
    *(
        case(f"{why} account", LIMIT, {"account_id": account}, MISSING, "ACCOUNT_NOT_FOUND")
        for why, account in (
            ("foreign", lambda w: w.foreign_account),
            ("unknown", lambda w: an_id(AccountId)),
        )
    ),
    case(
        "in another asset",
        LIMIT,
        {"overdraft_limit": amount("1", "BTC")},
        INVALID,
        "ASSET_MISMATCH",
    ),
    *(
        case(
            f"less than is used{', under a request id' * bool(request_id)}",
            LIMIT,
            {
                "account_id": lambda w: w.overdrawn_treasury,
                "overdraft_limit": amount("49.99", "USD"),
                "request_id": request_id,
            },
            REFUSED,
            "OVERDRAFT_TOO_SMALL",
            "",
            leaves,
        )
        for request_id, leaves in (("", NOTHING), ("limit", THE_REQUEST))
    ),
    *(
        case(f"{why} account", rpc, {"account_id": account}, MISSING, "ACCOUNT_NOT_FOUND")
        for rpc in (
            "LedgerService/GetAccount",
            "LedgerService/GetBalance",
            "LedgerService/ListPostings",
            *STATEMENTS,
        )
        for why, account in (
            ("foreign", lambda w: w.foreign_account),
            ("unknown", lambda w: an_id(AccountId)),
        )
    ),
    *(
        case("unknown entry", name, {"entry_id": lambda w: an_id(EntryId)}, MISSING,
            "ENTRY_NOT_FOUND")
        for name in (
            "LedgerAdminService/GetEntry",
            "CheckpointService/GetInclusionProof",
            "CheckpointAdminService/GetTenantInclusionProof",
        )
    ),
]  # fmt: skip

NO_STATEMENTS: Final[Sequence[tuple[str, Change, str]]] = (
    ("no start", {"start_time": None}, "start_time"),
    ("no end", {"end_time": None}, "end_time"),
    ("an end before the start", {"end_time": _in_days(-31)}, "end_time"),
    (
        "an end at the start",
        {"start_time": Timestamp(seconds=9), "end_time": Timestamp(seconds=9)},
        "end_time",
    ),
    ("more than 366 days", {"start_time": _in_days(-366)}, "end_time"),
    *(
        (f"{name} {seconds}", {name: Timestamp(seconds=seconds)}, name)
        for name in ("start_time", "end_time", "record_time")
        for seconds in (-1, 253_402_300_800, 2**63 - 1, -(2**63))
    ),
    *((f"format {number}", {"format": number}, "format") for number in (4, 99, -1)),
)

STATEMENT_CASES: Final = [
    *(
        case(why, rpc, change, INVALID, "INVALID_ARGUMENT", field)
        for rpc in STATEMENTS
        for why, change, field in NO_STATEMENTS
    ),
    *(
        case(f"day {day!r}", rpc, {"day": day}, INVALID, "INVALID_ARGUMENT", "day")
        for rpc in CLOSES
        for day in ("", "today", "2026-02-30", "20260302", "1969-12-31", "9999-12-31", "2026-3-2")
    ),
    *(
        case(f"no close of {day}", rpc, {"day": day}, MISSING, "DAILY_CLOSE_NOT_FOUND")
        for rpc in CLOSES
        for day in ("2026-03-01", "2199-01-01")
    ),
    *(
        case(
            "bitcoin as camt.053",
            rpc,
            {"account_id": lambda w: w.btc_treasury, "format": "STATEMENT_FORMAT_CAMT_053"},
            REFUSED,
            "STATEMENT_NOT_EXPRESSIBLE",
        )
        for rpc in STATEMENTS
    ),
]
LIABILITY_CASES: Final = [
    case(why, rpc, change, code, reason, field)
    for rpc in (
        "CheckpointService/GetLiabilityProof",
        "CheckpointAdminService/GetTenantLiabilityProof",
    )
    for why, change, code, reason, field in (
        ("unknown customer", {"customer_id": lambda w: an_id(CustomerId)}, MISSING,
         "CUSTOMER_NOT_FOUND", ""),
        ("foreign customer", {"customer_id": lambda w: w.foreign_customer_id}, MISSING,
         "CUSTOMER_NOT_FOUND", ""),
        ("no asset", {"asset": ""}, INVALID, "UNKNOWN_ASSET", "asset"),
        ("asset XYZ", {"asset": "XYZ"}, INVALID, "UNKNOWN_ASSET", "asset"),
        ("an asset never held", {"asset": "ETH"}, MISSING, "ACCOUNT_NOT_FOUND", ""),
    )
]  # fmt: skip

EVENT_CASES: Final = [
    *(
        case(f"{why} event", EVENT, {"event_id": event}, MISSING, "EVENT_NOT_FOUND")
        for why, event in (
            ("unknown", lambda w: an_id(EventId)),
            ("another tenant's", lambda w: w.foreign_event_id),
        )
    ),
    *(
        case(f"{view}, {why}", view, change, INVALID, reason, field)
        for view in EVENT_VIEWS
        for why, change, reason, field in (
            ("before the first", {"after": -1}, "INVALID_ARGUMENT", "after"),
            ("far ahead", {"after": 2**63 - 1}, "EVENT_SEQUENCE_AHEAD", "after"),
            ("until nothing", {"until": 0}, "INVALID_ARGUMENT", "until"),
            ("until the past", {"after": 2, "until": 1}, "INVALID_ARGUMENT", "until"),
            ("no type", {"types": [""]}, "INVALID_ARGUMENT", "types"),
            ("half a type", {"types": ["quote.created", "trade"]}, "INVALID_ARGUMENT", "types"),
            ("a type to be", {"types": ["trade.settled\n"]}, "INVALID_ARGUMENT", "types"),
            ("all types", {"types": ["*"]}, "INVALID_ARGUMENT", "types"),
            ("all of no noun", {"types": ["trad.*"]}, "INVALID_ARGUMENT", "types"),
            ("a long type", {"types": ["x" * 60_000]}, "INVALID_ARGUMENT", "types"),
            ("too many types", {"types": ["trade.settled"] * 65}, "INVALID_ARGUMENT", "types"),
        )
    ),
    *(
        case(
            f"wait {seconds}.{nanos:09} s",
            EVENT_VIEWS[0],
            {"wait": Duration(seconds=seconds, nanos=nanos)},
            INVALID,
            "INVALID_ARGUMENT",
            "wait",
        )
        for seconds, nanos in ((0, 0), (-1, 0), (4, 1_000_000), (0, 999), (1, 2_000_000_000))
    ),
    *(
        case(f"{why} letter", REPLAY, {"dead_letter_id": letter}, MISSING, "DEAD_LETTER_NOT_FOUND")
        for why, letter in (
            ("unknown", lambda w: an_id(DeadLetterId)),
            ("another tenant's", lambda w: w.foreign_letter_id),
        )
    ),
    case(
        "replayed before",
        REPLAY,
        {"dead_letter_id": lambda w: w.replayed_letter_id},
        REFUSED,
        "DEAD_LETTER_ALREADY_REPLAYED",
        "",
        THE_REQUEST,
    ),
]


def linked(**to: Any) -> Mapping[str, Any]:
    return {"counter_account_id": None, **to}


def a_statement(**fields: Any) -> Mapping[str, Any]:
    return {"content": csv_statement(NOW, NOW + timedelta(hours=1), **fields)}


def _overlap(seconds: int) -> Change:
    return {"overlap": Duration(seconds=seconds)}


WEBHOOK_CASES: Final = [
    *(
        case(f"{why} endpoint", f"WebhookService/{name}", {"endpoint_id": id}, MISSING,
             "WEBHOOK_ENDPOINT_NOT_FOUND")
        for why, id in (
            ("unknown", lambda w: an_id(WebhookEndpointId)),
            ("another tenant's", lambda w: w.foreign_endpoint_id),
        )
        for name in (
            *("GetWebhookEndpoint", "UpdateWebhookEndpoint", "DisableWebhookEndpoint"),
            *("EnableWebhookEndpoint", "DeleteWebhookEndpoint", "RotateWebhookSecret"),
            *("SendTestEvent", "ListWebhookDeliveries", "ReplayWebhookDeliveries"),
            "ReplayWebhookEvents",
        )
    ),
    *(
        case(f"{why} delivery", f"WebhookService/{name}", {"delivery_id": id}, MISSING,
             "WEBHOOK_DELIVERY_NOT_FOUND")
        for why, id in (
            ("unknown", lambda w: an_id(WebhookDeliveryId)),
            ("another tenant's", lambda w: w.foreign_delivery_id),
        )
        for name in ("GetWebhookDelivery", "ListWebhookAttempts", "ReplayWebhookDelivery")
    ),
    *(
        case(f"{why} URL", name, {"url": url}, INVALID, "WEBHOOK_URL_FORBIDDEN", "url")
        for name in (CREATE_ENDPOINT, UPDATE_ENDPOINT)
        for why, url in (
            ("no", ""),
            ("a relative", "/webhooks"),
            ("another machine's", "http://192.168.0.1/"),
            ("the metadata's", "http://169.254.169.254/latest/meta-data/"),
            ("a file's", "file:///etc/passwd"),
            ("a long", f"https://example.com/{'x' * 2_048}"),
        )
    ),
    *(
        case("an event type that is none", CREATE_ENDPOINT, {"event_types": [event_type]},
             INVALID, "EVENT_TYPE_UNKNOWN", "event_types")
        for event_type in ("", "*", "trade", "trade.setled", "Trade.settled", "trades.*", "x" * 99)
    ),
    case("too many event types", CREATE_ENDPOINT, {"event_types": ["trade.*"] * 65}, INVALID,
         "INVALID_ARGUMENT", "event_types"),
    *(
        case(f"an overlap of {seconds} s", "WebhookService/RotateWebhookSecret",
             _overlap(seconds), INVALID, "INVALID_ARGUMENT", "overlap")
        for seconds in (-1, 0, 7 * 86_400 + 1)
    ),
    *(
        case("a disabled endpoint", name, change, REFUSED, "WEBHOOK_ENDPOINT_DISABLED")
        for name, change in (
            *((f"WebhookService/{name}", {"endpoint_id": lambda w: w.disabled_endpoint_id})
              for name in ("SendTestEvent", "ReplayWebhookDeliveries", "ReplayWebhookEvents")),
            ("WebhookService/ReplayWebhookDelivery",
             {"delivery_id": lambda w: w.held_delivery_id}),
        )
    ),
    case("no first event", REPLAY_EVENTS, {"first_sequence": 0}, INVALID, "INVALID_ARGUMENT",
         "first_sequence"),
    case("a last before the first", REPLAY_EVENTS, {"first_sequence": 3}, INVALID,
         "INVALID_ARGUMENT", "last_sequence"),
    case("a state of its own", "WebhookService/ListWebhookDeliveries", {"state": 9}, INVALID,
         "INVALID_ARGUMENT", "state"),
]  # fmt: skip


BREAK_CASES: Final = [
    case("no kind", IMPORT, {"source.kind": 0}, INVALID, "INVALID_ARGUMENT", "source.kind"),
    case("a kind of its own", IMPORT, {"source.kind": 7}, INVALID, "INVALID_ARGUMENT",
         "source.kind"),
    case("no name", IMPORT, {"source.name": ""}, INVALID, "INVALID_ARGUMENT", "source.name"),
    case("a long name", IMPORT, {"source.name": "x" * 65}, INVALID, "INVALID_ARGUMENT",
         "source.name"),
    case("no format", IMPORT, {"format": 0}, INVALID, "INVALID_ARGUMENT", "format"),
    case("no content", IMPORT, {"content": b""}, INVALID, "STATEMENT_MALFORMED"),
    case("another format", IMPORT, {"format": "STATEMENT_FORMAT_CAMT053"}, INVALID,
         "STATEMENT_MALFORMED"),
    case("another asset", IMPORT, a_statement(asset="XXX"), INVALID, "STATEMENT_ASSET_MISMATCH"),
    case("no sum", IMPORT, a_statement(opening="1.00", closing="2.00"), INVALID,
         "STATEMENT_UNBALANCED"),
    case("nobody's book", IMPORT, {"tenant_id": lambda w: an_id(TenantId)}, MISSING,
         "TENANT_NOT_FOUND"),
    *(
        case("unknown break", rpc, {"break_id": lambda w: an_id(BreakId)}, MISSING,
             "BREAK_NOT_FOUND")
        for rpc in (RESOLVE_BREAK, APPROVE_BREAK, "ReconciliationAdminService/AssignBreak")
    ),
    case("no explanation", RESOLVE_BREAK, linked(), INVALID, "INVALID_ARGUMENT", "explanation"),
    case("an unknown entry", RESOLVE_BREAK, linked(linked_entry_id=lambda w: an_id(EntryId)),
         MISSING, "ENTRY_NOT_FOUND"),
    case("an entry elsewhere", RESOLVE_BREAK, linked(linked_entry_id=lambda w: w.entry_id),
         REFUSED, "BREAK_LINK_MISMATCH", "", THE_REQUEST),
    case("an unknown other break", RESOLVE_BREAK,
         linked(linked_break_id=lambda w: an_id(BreakId)), MISSING, "BREAK_NOT_FOUND"),
    case("itself", RESOLVE_BREAK, linked(linked_break_id=lambda w: w.break_id), REFUSED,
         "BREAK_LINK_MISMATCH", "", THE_REQUEST),
    case("the same amount", RESOLVE_BREAK, linked(linked_break_id=lambda w: w.proposed_break_id),
         REFUSED, "BREAK_LINK_MISMATCH", "", THE_REQUEST),
    case("an unknown account", RESOLVE_BREAK,
         {"counter_account_id": lambda w: an_id(AccountId)}, MISSING, "ACCOUNT_NOT_FOUND"),
    case("an account in another asset", RESOLVE_BREAK,
         {"counter_account_id": lambda w: w.btc_treasury}, INVALID, "INVALID_ARGUMENT",
         "counter_account_id"),
    case("a break of a trade", RESOLVE_BREAK, {"break_id": lambda w: w.trade_break_id}, REFUSED,
         "BREAK_NOT_ADJUSTABLE", "", THE_REQUEST),
    case("an unknown proposal", APPROVE_BREAK,
         {"break_resolution_id": lambda w: an_id(BreakResolutionId)}, MISSING,
         "BREAK_RESOLUTION_NOT_FOUND"),
    case("another break's proposal", APPROVE_BREAK, {"break_id": lambda w: w.break_id}, MISSING,
         "BREAK_RESOLUTION_NOT_FOUND"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "expected", "leaves"),
    [
        *QUOTE_CASES,
        *LP_SETTLEMENT_CASES,
        *TENANT_CASES,
        *LEDGER_CASES,
        *STATEMENT_CASES,
        *LIABILITY_CASES,
        *EVENT_CASES,
        *BREAK_CASES,
        *WEBHOOK_CASES,
    ],
)
async def test_a_call_with_one_thing_wrong_is_refused(
    world: World, name: str, change: Change, expected: Expected, leaves: Mapping[str, int]
) -> None:
    request = changed(world, name, change)

    async with leaving(world, leaves):
        await assert_refused(world, RPCS[name], request, expected)


@pytest.mark.parametrize(
    "name",
    ["CheckpointService/GetLiabilityProof", "CheckpointAdminService/GetTenantLiabilityProof"],
)
async def test_whose_account_is_in_no_sheet_yet_is_told_to_wait(world: World, name: str) -> None:
    async with leaving(world, NOTHING):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.call(name, changed(world, name, {"asset": "KES"}))

    refusal = refusal_of(caught.value)
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (refusal.reason, refusal.retry) == ("LIABILITY_NOT_IN_SHEET", Retry.LATER)
    assert refusal.metadata["customer_id"] == world.customer_id
    assert refusal.metadata["asset"] == "KES"


# What the contract says of fields is what is held to.

REQUIRED_BY_ANOTHER_FIELD: Final = {
    ("ProposeResolution", "venue_order_id"),
    ("CreateRequestSigningKey", "public_key"),
}
"""Asked for only where the verdict says executed, the algorithm Ed25519."""


@pytest.mark.parametrize("name", [name for name in WITH_A_KEY if RPCS[name].required_fields])
async def test_what_the_contract_requires_is_refused_when_it_is_left_out(
    world: World, name: str
) -> None:
    async with leaving(world, NOTHING):
        for fields in RPCS[name].required_fields:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await world.call(name, changed(world, name, dict.fromkeys(fields)))
            assert refusal_of(caught.value).code is INVALID, fields


CONTRACT: Final = Contract.read(commented_set_path().read_bytes())


def beyond_limits(rpc: Rpc) -> Iterator[tuple[str, Any]]:
    """Yield each field whose comment tells a limit, with a value beyond it."""
    for field in CONTRACT.messages[rpc.descriptor.input_type.full_name].fields:
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            limits = text_limits(field.name, field.comment, is_required=field.is_required)
            if "maxLength" in limits:
                yield field.name, "a" * (limits["maxLength"] + 1)
        elif field.type == FieldDescriptor.TYPE_INT32:
            for name, value in number_limits(field.name, field.comment).items():
                yield field.name, value + (1 if name == "maximum" else -1)


@pytest.mark.parametrize("name", [name for name in WITH_A_KEY if [*beyond_limits(RPCS[name])]])
async def test_a_limit_that_the_contract_tells_is_held(world: World, name: str) -> None:
    async with leaving(world, NOTHING):
        for field, value in beyond_limits(RPCS[name]):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await world.call(name, changed(world, name, {field: value}))
            refusal = refusal_of(caught.value)
            assert (refusal.code, refusal.metadata["field"]) == (INVALID, field)


# Who calls.

NO_KEYS: Final = [
    (None, "API_KEY_MISSING"),
    ("", "API_KEY_MISSING"),
    ("Bearer", "API_KEY_MISSING"),
    ("Bearer ", "API_KEY_MISSING"),
    ("Basic cGFydG5lcjpzZWNyZXQ=", "API_KEY_MISSING"),
    ("{secret}", "API_KEY_MISSING"),
    ("Bearer {secret}x", "API_KEY_UNKNOWN"),
    ("Bearer  {secret}", "API_KEY_UNKNOWN"),
    ("Bearer {secret} {secret}", "API_KEY_UNKNOWN"),
    ("Bearer ' OR true; --", "API_KEY_UNKNOWN"),
    ("Bearer " + "x" * 4_000, "API_KEY_UNKNOWN"),
    ("Bearer {revoked}", "API_KEY_REVOKED"),
]


@pytest.mark.parametrize("name", WITH_A_KEY)
async def test_a_call_without_a_good_key_is_refused(world: World, name: str) -> None:
    known = {"secret": world.client.secret, "revoked": world.revoked.secret}
    request = changed(world, name, {})

    async with leaving(world, NOTHING):
        for text, reason in NO_KEYS:
            await assert_refused(
                world,
                RPCS[name],
                request,
                Expected(code=UNAUTHENTICATED, reason=reason),
                [] if text is None else [("authorization", text.format_map(known))],
            )


@pytest.mark.parametrize(
    ("change", "expected", "leaves"),
    [
        pytest.param(*one.values[1:], id=str(one.id))
        for one in LEDGER_CASES
        if one.values[0] == ENTRY
    ],
)
async def test_what_is_wrong_with_an_entry_is_said_of_it_and_keeps_no_neighbor_from_anything(
    world: World, change: Change, expected: Expected, leaves: Mapping[str, int]
) -> None:
    alone: Any = changed(world, ENTRY, change)
    wrong = ledger_pb.NewEntry(
        entry_id=alone.entry_id, transfers=alone.transfers, description=alone.description
    )
    if alone.HasField("effective_time"):
        wrong.effective_time.CopyFrom(alone.effective_time)
    before, after = (
        ledger_pb.NewEntry(entry_id=an_id(EntryId), transfers=[world.deposit()]) for _ in range(2)
    )
    batch = ledger_pb.CreateEntriesRequest(
        tenant_id=world.tenant_id, entries=[before, wrong, after]
    )
    burned = {name: more for name, more in leaves.items() if name == "burned_ids"}

    # One page where one statement wrote both.
    changes = {"entries": 2, "entry_pages": 1, "transfers": 2, "accounts": 0}
    changes |= {"outbox": 1, "audit_records": 1}
    async with leaving(world, changes | burned):
        results = (await world.call(BATCH, batch)).results

    assert [one.outcome for one in results] == [
        ledger_pb.ENTRY_OUTCOME_COMMITTED,
        ledger_pb.ENTRY_OUTCOME_REFUSED,
        ledger_pb.ENTRY_OUTCOME_COMMITTED,
    ]
    refusal = refusal_in(results[1].refusal)
    assert (refusal.code, refusal.reason) == (expected.code, expected.reason)
    assert refusal.metadata.get("field", "") == expected.field
    again = (await world.call(BATCH, batch)).results
    assert [one.outcome for one in again][::2] == [ledger_pb.ENTRY_OUTCOME_REPLAYED] * 2


async def test_a_batch_takes_8190_transfers_and_a_message_4_mib(world: World) -> None:
    transfers = [world.deposit(purpose="a_purpose_of_thirty_two_letters_") for _ in range(8_190)]
    entries = [
        ledger_pb.NewEntry(entry_id=an_id(EntryId), transfers=transfers[at : at + 90])
        for at in range(0, 8_190, 90)
    ]
    request = ledger_pb.CreateEntriesRequest(tenant_id=world.tenant_id, entries=entries)

    results = (await world.call(BATCH, request)).results

    assert {one.outcome for one in results} == {ledger_pb.ENTRY_OUTCOME_COMMITTED}
    world.rows.clear()
    request.entries[0].description = "x" * (4 << 20)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.call(BATCH, request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


TENANT_RPCS: Final = [name for name in WITH_A_KEY if not RPCS[name].is_for_operators]


@pytest.mark.parametrize("name", WITH_A_KEY)
async def test_a_key_does_what_its_scopes_say_and_no_more(world: World, name: str) -> None:
    rpc = RPCS[name]
    client = world.minter if rpc.scope == access_pb2.SCOPE_READ else world.reader
    reason = "OPERATOR_ONLY" if rpc.is_for_operators else "SCOPE_MISSING"

    async with leaving(world, NOTHING):
        await assert_refused(
            world,
            rpc,
            changed(world, name, {}),
            Expected(code=FORBIDDEN, reason=reason),
            client.metadata,
        )


@pytest.mark.parametrize("name", TENANT_RPCS)
async def test_a_suspended_or_closed_tenant_is_refused_everything(world: World, name: str) -> None:
    async with leaving(world, NOTHING):
        for client, reason in (
            (world.suspended, "TENANT_SUSPENDED"),
            (world.closed, "TENANT_CLOSED"),
        ):
            await assert_refused(
                world,
                RPCS[name],
                changed(world, name, {}),
                Expected(code=FORBIDDEN, reason=reason),
                client.metadata,
            )


async def test_a_key_cannot_give_what_it_does_not_have(world: World) -> None:
    async with leaving(world, NOTHING):
        await assert_refused(
            world,
            RPCS[KEY],
            changed(world, KEY, {"scopes": [access_pb2.SCOPE_KEYS, access_pb2.SCOPE_TRADES]}),
            Expected(code=FORBIDDEN, reason="SCOPE_MISSING"),
            world.minter.metadata,
        )


async def test_the_unchanged_calls_succeed(platform: Platform) -> None:
    """Without this, a case could be refused for what it does not mean to be wrong.

    Of each that changes something the audit log has one record, and of no other any.
    """
    fresh = await a_world(platform)
    began_at = await platform.owner.fetchval("SELECT core.now()")

    assert GOOD.keys() == RPCS.keys()
    for name in RPCS:
        await fresh.call(name, changed(fresh, name, {}))

    recorded = await platform.owner.fetch(
        "SELECT method, refusal_reason FROM core.audit_records WHERE recorded_at >= $1", began_at
    )
    assert sorted(map(tuple, recorded)) == sorted(
        (rpc.path.removeprefix("/"), "") for rpc in RPCS.values() if rpc.changes_something
    )


async def test_what_is_refused_when_it_is_left_out_the_contract_requires(
    platform: Platform,
) -> None:
    fresh = await a_world(platform)
    unmarked = []
    for name, rpc in RPCS.items():
        request = changed(fresh, name, {})
        for field, _ in request.ListFields():
            if {field.name} in rpc.required_fields or field.containing_oneof:
                continue
            if field.name == "request_id":  # which may be a header instead
                continue
            try:
                await fresh.call(name, changed(fresh, name, {field.name: None}))
            except grpc.aio.AioRpcError as error:
                if refusal_of(error).metadata.get("field") == field.name:
                    unmarked.append((rpc.descriptor.name, field.name))

    assert set(unmarked) - REQUIRED_BY_ANOTHER_FIELD == set(), "mark them REQUIRED in the contract"
