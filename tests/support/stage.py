"""A running stack on which a trade is stopped at one step and a process is killed there.

Where a step takes no time of its own, it is held up from outside: by a lock on a row that it is
about to write, by a venue that is frozen, or by a network that passes nothing on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import aiohttp
import asyncpg

from app.stack.stack import ReadyStack, StackOptions
from domain.ids import AttemptId, QuoteId, TradeId
from tests.chaos.checks import until_quiet
from tests.chaos.history import History
from tests.chaos.proxy import Proxy, fronting
from tests.chaos.stack import NATS, POSTGRES, ChaosStack
from tests.support.stack import scratch_home

Json = dict[str, Any]
Result = TypeVar("Result")

SERVE: Final = "serve-1"
PATIENCE_S: Final = 30.0
"""For whatever has to happen; most of it takes a moment, and a takeover as long as a lease."""

LOOK_S: Final = 0.02
CALL_TIMEOUT_S: Final = 15.0

NAIRA: Final = Decimal("50000000.00")
BITCOIN: Final = Decimal("0.5")

QUOTE: Final = "SELECT FROM core.quotes WHERE id = $1 FOR UPDATE"
TRADE: Final = "SELECT FROM core.trades WHERE id = $1 FOR UPDATE"
CUSTOMER_ACCOUNT: Final = """
SELECT FROM core.accounts WHERE kind = 'customer' AND owner = $1 AND asset = $2 FOR UPDATE
"""

_WAITS_FOR: Final = """
SELECT application_name, client_port FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))
"""

_CONNECTED: Final = """
SELECT client_port FROM pg_stat_activity
WHERE application_name = 'reli work' AND query LIKE '%core.%'
"""

_QUOTED_BY: Final = "SELECT lp FROM core.quotes WHERE id = $1"

_TRADE: Final = "SELECT * FROM core.trades WHERE quote_id = $1"

_END_LEASE: Final = "UPDATE core.trade_queue SET leased_until = core.now() WHERE trade_id = $1"

_ATTEMPTS: Final = (
    "SELECT id, number, lp, state FROM core.attempts WHERE trade_id = $1 ORDER BY number"
)

_BALANCES: Final = """
SELECT asset, credits_posted - debits_posted AS posted, debits_pending AS held
FROM core.accounts WHERE kind = 'customer' AND owner = $1
"""

_NAIRA_UNITS: Final = 2
_BITCOIN_UNITS: Final = 8


async def until(look: Callable[[], Awaitable[Result | None]], what: str) -> Result:
    """Look again and again until there is something to be seen, and return that."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = await look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"in {PATIENCE_S:g} s never: {what}"
        await asyncio.sleep(LOOK_S)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who waits for a lock.

    Attributes:
        role: what kind of process it is, such as `reli work`.
        port: the one that it talks to the database from.
    """

    role: str
    port: int


@dataclass(frozen=True, slots=True)
class Lock:
    """Rows that the test keeps to itself."""

    stage: "Stage"
    pid: int

    async def is_waited_for_by(self, role: str) -> Waiting:
        """Wait until a process of that kind can go on only when the lock is gone."""

        async def look() -> Waiting | None:
            rows = await self.stage.database.fetch(_WAITS_FOR, self.pid)
            return next(
                (
                    Waiting(row["application_name"], row["client_port"])
                    for row in rows
                    if row["application_name"] == f"reli {role}"
                ),
                None,
            )

        return await until(look, f"{role} waits for the lock")


@dataclass(frozen=True, slots=True)
class Accept:
    """One acceptance of a quote, which a client repeats until it knows what became of it.

    Attributes:
        first: the first time it was sent; the status that it was answered with.
    """

    client: "Client"
    quote: Json
    key: str
    first: "asyncio.Task[int]"

    @property
    def quote_id(self) -> UUID:
        return QuoteId.parse(self.quote["id"]).uuid

    async def again(self) -> Json:
        """Send it again with the same idempotency key, until it is answered; return the trade."""

        async def look() -> Json | None:
            with suppress(aiohttp.ClientError, TimeoutError):
                status, body = await self.client.accept(self.quote, self.key)
                assert status == 200 or status >= 500 or status in (409, 429), body
                return body["trade"] if status == 200 else None
            return None

        return await until(look, "the accept is answered")


@dataclass(frozen=True, slots=True)
class Client:
    """A customer with naira and bitcoin, and the partner's key that it trades with."""

    stage: "Stage"
    id: str
    key: str

    async def quote(self, amount: str) -> Json:
        """Ask for bitcoin until alpha gives the price; on a busy machine it may come too late."""
        body = {
            "customer_id": self.id,
            "side": "SIDE_BUY",
            "base_asset": "BTC",
            "quote_asset": "NGN",
            "base_amount": {"value": amount, "asset": "BTC"},
        }

        async def look() -> Json | None:
            quote: Json = (await self.stage.post("/v1/quotes", self.key, body))["quote"]
            lp = await self.stage.database.fetchval(_QUOTED_BY, QuoteId.parse(quote["id"]).uuid)
            return quote if lp == "alpha" else None

        return await until(look, "alpha gives a quote")

    def begin_to_accept(self, quote: Json) -> Accept:
        key = f"accept {quote['id']}"

        async def send() -> int:
            try:
                return (await self.accept(quote, key))[0]
            except (aiohttp.ClientError, TimeoutError):
                return 0

        return Accept(self, quote, key, asyncio.create_task(send()))

    async def accept(self, quote: Json, key: str) -> tuple[int, Json]:
        return await self.stage.send(f"/v1/quotes/{quote['id']}:accept", self.key, {}, key)


