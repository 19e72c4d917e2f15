"""The whole platform inside the test's process: real PostgreSQL, real gRPC, two sandbox venues.

Only Envoy and NATS are left out; tests of the edge and of the bus run against `reli up`.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import asyncpg
import grpc
from dependency_injector import providers
from google.rpc import error_details_pb2, status_pb2
from pydantic import TypeAdapter

from adapters.lp.http import open_lp_sessions
from adapters.lp.sandbox.venue import HOST, open_venue
from adapters.postgres.engine import make_engine
from adapters.postgres.environment import Environment, read_environment
from adapters.postgres.late_check import PostgresLateCheckQueue
from adapters.postgres.trade import PostgresTradeQueue
from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from app.bootstrap import ensure_operator_key
from app.container import LEASE, Container
from app.rpc.server import add_servicers, make_server
from app.settings import LpSettings, Settings
from app.worker.late_check_worker import LateCheckWorker
from app.worker.trade_worker import TradeWorker
from ports.clock import Clock
from reli.audit.v1 import audit_service_pb2_grpc as audit_grpc
from reli.auth.v1 import access_pb2
from reli.event.v1 import event_service_pb2_grpc as event_grpc
from reli.ledger.v1 import checkpoint_service_pb2_grpc as checkpoint_grpc
from reli.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from reli.ledger.v1 import statement_service_pb2_grpc as statement_grpc
from reli.liquidity.v1 import liquidity_service_pb2_grpc as liquidity_grpc
from reli.liquidity.v1 import lp_settlement_service_pb2_grpc as lp_settlement_grpc
from reli.market.v1 import market_service_pb2_grpc as market_grpc
from reli.quote.v1 import quote_pb2
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.quote.v1 import quote_service_pb2_grpc as quote_grpc
from reli.reconciliation.v1 import reconciliation_service_pb2_grpc as reconciliation_grpc
from reli.sandbox.v1 import sandbox_service_pb2 as sandbox_pb
from reli.sandbox.v1 import sandbox_service_pb2_grpc as sandbox_grpc
from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.tenant.v1 import tenant_service_pb2_grpc as tenant_grpc
from reli.trade.v1 import trade_pb2
from reli.trade.v1 import trade_service_pb2 as trade_pb
from reli.trade.v1 import trade_service_pb2_grpc as trade_grpc
from reli.type.v1 import amount_pb2, side_pb2
from reli.webhook.v1 import webhook_service_pb2_grpc as webhook_grpc
from tests.support.rate_limit import GENEROUS
from tests.support.stack import PATIENT_QUOTE_BUDGET_MS

BUY = side_pb2.SIDE_BUY
SELL = side_pb2.SIDE_SELL

VENUES: Final = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")

SIGNING_KEY: Final = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
"""Its seed is the bytes 0 to 31."""

SEALING_KEY: Final = "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA"


def amount(value: str, asset: str) -> amount_pb2.Amount:
    return amount_pb2.Amount(value=value, asset=asset)


def new_request_id() -> str:
    return secrets.token_hex(8)


@dataclass(frozen=True)
class Refusal:
    """What a caller is told when a call fails."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]

    @property
    def retry(self) -> str:
        return self.metadata["retry"]


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    trailers: Any = error.trailing_metadata() or ()
    details = dict(trailers).get("grpc-status-details-bin")
    assert isinstance(details, bytes), f"no details: {error}"
    refusal = refusal_in(status_pb2.Status.FromString(details))
    assert refusal.code is error.code()
    return refusal


def refusal_in(status: status_pb2.Status) -> Refusal:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "reli.dev"
    (code,) = (code for code in grpc.StatusCode if code.value[0] == status.code)
    return Refusal(code, status.message, info.reason, dict(info.metadata))


