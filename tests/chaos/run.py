"""Process chaos: the real processes under load, killed and cut off, healed and then audited."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

import aiohttp
from google.protobuf.json_format import MessageToDict

from app.stack.stack import DEFAULT_VENUES, ReadyStack, StackOptions
from tests.chaos.checks import Aftermath, check, read_logs, until_quiet
from tests.chaos.faults import Faults, Say, Supervisor, misbehave
from tests.chaos.history import History
from tests.chaos.load import CALL_TIMEOUT_S, FUNDS, Customer, Market
from tests.chaos.proxy import Proxy, fronting
from tests.chaos.recovery import Recovery
from tests.chaos.report import Report
from tests.chaos.stack import ChaosStack
from tests.support.rate_limit import GENEROUS

SETUP_AT_ONCE: Final = 8
DECIDE_WITHIN_S: Final = 40.0
_PRIMARY_BACKUP: Final = {"instrument": "BTC-NGN", "rule": "ROUTING_RULE_PRIMARY_BACKUP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Attributes:
    actions_per_s: how much all customers together do, while nothing fails.
    venues: their wire formats by name; each is the primary of one tenant in turn.
    """

    seed: int
    seconds: float
    home: Path
    customers: int = 200
    tenants: int = 4
    serve: int = 3
    work: int = 2
    actions_per_s: float = 40.0
    only: str = ""
    venues: Mapping[str, str] = field(default_factory=lambda: DEFAULT_VENUES)


async def run(
    options: Options,
    say: Say,
    *,
    afterwards: Callable[[History, Aftermath], Awaitable[None]] | None = None,
) -> Report:
    """Run, break, heal and check; raises `StackFailure` if not even the start succeeds.

    `afterwards` may look at what was checked while it is still there.
    """
    proxies: dict[str, Proxy] = {}
    front = fronting(proxies)
    stack_options = StackOptions(
        home=options.home,
        serve_processes=options.serve,
        work_processes=options.work,
        venues=options.venues,
    )
    async with AsyncExitStack() as stack:
        parts = stack.enter_context(ChaosStack(stack_options, front=front))
        ready = await asyncio.to_thread(parts.start)
        connector = aiohttp.TCPConnector(limit=options.customers * 2)
        timeout = aiohttp.ClientTimeout(CALL_TIMEOUT_S)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, timeout=timeout)
        )
        history, recovery = History(), Recovery()
        market = Market(session, ready.rest_url, history, recovery)
        customers = await _make_customers(market, ready, options)
        say(f"{len(customers)} customers of {options.tenants} tenants have their first deposit")

        supervisor = Supervisor(parts, history, say)
        random = Random(f"faults {options.seed}")
        faults = Faults(parts, supervisor, proxies, recovery, random, say, options.only)
        watching = asyncio.create_task(supervisor.watch())
        try:
            await _live(customers, faults, parts, session, options)
            say("healed")
            quiet_s = await until_quiet(history, ready.database_url)
            say(f"quiet after {quiet_s:.1f} s")
            expected = await _final_balances(customers)
        finally:
            watching.cancel()
        aftermath = Aftermath(
            database_url=ready.database_url,
            nats_url=ready.nats_url,
            venue_books=parts.venue_books,
            expected=expected,
        )
        found = await check(history, aftermath)
        if afterwards is not None:
            await afterwards(history, aftermath)
        for outage in recovery.too_slow():
            took = "never" if outage.seconds is None else f"after {outage.seconds:.1f} s"
            history.violate("recovery", "", f"{outage.kind} {outage.target}", f"writes {took}")
        for proxy in proxies.values():
            await proxy.close()
        surprises = read_logs([*parts.logs("serve"), *parts.logs("work")])
        return Report(
            options=options,
            history=history,
            recovery=recovery,
            found=found,
            fired=faults.fired,
            requests=market.requests,
            slowest_s=market.slowest_s,
            quiet_s=quiet_s,
            surprises=surprises,
        )


async def _live(
    customers: list[Customer],
    faults: Faults,
    parts: ChaosStack,
    session: aiohttp.ClientSession,
    options: Options,
) -> None:
    """Let everybody trade while things break."""
    until = time.monotonic() + options.seconds
    customers[0].market.give_up_at = until + DECIDE_WITHIN_S
    venues = [
        misbehave(url, Random(f"{name} {options.seed}"), session, until)
        for name, url in parts.venue_books.items()
    ]
    lives = asyncio.gather(*(customer.live(until) for customer in customers))
    await asyncio.gather(faults.run(until), *venues)
    await lives


async def _make_customers(market: Market, ready: ReadyStack, options: Options) -> list[Customer]:
    operator = ready.operator_key
    tenants: list[tuple[str, str]] = []
    for number in range(options.tenants):
        body = {
            "slug": f"chaos-{number}",
            "display_name": f"Chaos {number}",
            "settings": {"rate_limits": [MessageToDict(limit) for limit in GENEROUS]},
        }
        made = await market.decide("POST", "/v1/tenants", operator, body, is_write=False)
        tenant_id = made.body["tenant"]["id"]
        key = await market.decide(
            "POST", f"/v1/tenants/{tenant_id}/apiKeys", operator, {"name": "chaos"}, is_write=False
        )
        tenants.append((tenant_id, key.body["secret"]))
        names = deque(options.venues)
        names.rotate(-number)
        terms = {"lp_order": [*names], "routings": [_PRIMARY_BACKUP]}
        path = f"/v1/tenants/{tenant_id}/terms"
        await market.decide("PATCH", path, operator, terms, is_write=False)
    at_once = asyncio.Semaphore(SETUP_AT_ONCE)

    async def make(number: int) -> Customer:
        tenant_id, key = tenants[number % len(tenants)]
        name = f"c{number}"
        async with at_once:
            made = await market.decide(
                "POST", "/v1/customers", key, {"external_id": name}, is_write=False
            )
            customer = Customer(
                market=market,
                tenant_id=tenant_id,
                key=key,
                id=made.body["customer"]["id"],
                name=name,
                random=Random(f"{name} {options.seed}"),
                think_s=options.customers / options.actions_per_s,
            )
            await customer.deposit("NGN", FUNDS)
            return customer

    return list(await asyncio.gather(*(make(number) for number in range(options.customers))))


async def _final_balances(
    customers: list[Customer],
) -> Mapping[tuple[str, str], Mapping[str, Decimal]]:
    """Ask for the end of every trade; leave out who has one of which nobody knows the end."""
    at_once = asyncio.Semaphore(SETUP_AT_ONCE)
    market = customers[0].market
    market.give_up_at = time.monotonic() + DECIDE_WITHIN_S

    async def settle(customer: Customer) -> None:
        async with at_once:
            await customer.compare_balances()

    await asyncio.gather(*(settle(customer) for customer in customers))
    return {
        (customer.tenant_id, customer.id): customer.balances()
        for customer in customers
        if all(trade.is_ended for trade in customer.trades if trade.trade_id)
    }