@dataclass(slots=True)
class Stage:
    """The stack, and the ways to disturb it.

    Attributes:
        database: connections that see everything.
        proxies: what lies before each venue and each server, by name.
    """

    parts: "StagedStack"
    ready: ReadyStack
    session: aiohttp.ClientSession
    database: Any
    proxies: Mapping[str, Proxy]
    key: str = ""
    _numbers: Iterator[int] = field(default_factory=count)
    _frozen: set[str] = field(default_factory=set)

    # The client's side.

    async def send(self, path: str, key: str, body: Json, request_id: str) -> tuple[int, Json]:
        async with self.session.post(
            self.ready.rest_url + path,
            headers={
                "authorization": f"Bearer {key}",
                "idempotency-key": request_id,
            },
            json=body,
        ) as response:
            return response.status, await response.json(content_type=None)

    async def post(self, path: str, key: str, body: Json) -> Json:
        """Send a request that has to succeed; a server that has just been started may need time."""
        request_id = f"request {next(self._numbers)}"

        async def look() -> Json | None:
            with suppress(aiohttp.ClientError, TimeoutError):
                status, answer = await self.send(path, key, body, request_id)
                assert status == 200 or status >= 500, answer
                return answer if status == 200 else None
            return None

        return await until(look, f"{path} is answered")

    async def new_tenant(self, slug: str) -> str:
        """Make a tenant and return a key of it."""
        operator = self.ready.operator_key
        tenant = await self.post(
            "/v1/tenants", operator, {"slug": slug, "display_name": f"Tenant {slug}"}
        )
        made = await self.post(
            f"/v1/tenants/{tenant['tenant']['id']}/apiKeys", operator, {"name": slug}
        )
        secret: str = made["secret"]
        return secret

    async def new_client(self, key: str = "") -> Client:
        key = key or self.key
        made = await self.post(
            "/v1/customers", key, {"external_id": f"client-{next(self._numbers)}"}
        )
        client = Client(self, made["customer"]["id"], key)
        for value, asset in ((NAIRA, "NGN"), (BITCOIN, "BTC")):
            amount = {"value": f"{value:f}", "asset": asset}
            body = {"customer_id": client.id, "amount": amount}
            await self.post("/v1/sandbox/deposits", key, body)
        return client

    # The processes.

    @property
    def workers(self) -> Sequence[str]:
        return [name for name in self.parts.named("work") if self.parts.is_running(name)]

    def kill(self, name: str) -> None:
        self.parts.kill(name)

    def freeze(self, name: str) -> None:
        self.parts.freeze(name)
        self._frozen.add(name)

    def thaw(self, name: str) -> None:
        self.parts.thaw(name)
        self._frozen.discard(name)

    def restart(self, name: str) -> None:
        self.parts.restart(name)

    async def until_ready(self, name: str) -> None:
        async def look() -> bool:
            if name.startswith("work"):
                return await self._works(name)
            return await asyncio.to_thread(self.parts.is_ready, name)

        await until(look, f"{name} is ready")

    async def _works(self, name: str) -> bool:
        """Say whether a worker has begun to ask the database for work."""
        own = _sockets_of(self.parts.pid(name))
        ports = await self.database.fetch(_CONNECTED)
        return any(own & _sockets_at(row["client_port"]) for row in ports)

    async def all_ready(self) -> None:
        """Wait until every part that was started does its work."""
        for name in self.parts.names:
            if self.parts.is_running(name):
                await self.until_ready(name)

    def heal(self, *, workers: int) -> None:
        """Start what is down, and so many workers, whatever a test has left behind."""
        for name in list(self._frozen):
            self.thaw(name)
        for proxy in self.proxies.values():
            proxy.heal()
        for name in self.workers[workers:]:
            self.kill(name)
        missing = workers - len(self.workers)
        for name in self.parts.names:
            if self.parts.is_running(name):
                continue
            if not name.startswith("work"):
                self.restart(name)
            elif missing > 0:
                self.restart(name)
                missing -= 1

    def process_at(self, port: int) -> str:
        """Return the server or worker that has a connection from that port."""
        sockets = _sockets_at(port)
        (found,) = [
            name
            for name in (SERVE, *self.workers)
            if self.parts.is_running(name) and sockets & _sockets_of(self.parts.pid(name))
        ]
        return found

    def speaker_to(self, venue: str) -> "asyncio.Task[str]":
        """Listen from now on; the result is the process that is the first to say something."""

        async def listen() -> str:
            async with asyncio.timeout(PATIENCE_S):
                return self.process_at(await self.proxies[venue].next_client())

        return asyncio.create_task(listen())

    # The database.

    @asynccontextmanager
    async def locked(self, query: str, *arguments: object) -> AsyncIterator[Lock]:
        """Keep the rows of a query from everybody else."""
        connection = await asyncpg.connect(self.ready.database_url)
        try:
            await connection.execute("BEGIN")
            assert await connection.execute(query, *arguments) != "SELECT 0"
            yield Lock(self, connection.get_server_pid())
        finally:
            connection.terminate()

    async def trade(self, accept: Accept) -> Any:
        """Wait until the accept has committed, and return the trade's row."""

        async def look() -> Any:
            return await self.database.fetchrow(_TRADE, accept.quote_id)

        return await until(look, "the accept commits")

    async def end_lease(self, trade_id: UUID) -> None:
        """Let the time be over for which a trade is its process's own."""
        await self.database.execute(_END_LEASE, trade_id)

    async def end_of(self, accept: Accept) -> Any:
        """Wait until the trade has ended, and return its row."""

        async def look() -> Any:
            row = await self.database.fetchrow(_TRADE, accept.quote_id)
            return row if row and row["ended_at"] else None

        return await until(look, "the trade ends")

    async def attempts(self, trade_id: UUID) -> Sequence[Any]:
        rows: Sequence[Any] = await self.database.fetch(_ATTEMPTS, trade_id)
        return rows

    async def until_quiet(self) -> None:
        """Wait until every trade has ended and every event has arrived where it is to go."""
        history = History()
        await until_quiet(history, self.ready.database_url)
        assert history.violations == []

    # The venues.

    async def misbehave(self, venue: str, behavior: str) -> None:
        """Have a venue deal with the next order in some way."""
        body = {"behavior": behavior, "count": 1}
        url = f"{self.parts.venue_books[venue]}/v1/behavior"
        async with self.session.put(url, json=body) as response:
            response.raise_for_status()

    async def works_on(self, venue: str, trade_id: UUID) -> None:
        """Wait until the venue has an order of the trade and has not decided it."""
        await self._until_order(venue, trade_id, {"working"})

    async def decided(self, venue: str, trade_id: UUID) -> None:
        """Wait until the venue has filled or rejected an order of the trade."""
        await self._until_order(venue, trade_id, {"filled", "rejected"})

    async def _until_order(self, venue: str, trade_id: UUID, statuses: set[str]) -> None:
        async def look() -> bool:
            for attempt in await self.attempts(trade_id):
                if attempt["lp"] == venue:
                    url = f"{self.parts.venue_urls[venue]}/v1/orders/{AttemptId(attempt['id'])}"
                    async with self.session.get(url) as response:
                        return (await response.json()).get("status") in statuses
            return False

        await until(look, f"the order at {venue} is {statuses}")

    async def executions(self, trade_id: UUID) -> Sequence[str]:
        """Return who has executed the trade, in the words of the venues' own books."""
        ours = {str(AttemptId(attempt["id"])) for attempt in await self.attempts(trade_id)}
        found = []
        for name, url in self.parts.venue_books.items():
            async with self.session.get(f"{url}/v1/book") as response:
                book = await response.json()
            found += [name for one in book["executions"] if one["client_order_id"] in ours]
        return found

    # What has to be so afterwards.

    async def assert_one_effect(self, accept: Accept, *, settled_by: str | None) -> None:
        """Check a trade that has ended: at the venues, in the books, and in the client's eyes."""
        trade = await self.end_of(accept)
        assert trade["state"] == ("settled" if settled_by else "rejected"), trade
        executions = await self.executions(trade["id"])
        assert executions == ([settled_by] if settled_by else []), executions
        resolutions = await self.database.fetch(
            "SELECT kind FROM core.resolutions WHERE pending_id = $1", trade["hold_id"]
        )
        assert [row["kind"] for row in resolutions] == ["post" if settled_by else "void"], trade

        said = await accept.again()
        assert said["id"] == str(TradeId(trade["id"])), said
        assert said["state"] == f"TRADE_STATE_{trade['state'].upper()}", said

        pays = Decimal(accept.quote["quote_amount"]["value"]) if settled_by else Decimal()
        gets = Decimal(accept.quote["base_amount"]["value"]) if settled_by else Decimal()
        rows = await self.database.fetch(_BALANCES, accept.client.id)
        assert {row["asset"]: (row["posted"], row["held"]) for row in rows} == {
            "NGN": ((NAIRA - pays).scaleb(_NAIRA_UNITS), 0),
            "BTC": ((BITCOIN + gets).scaleb(_BITCOIN_UNITS), 0),
        }