@dataclass(frozen=True)
class Venue:
    """A sandbox venue of the platform and its admin port."""

    name: str
    url: str
    admin_url: str
    session: aiohttp.ClientSession
    settings: LpSettings

    async def behave(self, behavior: str, count: int | None = None, **more: int) -> None:
        await self._admin("PUT", "/v1/behavior", {"behavior": behavior, "count": count, **more})

    async def behave_well(self) -> None:
        await self._admin("DELETE", "/v1/behavior")

    async def executions(self, client_order_id: str) -> list[dict[str, Any]]:
        book = await self._admin("GET", "/v1/book")
        return [one for one in book["executions"] if one["client_order_id"] == client_order_id]

    async def shows(self, client_order_id: str) -> bool:
        """Say whether the venue's status knows the order by now."""
        async with self.session.get(f"{self.url}/v1/orders/{client_order_id}") as response:
            return response.status == 200

    async def _admin(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, self.admin_url + path, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()


class Client:
    """Every stub, called with one API key."""

    def __init__(self, channel: grpc.aio.Channel, secret: str) -> None:
        self.secret = secret
        self.metadata = (("authorization", f"Bearer {secret}"),)
        self.tenants = self._bound(tenant_grpc.TenantServiceStub(channel))
        self.api_keys = self._bound(tenant_grpc.ApiKeyServiceStub(channel))
        self.signing_keys = self._bound(tenant_grpc.RequestSigningKeyServiceStub(channel))
        self.customers = self._bound(tenant_grpc.CustomerServiceStub(channel))
        self.tenant_admin = self._bound(tenant_grpc.TenantAdminServiceStub(channel))
        self.audit = self._bound(audit_grpc.AuditServiceStub(channel))
        self.market = self._bound(market_grpc.MarketServiceStub(channel))
        self.market_admin = self._bound(market_grpc.MarketAdminServiceStub(channel))
        self.liquidity_admin = self._bound(liquidity_grpc.LiquidityAdminServiceStub(channel))
        self.quotes = self._bound(quote_grpc.QuoteServiceStub(channel))
        self.trades = self._bound(trade_grpc.TradeServiceStub(channel))
        self.events = self._bound(event_grpc.EventServiceStub(channel))
        self.event_admin = self._bound(event_grpc.EventAdminServiceStub(channel))
        self.trade_admin = self._bound(trade_grpc.TradeAdminServiceStub(channel))
        self.ledger = self._bound(ledger_grpc.LedgerServiceStub(channel))
        self.ledger_admin = self._bound(ledger_grpc.LedgerAdminServiceStub(channel))
        self.checkpoints = self._bound(checkpoint_grpc.CheckpointServiceStub(channel))
        self.checkpoint_admin = self._bound(checkpoint_grpc.CheckpointAdminServiceStub(channel))
        self.statements = self._bound(statement_grpc.StatementServiceStub(channel))
        self.statement_admin = self._bound(statement_grpc.StatementAdminServiceStub(channel))
        self.reconciliation = self._bound(reconciliation_grpc.ReconciliationServiceStub(channel))
        self.reconciliation_admin = self._bound(
            reconciliation_grpc.ReconciliationAdminServiceStub(channel)
        )
        self.lp_settlement_admin = self._bound(
            lp_settlement_grpc.LpSettlementAdminServiceStub(channel)
        )
        self.sandbox = self._bound(sandbox_grpc.SandboxServiceStub(channel))
        self.webhooks = self._bound(webhook_grpc.WebhookServiceStub(channel))

    def _bound(self, stub: Any) -> Any:
        return _Bound(stub, self.metadata)

    async def create_customer(self, external_id: str = "") -> tenant_pb2.Customer:
        made = await self.customers.CreateCustomer(
            tenant_pb.CreateCustomerRequest(external_id=external_id or new_request_id())
        )
        customer: tenant_pb2.Customer = made.customer
        return customer

    async def deposit(self, customer_id: str, value: str, asset: str) -> None:
        """Fund a customer, or with an empty id the treasury."""
        await self.sandbox.CreateDeposit(
            sandbox_pb.CreateDepositRequest(
                customer_id=customer_id,
                amount=amount(value, asset),
                request_id=new_request_id(),
            )
        )

    async def quote(
        self,
        customer_id: str,
        base_amount: str = "0.01",
        *,
        side: side_pb2.Side = BUY,
        base: str = "BTC",
        quote: str = "NGN",
    ) -> quote_pb2.Quote:
        made = await self.quotes.CreateQuote(
            quote_pb.CreateQuoteRequest(
                customer_id=customer_id,
                side=side,
                base_asset=base,
                quote_asset=quote,
                base_amount=amount(base_amount, base),
            )
        )
        result: quote_pb2.Quote = made.quote
        return result

    async def accept(self, quote_id: str, request_id: str = "") -> trade_pb2.Trade:
        accepted = await self.quotes.AcceptQuote(
            quote_pb.AcceptQuoteRequest(
                quote_id=quote_id, request_id=request_id or new_request_id()
            )
        )
        trade: trade_pb2.Trade = accepted.trade
        return trade

    async def trade(self, trade_id: str) -> trade_pb2.Trade:
        found = await self.trades.GetTrade(trade_pb.GetTradeRequest(trade_id=trade_id))
        trade: trade_pb2.Trade = found.trade
        return trade

    async def balance(self, customer_id: str, asset: str) -> tuple[str, str]:
        """Return what a customer has posted and what is held of it."""
        from reli.ledger.v1 import ledger_service_pb2 as ledger_pb

        found = await self.ledger.ListBalances(
            ledger_pb.ListBalancesRequest(customer_id=customer_id)
        )
        for account in found.accounts:
            if account.asset == asset:
                return account.balance.posted.value, account.balance.held.value
        return "0", "0"


class _Bound:
    """A stub whose calls carry a key."""

    def __init__(self, stub: Any, metadata: Sequence[tuple[str, str]]) -> None:
        self._stub = stub
        self._metadata = metadata

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._stub, method)

        def bound(request: Any, *, metadata: Sequence[tuple[str, str]] = (), **options: Any) -> Any:
            options.setdefault("timeout", 10)
            return call(request, metadata=(*self._metadata, *metadata), **options)

        return bound


