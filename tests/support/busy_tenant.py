"""A tenant to whom everything has happened that leaves a row."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from domain.ids import EntryId, TransferId
from reli.auth.v1 import access_pb2
from reli.event.v1 import event_service_pb2 as event_pb
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.reconciliation.v1 import reconciliation_service_pb2 as reconciliation_pb
from reli.reconciliation.v1 import statement_pb2
from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.trade.v1 import trade_pb2
from reli.trade.v1 import trade_service_pb2 as trade_pb
from reli.webhook.v1 import webhook_service_pb2 as webhook_pb
from tests.support.audit import uuid_of
from tests.support.chain import chain_books
from tests.support.closes import close_days
from tests.support.dead_letters import a_dead_letter
from tests.support.event_log import stamp_events
from tests.support.platform import (
    BUY,
    Client,
    Platform,
    amount,
    new_request_id,
    refusal_of,
)
from tests.support.rate_limit import GENEROUS
from tests.support.receipts import make_receipt
from tests.support.signing import a_shared_secret, a_signing_key_id
from tests.support.statements import csv_statement
from tests.support.webhooks import some_deliveries


@dataclass(frozen=True)
class BusyTenant:
    """Its key, and one id of every kind that a request can name.

    Attributes:
        canary: stands in every text that the tenant could write.
        request_id: of an entry that the operator made in its book.
        open_quote_id: a quote that can be accepted for a few seconds.
        transfer_id: a hold that nobody has resolved.
    dead_letter_id: of an event of its own, in the house's book.
    """

    id: str
    client: Client
    canary: str
    customer_id: str
    quote_id: str
    open_quote_id: str
    trade_id: str
    resolution_id: str
    break_id: str
    source_break_id: str
    break_resolution_id: str
    dead_letter_id: str
    api_key_id: str
    request_signing_key_id: str
    entry_id: str
    transfer_id: str
    account_id: str
    event_id: str
    request_id: str
    endpoint_id: str
    delivery_id: str

    @property
    def uuid(self) -> UUID:
        return uuid_of(self.id)


async def a_busy_tenant(platform: Platform) -> BusyTenant:
    """Trades settled, rejected, broken and lost, an expiring hold, an entry without funds."""
    canary = f"canary-{new_request_id()}"
    branding = Struct()
    branding.update({"name": canary})
    tenant = await platform.operator.tenant_admin.CreateTenant(
        tenant_pb.CreateTenantRequest(
            slug=canary,
            display_name=canary,
            branding=branding,
            settings=tenant_pb2.TenantSettings(platform_fee_bps=20, rate_limits=GENEROUS),
        )
    )
    tenant_id: str = tenant.tenant.id
    client = await platform.a_client(tenant_id)
    await client.create_customer()
    customer = await client.create_customer(canary)
    await client.deposit(customer.id, "100000000.00", "NGN")
    settled = await client.accept((await client.quote(customer.id, "0.01")).id)
    assert settled.state == trade_pb2.TRADE_STATE_SETTLED
    rejected = await client.accept((await client.quote(customer.id, "0.00007722")).id)
    assert rejected.state == trade_pb2.TRADE_STATE_REJECTED
    broken = await client.accept((await client.quote(customer.id, "0.00007791")).id)
    assert broken.state == trade_pb2.TRADE_STATE_SETTLED
    lost = await client.accept((await client.quote(customer.id, "0.00007761")).id)
    assert lost.state == trade_pb2.TRADE_STATE_OUTCOME_UNKNOWN
    proposed = await platform.operator.trade_admin.ProposeResolution(
        trade_pb.ProposeResolutionRequest(
            tenant_id=tenant_id,
            trade_id=lost.id,
            verdict=trade_pb2.RESOLUTION_VERDICT_NOT_FILLED,
            evidence=canary,
            request_id=new_request_id(),
        )
    )
    breaks = await platform.operator.reconciliation_admin.ListBreaks(
        reconciliation_pb.ListBreaksRequest(tenant_id=tenant_id)
    )
    key = await client.api_keys.CreateApiKey(
        tenant_pb.CreateApiKeyRequest(
            name=canary,
            scopes=[access_pb2.SCOPE_READ, access_pb2.SCOPE_CUSTOMERS],
            request_id=canary,
        )
    )
    for _ in range(2):  # so that there is a next page of what this key did
        await Client(platform.channel, key.secret).create_customer()
    accounts = await client.ledger.ListAccounts(ledger_pb.ListAccountsRequest())
    ids = {a.kind: a.id for a in accounts.accounts if a.asset == "NGN"}
    await chain_books(platform)
    held = _entry(platform, tenant_id, ids, "1.00")
    held.description = canary
    held.transfers[0].kind = ledger_pb2.TRANSFER_KIND_PENDING
    held.transfers[0].expire_time.FromDatetime(await _in_a_day(platform))
    await platform.operator.ledger_admin.CreateEntry(held)
    with pytest.raises(grpc.aio.AioRpcError) as caught:  # burns its ids
        await platform.operator.ledger_admin.CreateEntry(
            _entry(platform, tenant_id, ids, "999999999.00")
        )
    assert refusal_of(caught.value).reason == "INSUFFICIENT_FUNDS"
    await chain_books(platform)
    source_break_id, break_resolution_id = await _reconcile(platform, tenant_id, canary, ids)
    await close_days(platform, tenant_id)
    await make_receipt(platform, tenant_id, settled.id)
    await stamp_events(platform)
    told = await client.events.ListEvents(event_pb.ListEventsRequest())
    _, endpoint = [await _an_endpoint(client, canary) for _ in range(2)]
    delivery_id, *_ = await some_deliveries(platform.owner, endpoint, text=canary)
    return BusyTenant(
        id=tenant_id,
        client=client,
        canary=canary,
        customer_id=customer.id,
        quote_id=settled.quote_id,
        open_quote_id=(await client.quote(customer.id, "0.01", side=BUY)).id,
        trade_id=settled.id,
        resolution_id=proposed.resolution.id,
        break_id=breaks.breaks[0].id,
        source_break_id=source_break_id,
        break_resolution_id=break_resolution_id,
        dead_letter_id=await a_dead_letter(platform.owner, tenant_id, reason=canary),
        api_key_id=key.api_key.id,
        request_signing_key_id=[
            (await a_shared_secret(client))[0],
            await a_signing_key_id(client),
        ][-1],
        entry_id=held.entry_id,
        transfer_id=held.transfers[0].id,
        account_id=ids[ledger_pb2.ACCOUNT_KIND_CUSTOMER],
        event_id=told.events[0].id,
        request_id=held.request_id,
        endpoint_id=endpoint,
        delivery_id=delivery_id,
    )


async def _an_endpoint(client: Client, canary: str) -> str:
    """Create an endpoint to which nobody sends anything."""
    made = await client.webhooks.CreateWebhookEndpoint(
        webhook_pb.CreateWebhookEndpointRequest(
            url=f"https://example.com/{canary}", description=canary
        )
    )
    await client.webhooks.DisableWebhookEndpoint(
        webhook_pb.DisableWebhookEndpointRequest(endpoint_id=made.endpoint.id)
    )
    return str(made.endpoint.id)


def _entry(
    platform: Platform, tenant_id: str, ids: dict[Any, str], value: str
) -> ledger_pb.CreateEntryRequest:
    return ledger_pb.CreateEntryRequest(
        tenant_id=tenant_id,
        entry_id=str(platform.ids.new(EntryId)),
        transfers=[
            ledger_pb2.Transfer(
                id=str(platform.ids.new(TransferId)),
                debit_account_id=ids[ledger_pb2.ACCOUNT_KIND_CUSTOMER],
                credit_account_id=ids[ledger_pb2.ACCOUNT_KIND_PLATFORM_FEE],
                amount=amount(value, "NGN"),
            )
        ],
        request_id=new_request_id(),
    )


async def _reconcile(
    platform: Platform, tenant_id: str, canary: str, ids: dict[Any, str]
) -> tuple[str, str]:
    """Have a bank tell of two payments, one of which the book has.

    Return the break of the other one and what is proposed to explain it.
    """
    opened = await platform.operator.ledger_admin.OpenAccount(
        ledger_pb.OpenAccountRequest(
            tenant_id=tenant_id, kind="ACCOUNT_KIND_EXTERNAL", owner=canary, asset="NGN"
        )
    )
    known = _entry(platform, tenant_id, ids, "2.00")
    known.description = canary
    known.transfers[0].debit_account_id = opened.account.id
    await platform.operator.ledger_admin.CreateEntry(known)
    now = await _in_a_day(platform) - timedelta(days=1)
    payments = [
        (canary, "", now, "NGN", "2.00"),
        (f"2-{canary}", "", now, "NGN", "3.00"),
    ]
    admin = platform.operator.reconciliation_admin
    await admin.ImportStatement(
        reconciliation_pb.ImportStatementRequest(
            tenant_id=tenant_id,
            source=statement_pb2.Source(kind=statement_pb2.SOURCE_KIND_RAIL, name=canary),
            format=statement_pb2.STATEMENT_FORMAT_CSV,
            content=csv_statement(
                now - timedelta(hours=1), now + timedelta(hours=1), payments, opening="0.00"
            ),
        )
    )
    listed = await admin.ListBreaks(reconciliation_pb.ListBreaksRequest(tenant_id=tenant_id))
    break_id: str = listed.breaks[0].id
    proposed = await admin.ResolveBreak(
        reconciliation_pb.ResolveBreakRequest(
            tenant_id=tenant_id,
            break_id=break_id,
            counter_account_id=ids[ledger_pb2.ACCOUNT_KIND_CUSTOMER],
            note=canary,
            request_id=new_request_id(),
        )
    )
    return break_id, proposed.reconciliation_break.resolution.id


async def _in_a_day(platform: Platform) -> datetime:
    tomorrow: datetime = await platform.owner.fetchval("SELECT core.now() + interval '1 day'")
    return tomorrow
