"""One worker process."""

import asyncio
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Final

from adapters.nats.bus import NatsBus
from adapters.nats.connection import NatsConnection
from adapters.postgres.audit_log import PostgresAuditNumberer
from adapters.postgres.chain import PostgresChainer
from adapters.postgres.close import PostgresBooksToClose
from adapters.postgres.consumer import PostgresEventFeed
from adapters.postgres.engine import make_engine
from adapters.postgres.late_check import PostgresLateCheckQueue
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.ledger import PostgresExpiringHolds, PostgresLines
from adapters.postgres.liability import PostgresLiabilityKeeper
from adapters.postgres.outbox import PostgresOutboxReader, PostgresSequencer
from adapters.postgres.partition import PostgresPartitions
from adapters.postgres.trade import PostgresTradeQueue
from adapters.postgres.webhook import (
    PostgresWebhookLog,
    PostgresWebhookPlanner,
    PostgresWebhookQueue,
)
from adapters.webhook.sender import HttpWebhookSender, open_connections
from app.collector import settle_down
from app.container import LEASE, REPORT_EVERY_S
from app.process import open_process
from app.settings import Settings
from app.usecase.house.mirror_trades import CONSUMER as HOUSE_BOOK
from app.usecase.trade.make_receipts import CONSUMER as RECEIPTS
from app.worker.book_chainer import BookChainer
from app.worker.daily_closer import DailyCloser
from app.worker.dead_letter_replay import DeadLetterReplay
from app.worker.event_follower import EventFollower
from app.worker.event_sequencer import EventSequencer
from app.worker.hold_expiry import HoldExpiry
from app.worker.late_check_worker import LateCheckWorker
from app.worker.leased import Leased
from app.worker.liability_sheets import LiabilitySheets
from app.worker.line_lister import LineLister
from app.worker.loop import run_for_ever
from app.worker.outage import Outages
from app.worker.outbox_relay import OutboxRelay
from app.worker.partition_maker import PartitionMaker
from app.worker.reconciler import Reconciler
from app.worker.trade_worker import TradeWorker
from app.worker.webhook_deliverer import WebhookDeliverer
from app.worker.webhook_keeper import WebhookKeeper
from app.worker.webhook_planner import WebhookPlanner

POOL_SIZE: Final = 10
GRACE_S: Final = 5.0
WEBHOOK_CONNECTIONS: Final = 4
"""Of their own, so that trades never wait for one that deliveries have."""
CHAIN_REST_S: Final = 0.4
FOLLOWER_REST_S: Final = 0.9
"""A round costs nearly the same whatever is in it. A receipt is there a second after its trade."""
LINES_REST_S: Final = 3.0
"""The more lines of an account are listed together, the fewer pages its list takes and touches."""
RECONCILER_LEASE: Final = timedelta(seconds=30)
"""It rests for longer than other work, and nobody waits for it."""

_log = logging.getLogger("reli.work")