@dataclass(frozen=True)
class Platform:
    """A running platform and hands on its inside."""

    target: str
    channel: grpc.aio.Channel
    operator: Client
    alpha: Venue
    beta: Venue
    venues: tuple[Venue, ...]
    container: Container
    work_container: Container
    environment: Environment
    worker: TradeWorker
    late_worker: LateCheckWorker
    settings: Settings
    owner: asyncpg.Pool
    """Connections as the database's owner of owners, to look at and to break what no role may."""

    @property
    def ids(self) -> RandomIds:
        return self.container.ids()

    async def a_tenant(self, *, fee_bps: int = 20, markup_bps: int = 50) -> tuple[str, Client]:
        """Make a tenant; return its id and a client with all of a tenant's scopes."""
        made = await self.operator.tenant_admin.CreateTenant(
            tenant_pb.CreateTenantRequest(
                slug=f"t-{new_request_id()}",
                display_name="A tenant",
                settings=tenant_pb2.TenantSettings(
                    platform_fee_bps=fee_bps,
                    rate_limits=GENEROUS,
                    markups=[tenant_pb2.InstrumentMarkup(instrument="BTC-NGN", bps=markup_bps)],
                ),
            )
        )
        return made.tenant.id, await self.a_client(made.tenant.id)

    async def a_client(self, tenant_id: str, scopes: Sequence[access_pb2.Scope] = ()) -> Client:
        key = await self.operator.tenant_admin.CreateTenantApiKey(
            tenant_pb.CreateTenantApiKeyRequest(tenant_id=tenant_id, name="test", scopes=scopes)
        )
        return Client(self.channel, key.secret)

    async def a_funded_customer(
        self, client: Client, value: str = "100000000.00", asset: str = "NGN"
    ) -> str:
        customer = await client.create_customer()
        await client.deposit(customer.id, value, asset)
        return str(customer.id)

    async def run_due_trades(self) -> None:
        """Let a worker pick up what is due now and bring it to rest."""
        await self.worker()
        await self.worker.runner.drain()

    async def look_late(self) -> None:
        """Let a worker look at every attempt concluded absent as if its time had come."""
        await self.owner.execute(
            "UPDATE core.late_checks SET due_at = core.now() WHERE due_at IS NOT NULL"
        )
        while await self.late_worker():
            pass