class StagedStack(ChaosStack):
    """A proxy before each venue and each server; the database is talked to directly."""

    def __init__(self, options: StackOptions, *, front: Callable[[str, int], int]) -> None:
        super().__init__(
            options,
            front=lambda name, port: port if name in (POSTGRES, NATS) else front(name, port),
        )
        self._before = front
        self.venue_urls: dict[str, str] = {}

    def pid(self, name: str) -> int:
        return self._child(name).pid

    def stop(self, name: str) -> None:
        """Ask a part to end, as an operator would."""
        self._child(name).stop()

    def _start_venues(self) -> Any:
        venues, wait = super()._start_venues()
        self.venue_urls = {venue.name: str(venue.settings()["url"]) for venue in venues}
        return venues, wait

    def _start_app(self, env: dict[str, str]) -> tuple[int, ...]:
        ports = super()._start_app(env)
        return tuple(self._before(f"serve-{n}", port) for n, port in enumerate(ports, start=1))


@asynccontextmanager
async def open_stage(
    *, workers: int, make: type[StagedStack] = StagedStack
) -> AsyncIterator[Stage]:
    """Start one server, so many workers, and all that they need; end it all with the block."""
    proxies: dict[str, Proxy] = {}
    front = fronting(proxies)
    async with AsyncExitStack() as stack:
        home = stack.enter_context(scratch_home())
        options = StackOptions(home=home / "home", work_processes=workers)
        parts = make(options, front=front)
        stack.enter_context(parts)
        ready = await asyncio.to_thread(parts.start)
        timeout = aiohttp.ClientTimeout(CALL_TIMEOUT_S)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        database = await stack.enter_async_context(
            asyncpg.create_pool(ready.database_url, min_size=1, max_size=4, init=_use_exact_numbers)
        )
        for proxy in proxies.values():
            stack.push_async_callback(proxy.close)
        stage = Stage(parts, ready, session, database, proxies)
        stage.key = await stage.new_tenant("stage")
        yield stage


async def _use_exact_numbers(connection: Any) -> None:
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=int, format="text"
    )


def _sockets_at(port: int) -> set[str]:
    """Return the loopback sockets that are bound to a port, as the kernel names them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return {f"socket:[{row[9]}]" for row in rows if int(row[1].rpartition(":")[2], 16) == port}


def _sockets_of(pid: int) -> set[str]:
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(str(fd.readlink()))
    return found