async def work(settings: Settings) -> None:
    """Work until canceled, then let running trades come to rest."""
    async with (
        open_process(
            settings, settings.work_database_url, actor="work", pool_size=POOL_SIZE
        ) as process,
        AsyncExitStack() as stack,
    ):
        engine, container = process.engine, process.container
        nats = NatsConnection(settings.nats_url, name="reli work")
        stack.push_async_callback(nats.close)
        clock, runner = container.clock(), container.runner()
        trades = TradeWorker(PostgresTradeQueue(engine), runner, LEASE)
        leases = PostgresLeases(engine)
        sequencer = Leased(
            "sequencer",
            leases,
            clock,
            EventSequencer(PostgresSequencer(engine)),
            lease_for=LEASE,
        )
        numberer = Leased(
            "audit log",
            leases,
            clock,
            EventSequencer(PostgresAuditNumberer(engine)),
            lease_for=LEASE,
        )
        relay = Leased(
            "relay",
            leases,
            clock,
            OutboxRelay(PostgresOutboxReader(engine), NatsBus(nats)),
            lease_for=LEASE,
        )
        signer = container.signer()
        if signer is None:
            _log.warning("RELI_SIGNING_KEY is not set: nothing is signed, and no receipts are made")
        chainer = Leased(
            "chainer",
            leases,
            clock,
            BookChainer(
                PostgresChainer(engine),
                signer,
                timedelta(milliseconds=settings.checkpoint_every_ms),
            ),
            lease_for=LEASE,
        )
        liabilities = Leased(
            "liabilities",
            leases,
            clock,
            LiabilitySheets(
                PostgresLiabilityKeeper(engine),
                signer,
                timedelta(milliseconds=settings.liabilities_every_ms),
            ),
            lease_for=LEASE,
        )
        closer = Leased(
            "closer",
            leases,
            clock,
            DailyCloser(PostgresBooksToClose(engine), container.close_books()),
            lease_for=LEASE,
        )
        feed, bury_event = PostgresEventFeed(engine), container.bury_event()
        house = EventFollower(HOUSE_BOOK, feed, container.mirror_trades(), bury_event)
        replays = DeadLetterReplay(container.house_replays())
        late_checks = LateCheckWorker(PostgresLateCheckQueue(engine), container.look_late())
        holds = HoldExpiry(PostgresExpiringHolds(engine), container.expire_hold())
        lines = LineLister(PostgresLines(engine))
        reconciler = Leased(
            "reconciler",
            leases,
            clock,
            Reconciler(
                container.feeds(),
                container.reconcile_feed(),
                container.daily_listings(),
                container.reconcile_listing(),
            ),
            lease_for=RECONCILER_LEASE,
        )
        partitions = PartitionMaker(PostgresPartitions(engine))
        webhook_engine = make_engine(
            settings.work_database_url, pool_size=WEBHOOK_CONNECTIONS, name="reli webhooks"
        )
        stack.push_async_callback(webhook_engine.dispose)
        connections = await stack.enter_async_context(open_connections(container.destinations()))
        queue = PostgresWebhookQueue(webhook_engine, connections=WEBHOOK_CONNECTIONS)
        planner = Leased(
            "webhook planner",
            leases,
            clock,
            WebhookPlanner(PostgresWebhookPlanner(engine)),
            lease_for=LEASE,
        )
        keeper = Leased(
            "webhook keeper",
            leases,
            clock,
            WebhookKeeper(PostgresWebhookLog(engine)),
            lease_for=RECONCILER_LEASE,
        )
        sender = HttpWebhookSender(connections, clock)
        deliverer = WebhookDeliverer(queue, container.serve_endpoint(queue=queue, sender=sender))
        stack.push_async_callback(deliverer.stop)
        run = partial(run_for_ever, outages=Outages(clock))
        settle_down()
        _log.info("working")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(run("trades", clock, trades, rest_s=0.2))
                group.create_task(run("sequencer", clock, sequencer, rest_s=0.03))
                group.create_task(run("audit log", clock, numberer, rest_s=0.5))
                group.create_task(run("relay", clock, relay, rest_s=0.1))
                group.create_task(run("chainer", clock, chainer, rest_s=CHAIN_REST_S))
                group.create_task(run("closer", clock, closer, rest_s=60))
                group.create_task(run("liabilities", clock, liabilities, rest_s=1))
                group.create_task(run("house book", clock, house, rest_s=FOLLOWER_REST_S))
                group.create_task(run("late checks", clock, late_checks, rest_s=1))
                group.create_task(
                    run(
                        "LP outcomes",
                        clock,
                        container.report_outcomes(),
                        rest_s=REPORT_EVERY_S,
                    )
                )
                group.create_task(run("replays", clock, replays, rest_s=1))
                if signer is not None:
                    receipts = EventFollower(RECEIPTS, feed, container.make_receipts(), bury_event)
                    again = DeadLetterReplay(container.receipt_replays())
                    group.create_task(run("receipts", clock, receipts, rest_s=FOLLOWER_REST_S))
                    group.create_task(run("receipt replays", clock, again, rest_s=1))
                group.create_task(run("holds", clock, holds, rest_s=1))
                group.create_task(run("lines", clock, lines, rest_s=LINES_REST_S))
                group.create_task(run("reconciler", clock, reconciler, rest_s=5))
                group.create_task(run("partitions", clock, partitions, rest_s=3_600))
                group.create_task(run("webhook planner", clock, planner, rest_s=0.1))
                group.create_task(run("webhook deliverer", clock, deliverer, rest_s=0.1))
                group.create_task(run("webhook keeper", clock, keeper, rest_s=10))
        finally:
            async with asyncio.timeout(GRACE_S):
                await runner.drain()