def uuid_at(instant: datetime) -> UUID:
    """Return a UUIDv7 of that instant."""
    ms = int(instant.astimezone(UTC).timestamp() * 1000)
    return UUID(int=ms << 80 | 0x7 << 76 | 0b10 << 62 | secrets.randbits(62))


@asynccontextmanager
async def a_platform(
    database_url: str,
    home: Path,
    *,
    adapters: tuple[str, ...] = ("sandbox", "sandbox"),
    lp_quote_budget_ms: int = PATIENT_QUOTE_BUDGET_MS,
    sealing_keys: tuple[str, ...] = (SEALING_KEY,),
    clock: Clock | None = None,
) -> AsyncIterator[Platform]:
    """Run the platform on a migrated database; `adapters` are those of alpha, beta and so on, and
    `clock` is the machine's.
    """
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10))
        )
        venues = [
            await stack.enter_async_context(_a_venue(session, home, name, position, adapter))
            for position, (name, adapter) in enumerate(zip(VENUES, adapters, strict=False), start=1)
        ]
        settings = Settings(
            database_url=database_url,
            lps=tuple(venue.settings for venue in venues),
            lp_quote_budget_ms=lp_quote_budget_ms,
            signing_key=SIGNING_KEY,
            failed_attempts_burst=100_000,
            sealing_keys=sealing_keys,
            webhook_loopback=True,
        )
        secret = await ensure_operator_key(settings, home / "operator.key")
        engine = make_engine(settings.app_database_url, pool_size=20, name="test serve")
        stack.push_async_callback(engine.dispose)
        work_engine = make_engine(settings.work_database_url, pool_size=10, name="test work")
        stack.push_async_callback(work_engine.dispose)
        owner = await asyncpg.create_pool(database_url, min_size=1, max_size=8)
        stack.push_async_callback(owner.close)
        environment = await read_environment(engine)
        lp_sessions = await stack.enter_async_context(open_lp_sessions())
        container, work_container = (
            Container(
                settings=providers.Object(settings),
                engine=providers.Object(each),
                house_id=providers.Object(environment.house_id),
                lp_sessions=providers.Object(lp_sessions),
                actor=providers.Object(actor),
                is_sandbox=providers.Object(environment.is_sandbox),
                clock=providers.Object(clock or SystemClock()),
            )
            for each, actor in ((engine, "serve"), (work_engine, "work"))
        )
        server = make_server(container.interceptor(), with_reflection=True)
        add_servicers(server, container.servicers())
        target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        stack.push_async_callback(container.runner().drain)
        stack.push_async_callback(container.interceptor().drain)
        stack.push_async_callback(server.stop, 1)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target))
        yield Platform(
            target=target,
            channel=channel,
            operator=Client(channel, secret),
            alpha=venues[0],
            beta=venues[1],
            venues=tuple(venues),
            container=container,
            work_container=work_container,
            environment=environment,
            worker=TradeWorker(PostgresTradeQueue(work_engine), work_container.runner(), LEASE),
            late_worker=LateCheckWorker(
                PostgresLateCheckQueue(work_engine), work_container.look_late()
            ),
            settings=settings,
            owner=owner,
        )


@asynccontextmanager
async def _a_venue(
    session: aiohttp.ClientSession, home: Path, name: str, position: int, adapter: str
) -> AsyncIterator[Venue]:
    async with open_venue(
        name=name,
        port=0,
        admin_port=0,
        data_dir=home,
        position=position,
        deduplicates=True,
        face=adapter,
        clock=SystemClock(),
    ) as ports:
        url = f"http://{HOST}:{ports.public}"
        told = {
            "name": name,
            "adapter": adapter,
            "url": url,
            "status_is_authoritative": True,
            "visibility_window_ms": 200,
            "quote_safety_margin_ms": 1_000,
            **({"deduplicates_client_order_id": True} if adapter == "sandbox" else {}),
            **ports.venue.face.settings,
        }
        yield Venue(
            name=name,
            url=url,
            admin_url=f"http://{HOST}:{ports.admin}",
            session=session,
            settings=TypeAdapter[LpSettings](LpSettings).validate_python(told),
        )
