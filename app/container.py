"""Wires everything: the one place, beside the two entry points, that names adapters.

What must be opened and closed is opened by the entry points and handed in as an object.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from dependency_injector import containers, providers
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.lp.http import LpSessions
from adapters.postgres.chain import PostgresSigningKeys
from adapters.postgres.clock import PostgresClock
from adapters.postgres.credential import PostgresCredentials
from adapters.postgres.event_wakes import PostgresEventWakes
from adapters.postgres.journal import PostgresJournal
from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.liquidity import PostgresLpBoard
from adapters.postgres.market import PostgresMarket
from adapters.postgres.rate_limit import PostgresTokenBuckets
from adapters.postgres.request_signing import (
    PostgresSeenNonces,
    RememberedRequestVerifiers,
)
from adapters.postgres.settings import PostgresSettings
from adapters.postgres.tenant import PostgresTenantDirectory
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from adapters.statement_in.reader import FileReader
from adapters.system.chance import SystemChance
from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from adapters.system.request_verifier import RequestVerifiers
from adapters.system.secret_box import AesSecretBox
from adapters.system.secrets import SystemSecrets
from adapters.system.signer import Ed25519Signer
from app.liquidity import connect_feeds, connect_listings, connect_lps
from app.rpc.audit import AuditServicer
from app.rpc.event import EventAdminServicer, EventServicer
from app.rpc.failed_attempts import FailedAttempts
from app.rpc.interceptor import Interceptor
from app.rpc.ledger import (
    CheckpointAdminServicer,
    CheckpointServicer,
    LedgerAdminServicer,
    LedgerServicer,
    SigningKeyServicer,
    StatementAdminServicer,
    StatementServicer,
)
from app.rpc.liquidity import LiquidityAdminServicer, LpSettlementAdminServicer
from app.rpc.market import MarketAdminServicer, MarketServicer
from app.rpc.quote import QuoteServicer
from app.rpc.rate_limit import RateLimiter
from app.rpc.reconciliation import ReconciliationAdminServicer, ReconciliationServicer
from app.rpc.sandbox import SandboxServicer
from app.rpc.signature import RequestSignatures
from app.rpc.tenant import (
    ApiKeyServicer,
    CustomerServicer,
    RequestSigningKeyServicer,
    TenantAdminServicer,
    TenantServicer,
)
from app.rpc.trade import TradeAdminServicer, TradeServicer
from app.rpc.webhook import WebhookServicer
from app.settings import Settings
from app.usecase.announce import Announce
from app.usecase.audit.list_audit_records import ListAuditRecords
from app.usecase.audit_trail import AuditTrail
from app.usecase.event.bury_event import BuryEvent
from app.usecase.event.list_dead_letters import ListDeadLetters
from app.usecase.event.read_events import ReadEvents
from app.usecase.event.replay_dead_letters import ReplayDeadLetters
from app.usecase.event.request_replay import RequestReplay
from app.usecase.event.stream_events import StreamEvents
from app.usecase.house.mirror_trades import CONSUMER, MirrorTrades
from app.usecase.ledger.close_books import CloseBooks, ReadCloses
from app.usecase.ledger.create_entries import CreateEntries
from app.usecase.ledger.create_entry import CreateEntry
from app.usecase.ledger.expire_hold import ExpireHold
from app.usecase.ledger.export_books import ExportBooks
from app.usecase.ledger.load_entries import LoadEntries
from app.usecase.ledger.open_account import OpenAccount
from app.usecase.ledger.prove_liability import ProveLiability
from app.usecase.ledger.read_chain import ReadChain
from app.usecase.ledger.read_ledger import ReadLedger
from app.usecase.ledger.read_signing_keys import ReadSigningKeys
from app.usecase.ledger.read_statement import ReadStatement
from app.usecase.ledger.reverse_entry import ReverseEntry
from app.usecase.ledger.set_overdraft_limit import SetOverdraftLimit
from app.usecase.liquidity.decide_lp_settlement import (
    ApproveLpSettlement,
    CancelLpSettlement,
    SettleLpSettlement,
)
from app.usecase.liquidity.lp_desk import LpDesk, OnlookersDesk
from app.usecase.liquidity.propose_lp_settlement import ProposeLpSettlement
from app.usecase.liquidity.read_lp_positions import ReadLpPositions
from app.usecase.liquidity.read_lp_settlements import ReadLpSettlements
from app.usecase.liquidity.read_lps import ReadLps
from app.usecase.liquidity.report_outcomes import ReportOutcomes
from app.usecase.market.change_trading_state import ChangeTradingState, ListTradingStateChanges
from app.usecase.market.read_market import ReadMarket
from app.usecase.once import Once
from app.usecase.quote.accept_quote import AcceptQuote
from app.usecase.quote.cancel_quote import CancelQuote
from app.usecase.quote.create_quote import CreateQuote
from app.usecase.quote.find_price import FindPrice
from app.usecase.quote.get_indicative_quote import GetIndicativeQuote
from app.usecase.quote.look_around import LookAround
from app.usecase.quote.read_quotes import ReadQuotes
from app.usecase.quote.shared_answers import SharedAnswers
from app.usecase.quote.stream_quotes import StreamQuotes
from app.usecase.reconciliation.assign_break import AssignBreak
from app.usecase.reconciliation.fetch_statement import FetchStatement
from app.usecase.reconciliation.import_statement import ImportStatement
from app.usecase.reconciliation.read_breaks import ReadBreaks
from app.usecase.reconciliation.reconcile_feed import ReconcileFeed
from app.usecase.reconciliation.reconcile_listing import ReconcileListing
from app.usecase.reconciliation.resolve_break import ApproveBreakResolution, ResolveBreak
from app.usecase.sandbox.create_deposit import CreateDeposit
from app.usecase.tenant.change_customer_state import ChangeCustomerState
from app.usecase.tenant.change_tenant_state import ChangeTenantState
from app.usecase.tenant.create_api_key import CreateApiKey
from app.usecase.tenant.create_customer import CreateCustomer
from app.usecase.tenant.create_request_signing_key import CreateRequestSigningKey
from app.usecase.tenant.create_tenant import CreateTenant
from app.usecase.tenant.note_key_uses import NoteKeyUses
from app.usecase.tenant.read_tenants import (
    ReadApiKeys,
    ReadCustomers,
    ReadRequestSigningKeys,
    ReadTenants,
)
from app.usecase.tenant.revoke_api_key import RevokeApiKey
from app.usecase.tenant.revoke_request_signing_key import RevokeRequestSigningKey
from app.usecase.tenant.rotate_api_key import RotateApiKey
from app.usecase.tenant.update_tenant import UpdateTenant
from app.usecase.trade.execute_trade import ExecuteTrade
from app.usecase.trade.list_stuck_trades import ListStuckTrades
from app.usecase.trade.look_late import LookLate
from app.usecase.trade.make_receipts import CONSUMER as RECEIPTS
from app.usecase.trade.make_receipts import MakeReceipts
from app.usecase.trade.read_evidence import ReadEvidence
from app.usecase.trade.read_trades import ReadTrades
from app.usecase.trade.resolve_trade import ApproveResolution, ProposeResolution
from app.usecase.webhook.change_endpoint_state import ChangeEndpointState, DisableGoneEndpoint
from app.usecase.webhook.create_endpoint import CreateEndpoint
from app.usecase.webhook.read_webhooks import ReadWebhooks
from app.usecase.webhook.replay_deliveries import ReplayDeliveries
from app.usecase.webhook.rotate_secret import RotateSecret
from app.usecase.webhook.send_test_event import SendTestEvent
from app.usecase.webhook.serve_endpoint import ServeEndpoint
from app.usecase.webhook.update_endpoint import UpdateEndpoint
from app.worker.trade_runner import SupervisedTrades
from domain.ids import TenantId
from domain.liquidity.circuit import CircuitRule
from domain.reconciliation.matching import RULES
from domain.reconciliation.period import LISTING_LAG
from domain.tenant.request_signing import SharedSecretsNotConfigured
from domain.webhook.destination import Destinations
from domain.webhook.errors import WebhooksNotConfigured
from ports.chain import Signer
from ports.clock import Clock, DatabaseClock
from ports.liquidity import LiquidityProvider
from ports.price_source import IndicativeSource, PriceSource
from ports.reconciliation import StatementFeed, StatementListing

LEASE: Final = timedelta(seconds=3)
"""A living process renews it; with the workers' rest it is below the 5 s of a takeover."""

