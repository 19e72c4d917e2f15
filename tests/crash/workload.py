"""Customers: they ask, accept, ask again when nobody answers, and remember what they were told."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from app.usecase.call import Call
from app.usecase.quote.create_quote import QuoteOrder
from domain.amount import Amount
from domain.errors import DomainError, Kind
from domain.ids import ApiKeyId, CallId, CustomerId, QuoteId, TenantId
from domain.party import TREASURY, Party
from domain.quote.quote import Quote
from domain.side import Side
from domain.tenant.api_key import TENANT_SCOPES
from ports.market import Catalogue
from ports.request import RequestKey
from tests.crash.clock import SeededIds
from tests.crash.processes import Server
from tests.crash.world import SUBJECT, World

BASE: Final = "BTC"
QUOTE: Final = "NGN"
PATIENCE_S: Final = 4.0
MAX_TRIES: Final = 60
CREATE: Final = "CreateQuote"
ACCEPT: Final = "AcceptQuote"

_DECIDED: Final = frozenset({Kind.REFUSED, Kind.EXISTS, Kind.INVALID, Kind.MISSING})


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer: the id of what was made, or the reason of a refusal."""

    rpc: str
    request_id: str
    resource: str
    refusal: str
    at: float


@dataclass(slots=True, kw_only=True)
class Market:
    """What the customers of one run do and hear.

    Attributes:
        step: what amounts of the base asset are a multiple of, in its minor unit.
    """

    world: World
    random: Random
    ids: SeededIds
    catalogue: Catalogue
    tenant_id: TenantId
    customer_id: CustomerId
    api_key_id: ApiKeyId
    servers: Callable[[], list[Server]]
    step: int = 1
    heard: list[Heard] = field(default_factory=list)
    asked: set[tuple[str, str]] = field(default_factory=set)

    async def trade(self, number: int) -> None:
        """Get one quote and accept it, perhaps more than once and perhaps too late."""
        random = self.random
        await self.world.pause(None, random.uniform(0.0, 0.5))
        quote = await self._quote(number)
        if quote is None:
            return
        SUBJECT.set(str(quote.id))
        lifetime = self.world.time.seconds(quote.expires_at) - self.world.time.now
        if random.random() < 0.3:
            # Around the expiry, where a clock that is off decides wrongly.
            wait = lifetime + random.uniform(-1.5, 1.0)
        else:
            wait = random.uniform(0.0, 0.6) * lifetime
        await self.world.pause(None, max(wait, 0.0))
        callers = random.choice((1, 1, 2, 3))
        is_same = random.random() < 0.5
        request_ids = [f"a{number}" if is_same else f"a{number}.{each}" for each in range(callers)]
        await asyncio.gather(*(self._accept(quote.id, request_id) for request_id in request_ids))

    async def _quote(self, number: int) -> Quote | None:
        random = self.random
        assets = self.catalogue.assets
        is_base = random.random() < 0.7
        fixed = (
            Amount(assets[BASE], random.randint(100_000, 20_000_000) // self.step * self.step)
            if is_base
            else Amount(assets[QUOTE], random.randint(20_000_000, 2_000_000_000))
        )
        order = QuoteOrder(
            party=TREASURY if random.random() < 0.2 else Party(self.customer_id),
            side=random.choice((Side.BUY, Side.SELL)),
            base_asset=BASE,
            quote_asset=QUOTE,
            fixed=fixed,
            ttl_ms=None,
        )
        made = await self._ask(CREATE, f"q{number}", lambda server, call: server.quote(call, order))
        if made is None:
            return None
        self._hear(CREATE, f"q{number}", resource=str(made.quote.id))
        quote: Quote = made.quote
        return quote

    async def _accept(self, quote_id: QuoteId, request_id: str) -> None:
        await self.world.pause(None, self.random.choice((0.0, 0.0, 0.01, 0.3)))
        trade = await self._ask(
            ACCEPT, request_id, lambda server, call: server.accept(call, quote_id)
        )
        if trade is not None:
            self._hear(ACCEPT, request_id, resource=str(trade.id))

    async def _ask(
        self, rpc: str, request_id: str, send: Callable[[Server, Call], "asyncio.Task[Any]"]
    ) -> Any:
        """Ask until somebody answers; the same request id each time."""
        self.asked.add((rpc, request_id))
        key = RequestKey(
            rpc=rpc,
            request_id=request_id,
            fingerprint=hashlib.sha256(f"{rpc} {request_id}".encode()).digest(),
        )
        for _ in range(MAX_TRIES):
            servers = self.servers()
            if servers:
                call = Call(
                    tenant_id=self.tenant_id,
                    api_key_id=self.api_key_id,
                    scopes=frozenset(TENANT_SCOPES),
                    method=rpc,
                    correlation_id=str(self.ids.new(CallId)),
                    key=key,
                )
                task = send(self.random.choice(servers), call)
                await asyncio.wait({task}, timeout=PATIENCE_S)
                if not task.done():
                    if self.random.random() < 0.5:
                        task.cancel()  # the call is given up, and the server is told so
                elif not task.cancelled():
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if isinstance(error, DomainError):
                        if error.kind in _DECIDED:
                            self._hear(rpc, request_id, refusal=error.reason)
                            return None
                    elif isinstance(error, Exception):
                        self.world.alarms.append(f"{rpc}: {type(error).__name__}: {error}")
                        return None
            await self.world.pause(None, self.random.uniform(0.1, 0.8))
        return None

    def _hear(self, rpc: str, request_id: str, *, resource: str = "", refusal: str = "") -> None:
        self.heard.append(Heard(rpc, request_id, resource, refusal, self.world.time.now))
