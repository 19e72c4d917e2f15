"""A platform of its own whose LPs are reconciled when a test says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from app.usecase.reconciliation.reconcile_feed import ReconcileFeed
from app.worker.reconciler import Reconciler
from domain.reconciliation.matching import Rules
from domain.reconciliation.statement import SourceKind
from ports.lease import Lease
from ports.reconciliation import StatementFeed
from reli.reconciliation.v1 import break_pb2
from reli.reconciliation.v1 import reconciliation_service_pb2 as pb
from tests.support.audited_books import follow_events
from tests.support.platform import Client, Platform, Venue, a_platform, new_request_id
from tests.support.stack import a_database

LEASE = Lease("reconciler", 1)


@dataclass(frozen=True)
class Reconciled:
    """Attributes:
    home: where the venues keep their books.
    reconciler: gives a line no grace, so that a break shows at once.
    """

    platform: Platform
    url: str
    home: Path
    client: Client
    customer_id: str
    reconciler: Reconciler

    @property
    def house_id(self) -> str:
        return str(self.platform.environment.house_id)

    @property
    def feeds(self) -> list[StatementFeed]:
        return list(self.reconciler.feeds)

    @property
    def reconcile_feed(self) -> ReconcileFeed:
        return self.reconciler.reconcile_feed

    async def reconcile(self) -> None:
        """Let the house's book see all that happened, and compare it with both venues."""
        await follow_events(self.platform)
        while await self.reconciler(LEASE):
            pass

    async def trade(self, base_amount: str = "0.01", **options: Any) -> Any:
        quote = await self.client.quote(self.customer_id, base_amount, **options)
        return await self.client.accept(quote.id)

    async def breaks(self) -> list[break_pb2.Break]:
        """Return the open breaks of the house, of no age."""
        listed = await self.platform.operator.reconciliation_admin.ListBreaks(
            pb.ListBreaksRequest(tenant_id=self.house_id, page_size=200)
        )
        for one in listed.breaks:
            one.ClearField("age")
        return [one for one in listed.breaks if one.state == break_pb2.BREAK_STATE_OPEN]

    async def count(self, condition: str) -> int:
        counted: int = await self.platform.owner.fetchval(
            "SELECT count(*) FROM core.reconciliation_lines WHERE tenant_id = $1 AND " + condition,
            self.platform.environment.house_id.uuid,
        )
        return counted


async def execute_unasked(venue: Venue, client_order_id: str) -> None:
    """Have a venue execute an order of which nobody of ours knows."""

    async def post(path: str, body: dict[str, str]) -> Any:
        async with venue.session.post(venue.url + path, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    asked = {
        "client_quote_id": new_request_id(),
        "base_asset": "BTC",
        "quote_asset": "NGN",
        "side": "buy",
        "base_amount": "0.03",
    }
    quote = await post("/v1/quotes", asked)
    await post("/v1/orders", {"client_order_id": client_order_id, "quote_id": quote["quote_id"]})


@asynccontextmanager
async def a_reconciled_platform(
    server_url: str, name: str, home: Path
) -> AsyncIterator[Reconciled]:
    url = await a_database(server_url, name)
    async with a_platform(url, home) as platform:
        _, client = await platform.a_tenant()
        customer_id = await platform.a_funded_customer(client)
        await client.deposit(customer_id, "5.00000000", "BTC")
        container = platform.work_container
        rules = {SourceKind.LP: Rules(window=timedelta(minutes=15), grace=timedelta())}
        feed = container.reconcile_feed()
        yield Reconciled(
            platform=platform,
            url=url,
            home=home,
            client=client,
            customer_id=customer_id,
            reconciler=Reconciler(
                container.feeds(),
                replace(feed, import_statement=replace(feed.import_statement, rules=rules)),
                (),
                container.reconcile_listing(),
            ),
        )