ANSWER_WITHIN: Final = timedelta(seconds=2)
PATIENCE: Final = timedelta(milliseconds=500)
LIVE_TRADES: Final = 1_000
REPORT_EVERY_S: Final = 1.0
NOTE_USES_EVERY_S: Final = 5.0
INDICATIVE_FOR: Final = timedelta(milliseconds=500)
"""How long an LP's answer is shared by all who only want to know a price."""
LOOK_EVERY: Final = timedelta(seconds=1)
BEAT_EVERY: Final = timedelta(seconds=5)
"""What a stream of prices does at most so often, and a stream of anything at least so often."""
READER_PATIENCE: Final = timedelta(seconds=20)
"""Less than what the front door gives a stream without a sign of life."""


def signer_of(seed: str) -> Signer | None:
    """Return who signs with the key of a seed, or nobody if there is none."""
    return Ed25519Signer.from_text(seed) if seed else None


def share_answers(
    lps: Mapping[str, LiquidityProvider],
    clock: Clock,
    database_clock: DatabaseClock,
    budget: timedelta,
) -> Mapping[str, PriceSource]:
    """Return by name what answers in every LP's place to who wants no promise."""
    return {
        name: SharedAnswers(lp, clock, database_clock, good_for=INDICATIVE_FOR, budget=budget)
        for name, lp in lps.items()
    }


def without_feeds(
    listings: Mapping[str, StatementListing], feeds: Sequence[StatementFeed]
) -> Sequence[StatementListing]:
    """Return those of which nothing is heard unless they are asked for a day."""
    heard = {feed.source for feed in feeds}
    return [listing for listing in listings.values() if listing.source not in heard]


def destinations_of(is_sandbox: bool, allows_loopback: bool) -> Destinations:
    """Return where deliveries may be sent; outside a sandbox never to this machine."""
    return Destinations(is_sandbox, is_sandbox and allows_loopback)


def as_durations(all_ms: tuple[int, ...]) -> tuple[timedelta, ...]:
    return tuple(timedelta(milliseconds=ms) for ms in all_ms)


class Container(containers.DeclarativeContainer):
    """Everything that serves calls or runs trades, on one engine and so one database role."""

    settings: providers.Dependency[Settings] = providers.Dependency()
    engine: providers.Dependency[AsyncEngine] = providers.Dependency()
    house_id: providers.Dependency[TenantId] = providers.Dependency()
    lp_sessions: providers.Dependency[LpSessions] = providers.Dependency()
    actor: providers.Dependency[str] = providers.Dependency()
    price_sources: providers.Dependency[Sequence[IndicativeSource]] = providers.Dependency(
        default=()
    )
    is_sandbox: providers.Dependency[bool] = providers.Dependency()

    clock = providers.Singleton(SystemClock)
    ids = providers.Singleton(RandomIds, clock)
    secrets = providers.Singleton(SystemSecrets)
    signer = providers.Singleton(signer_of, settings.provided.signing_key)
    market = providers.Singleton(PostgresMarket, engine, clock)
    credentials = providers.Singleton(PostgresCredentials, engine, clock)
    directory = providers.Singleton(PostgresTenantDirectory, engine, house_id)
    account_ids = providers.Singleton(AccountIdCache)
    units_of_work = providers.Singleton(PostgresUnitOfWorkFactory, engine, market, account_ids)
    database_clock = providers.Singleton(PostgresClock, engine, clock)
    lps = providers.Singleton(connect_lps, settings.provided.lps, lp_sessions, clock)
    lp_names = providers.Singleton(tuple, lps)
    circuit_rule = providers.Singleton(CircuitRule)
    lp_board = providers.Singleton(PostgresLpBoard, engine, clock, lp_names)
    lp_desk = providers.Singleton(LpDesk, lp_board, clock, circuit_rule)

    audit_trail = providers.Singleton(AuditTrail, ids)
    once = providers.Singleton(Once, units_of_work, audit_trail)
    announce = providers.Singleton(Announce, ids)
    journal = providers.Singleton(
        PostgresJournal, database_clock, units_of_work, announce.provided.committed
    )
    read_ledger = providers.Singleton(ReadLedger, units_of_work)
    read_chain = providers.Singleton(ReadChain, units_of_work)
    export_books = providers.Singleton(ExportBooks, units_of_work)
    read_statement = providers.Singleton(ReadStatement, units_of_work)
    prove_liability = providers.Singleton(ProveLiability, units_of_work)
    read_tenants = providers.Singleton(ReadTenants, units_of_work, directory)
    update_tenant = providers.Singleton(UpdateTenant, once, announce, market, lp_names)
    create_api_key = providers.Singleton(CreateApiKey, once, ids, announce, secrets, directory)
    rotate_api_key = providers.Singleton(RotateApiKey, once, ids, announce, secrets)
    revoke_api_key = providers.Singleton(RevokeApiKey, once, announce)
    note_key_uses = providers.Singleton(NoteKeyUses, units_of_work, clock)
    tenant_settings = providers.Singleton(PostgresSettings, units_of_work, clock)
    quote_budget = providers.Singleton(timedelta, milliseconds=settings.provided.lp_quote_budget_ms)
    find_price = providers.Singleton(
        FindPrice, ids, clock, database_clock, lps, lp_desk, quote_budget
    )
    get_indicative_quote = providers.Singleton(
        GetIndicativeQuote,
        market,
        tenant_settings,
        providers.Singleton(
            FindPrice,
            ids,
            clock,
            database_clock,
            providers.Singleton(share_answers, lps, clock, database_clock, quote_budget),
            providers.Singleton(OnlookersDesk, lp_desk),
            quote_budget,
        ),
        providers.Singleton(LookAround, price_sources, database_clock, quote_budget),
    )
    late_looks = providers.Singleton(as_durations, settings.provided.late_looks_ms)
    execute_trade = providers.Singleton(
        ExecuteTrade,
        units_of_work,
        ids,
        clock,
        announce,
        lps,
        lp_desk,
        actor,
        PATIENCE,
        late_looks,
    )
    report_outcomes = providers.Singleton(
        ReportOutcomes, units_of_work, ids, announce, directory, lp_desk, circuit_rule
    )
    change_trading_state = providers.Singleton(ChangeTradingState, once, ids, announce, directory)
    runner = providers.Singleton(
        SupervisedTrades,
        execute_trade,
        units_of_work,
        clock,
        lease_for=LEASE,
        places=LIVE_TRADES,
    )

    look_late = providers.Singleton(LookLate, units_of_work, ids, announce, lps, actor, late_looks)
    mirror_trades = providers.Singleton(MirrorTrades, units_of_work, ids, directory)
    bury_event = providers.Singleton(BuryEvent, units_of_work, ids, announce, directory)
    house_replays = providers.Singleton(
        ReplayDeadLetters, CONSUMER, mirror_trades, units_of_work, ids, announce, directory
    )
    make_receipts = providers.Singleton(MakeReceipts, units_of_work, directory, signer)
    receipt_replays = providers.Singleton(
        ReplayDeadLetters,
        RECEIPTS,
        make_receipts,
        units_of_work,
        ids,
        announce,
        directory,
    )
    import_statement = providers.Singleton(
        ImportStatement,
        units_of_work,
        ids,
        announce,
        audit_trail,
        market,
        directory,
        providers.Singleton(FileReader),
        providers.Object(RULES),
    )
    feeds = providers.Singleton(connect_feeds, settings.provided.lps, lp_sessions)
    reconcile_feed = providers.Singleton(
        ReconcileFeed, units_of_work, ids, directory, import_statement
    )
    listings = providers.Singleton(connect_listings, settings.provided.lps, lp_sessions, clock)
    daily_listings = providers.Singleton(without_feeds, listings, feeds)
    fetch_statement = providers.Singleton(
        FetchStatement,
        clock,
        market,
        directory,
        import_statement,
        listings,
        providers.Object(LISTING_LAG),
    )
    reconcile_listing = providers.Singleton(
        ReconcileListing, units_of_work, ids, directory, fetch_statement
    )
    expire_hold = providers.Singleton(ExpireHold, units_of_work, ids, announce)

    webhook_secret_box = providers.Singleton(
        AesSecretBox, settings.provided.sealing_keys, providers.Object(WebhooksNotConfigured)
    )
    request_secret_box = providers.Singleton(
        AesSecretBox, settings.provided.sealing_keys, providers.Object(SharedSecretsNotConfigured)
    )
    destinations = providers.Singleton(
        destinations_of, is_sandbox, settings.provided.webhook_loopback
    )
    serve_endpoint = providers.Factory(
        ServeEndpoint,
        box=webhook_secret_box,
        clock=clock,
        database_clock=database_clock,
        chance=providers.Singleton(SystemChance),
        disable_gone=providers.Singleton(DisableGoneEndpoint, units_of_work, ids, announce),
    )

    interceptor = providers.Singleton(
        Interceptor,
        credentials=credentials,
        secrets=secrets,
        rate_limiter=providers.Singleton(
            RateLimiter, providers.Singleton(PostgresTokenBuckets, engine), tenant_settings, clock
        ),
        signatures=providers.Singleton(
            RequestSignatures,
            providers.Singleton(
                RememberedRequestVerifiers,
                units_of_work,
                providers.Singleton(RequestVerifiers, request_secret_box).provided.make,
                clock,
            ),
            providers.Singleton(PostgresSeenNonces, engine, clock),
            tenant_settings,
            clock,
        ),
        failed_attempts=providers.Singleton(
            FailedAttempts, clock, settings.provided.failed_attempts_burst
        ),
        ids=ids,
        remember_use=note_key_uses.provided.remember,
        front_doors=settings.provided.front_doors,
    )
    tenant_servicer = providers.Singleton(
        TenantServicer, read_tenants=read_tenants, update_tenant=update_tenant
    )
    tenant_admin_servicer = providers.Singleton(
        TenantAdminServicer,
        create_tenant=providers.Singleton(
            CreateTenant, units_of_work, once, ids, announce, audit_trail, market, lp_names
        ),
        update_tenant=update_tenant,
        change_tenant_state=providers.Singleton(ChangeTenantState, once, announce, directory),
        change_trading_state=change_trading_state,
        create_api_key=create_api_key,
        rotate_api_key=rotate_api_key,
        revoke_api_key=revoke_api_key,
        read_tenants=read_tenants,
    )
    api_key_servicer = providers.Singleton(
        ApiKeyServicer,
        create_api_key=create_api_key,
        rotate_api_key=rotate_api_key,
        revoke_api_key=revoke_api_key,
        read_api_keys=providers.Singleton(ReadApiKeys, units_of_work),
    )
    request_signing_key_servicer = providers.Singleton(
        RequestSigningKeyServicer,
        create_request_signing_key=providers.Singleton(
            CreateRequestSigningKey, once, ids, announce, secrets, request_secret_box
        ),
        revoke_request_signing_key=providers.Singleton(RevokeRequestSigningKey, once, announce),
        read_request_signing_keys=providers.Singleton(ReadRequestSigningKeys, units_of_work),
    )
    customer_servicer = providers.Singleton(
        CustomerServicer,
        create_customer=providers.Singleton(CreateCustomer, once, ids, announce),
        change_customer_state=providers.Singleton(ChangeCustomerState, once, announce),
        read_customers=providers.Singleton(ReadCustomers, units_of_work),
    )
    market_servicer = providers.Singleton(
        MarketServicer, read_market=providers.Singleton(ReadMarket, market)
    )
    market_admin_servicer = providers.Singleton(
        MarketAdminServicer,
        change_trading_state=change_trading_state,
        list_trading_state_changes=providers.Singleton(ListTradingStateChanges, units_of_work),
    )
    liquidity_admin_servicer = providers.Singleton(
        LiquidityAdminServicer,
        read_lps=providers.Singleton(ReadLps, units_of_work, directory),
        change_trading_state=change_trading_state,
    )
    quote_servicer = providers.Singleton(
        QuoteServicer,
        create_quote=providers.Singleton(
            CreateQuote,
            units_of_work,
            once,
            ids,
            announce,
            market,
            tenant_settings,
            find_price,
        ),
        accept_quote=providers.Singleton(
            AcceptQuote, units_of_work, once, ids, announce, runner, lp_desk, LEASE, ANSWER_WITHIN
        ),
        cancel_quote=providers.Singleton(CancelQuote, once, announce),
        read_quotes=providers.Singleton(ReadQuotes, units_of_work),
        get_indicative_quote=get_indicative_quote,
        stream_quotes=providers.Singleton(
            StreamQuotes, get_indicative_quote, clock, database_clock, LOOK_EVERY, BEAT_EVERY
        ),
        market=market,
    )
    read_evidence = providers.Singleton(ReadEvidence, units_of_work)
    trade_servicer = providers.Singleton(
        TradeServicer,
        read_trades=providers.Singleton(ReadTrades, units_of_work),
        read_evidence=read_evidence,
    )
    trade_admin_servicer = providers.Singleton(
        TradeAdminServicer,
        read_evidence=read_evidence,
        list_stuck_trades=providers.Singleton(ListStuckTrades, units_of_work, directory),
        propose_resolution=providers.Singleton(ProposeResolution, once, ids),
        approve_resolution=providers.Singleton(ApproveResolution, once, runner, LEASE),
        market=market,
    )
    ledger_servicer = providers.Singleton(LedgerServicer, read_ledger=read_ledger)
    create_entries = providers.Singleton(
        CreateEntries, journal, units_of_work, announce, audit_trail
    )
    ledger_admin_servicer = providers.Singleton(
        LedgerAdminServicer,
        create_entry=providers.Singleton(CreateEntry, journal, once, announce, audit_trail),
        create_entries=create_entries,
        load_entries=providers.Singleton(LoadEntries, create_entries, clock),
        reverse_entry=providers.Singleton(ReverseEntry, once, ids, announce),
        open_account=providers.Singleton(OpenAccount, units_of_work, audit_trail),
        set_overdraft_limit=providers.Singleton(SetOverdraftLimit, once),
        read_ledger=read_ledger,
        market=market,
    )
    checkpoint_servicer = providers.Singleton(
        CheckpointServicer,
        read_chain=read_chain,
        export_books=export_books,
        prove_liability=prove_liability,
        market=market,
    )
    checkpoint_admin_servicer = providers.Singleton(
        CheckpointAdminServicer,
        read_chain=read_chain,
        export_books=export_books,
        prove_liability=prove_liability,
        market=market,
    )
    signing_key_servicer = providers.Singleton(
        SigningKeyServicer,
        read_signing_keys=providers.Singleton(
            ReadSigningKeys, providers.Singleton(PostgresSigningKeys, engine)
        ),
    )
    read_closes = providers.Singleton(ReadCloses, units_of_work)
    close_books = providers.Singleton(CloseBooks, units_of_work, signer)
    statement_servicer = providers.Singleton(
        StatementServicer, read_statement=read_statement, read_closes=read_closes
    )
    statement_admin_servicer = providers.Singleton(
        StatementAdminServicer, read_statement=read_statement, read_closes=read_closes
    )
    event_wakes = providers.Singleton(PostgresEventWakes, engine)
    read_events = providers.Singleton(ReadEvents, units_of_work, event_wakes, clock)
    event_servicer = providers.Singleton(
        EventServicer,
        read_events=read_events,
        stream_events=providers.Singleton(
            StreamEvents,
            read_events,
            event_wakes,
            clock,
            database_clock,
            beat_every=BEAT_EVERY,
            patience=READER_PATIENCE,
        ),
    )
    event_admin_servicer = providers.Singleton(
        EventAdminServicer,
        list_dead_letters=providers.Singleton(ListDeadLetters, units_of_work, directory),
        request_replay=providers.Singleton(RequestReplay, once, directory),
    )
    read_breaks = providers.Singleton(ReadBreaks, units_of_work)
    reconciliation_servicer = providers.Singleton(ReconciliationServicer, read_breaks=read_breaks)
    reconciliation_admin_servicer = providers.Singleton(
        ReconciliationAdminServicer,
        import_statement=import_statement,
        fetch_statement=fetch_statement,
        read_breaks=read_breaks,
        assign_break=providers.Singleton(AssignBreak, units_of_work, audit_trail),
        resolve_break=providers.Singleton(ResolveBreak, once, ids, announce),
        approve_break_resolution=providers.Singleton(ApproveBreakResolution, once, ids, announce),
    )
    lp_settlement_admin_servicer = providers.Singleton(
        LpSettlementAdminServicer,
        read_lp_positions=providers.Singleton(ReadLpPositions, units_of_work, directory),
        read_lp_settlements=providers.Singleton(ReadLpSettlements, units_of_work, directory),
        propose_lp_settlement=providers.Singleton(ProposeLpSettlement, once, ids, directory),
        approve_lp_settlement=providers.Singleton(ApproveLpSettlement, once, directory),
        settle_lp_settlement=providers.Singleton(
            SettleLpSettlement, once, ids, announce, directory
        ),
        cancel_lp_settlement=providers.Singleton(CancelLpSettlement, once, directory),
    )
    sandbox_servicer = providers.Singleton(
        SandboxServicer,
        create_deposit=providers.Singleton(CreateDeposit, once, ids, announce),
        market=market,
    )
    audit_servicer = providers.Singleton(
        AuditServicer,
        list_audit_records=providers.Singleton(ListAuditRecords, units_of_work),
    )
    webhook_servicer = providers.Singleton(
        WebhookServicer,
        create_endpoint=providers.Singleton(
            CreateEndpoint, once, ids, announce, secrets, webhook_secret_box, destinations
        ),
        update_endpoint=providers.Singleton(UpdateEndpoint, once, announce, destinations),
        change_endpoint_state=providers.Singleton(ChangeEndpointState, once, announce),
        rotate_secret=providers.Singleton(
            RotateSecret, once, announce, secrets, webhook_secret_box
        ),
        send_test_event=providers.Singleton(SendTestEvent, once, announce),
        replay_deliveries=providers.Singleton(ReplayDeliveries, once),
        read_webhooks=providers.Singleton(ReadWebhooks, units_of_work),
    )
    servicers = providers.List(
        tenant_servicer,
        tenant_admin_servicer,
        api_key_servicer,
        request_signing_key_servicer,
        customer_servicer,
        market_servicer,
        market_admin_servicer,
        liquidity_admin_servicer,
        quote_servicer,
        trade_servicer,
        trade_admin_servicer,
        ledger_servicer,
        ledger_admin_servicer,
        checkpoint_servicer,
        checkpoint_admin_servicer,
        signing_key_servicer,
        statement_servicer,
        statement_admin_servicer,
        event_servicer,
        event_admin_servicer,
        reconciliation_servicer,
        reconciliation_admin_servicer,
        lp_settlement_admin_servicer,
        sandbox_servicer,
        audit_servicer,
        webhook_servicer,
    )
