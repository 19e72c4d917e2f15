"""A venue behind a real wire format: our own adapter on one side, the product's local venue on the
other, and real HTTP between them.

The local venue's book says what was executed. What goes wrong is what goes wrong at a venue or on
the way: an answer that is lost or makes no sense, an order that arrives late or twice.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final, cast
from unittest.mock import patch

from adapters.http.connection import Answer, Connection, Connections, Limits, Place
from adapters.lp.http import LpSessions, open_lp_sessions
from adapters.lp.sandbox import book, desk
from adapters.lp.sandbox.behavior import Behavior
from adapters.lp.sandbox.book import OrderStatus
from adapters.lp.sandbox.desk import QUOTE_LIFE
from adapters.lp.sandbox.venue import HOST, VenuePorts, open_venue
from app.certify.subject import SUBJECTS, Subject
from domain.amount import Amount
from domain.asset import Instrument
from domain.ids import AttemptId
from domain.side import Side
from ports.clock import Clock
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpCapabilities,
    LpQuote,
    LpQuoteRequest,
    LpStatus,
)
from tests.crash.clock import VirtualTime
from tests.crash.venue import LATEST_S, MARGIN_S, Execution

WIRE_FORMATS: Final = ("okx", "zero-hash", "valr", "binance", "bybit", "b2c2")
_BY_QUOTE: Final = frozenset({"okx", "zero-hash", "binance", "bybit"})
"""An order there uses up its quote, so one that is delivered twice is executed once."""

_UNREACHABLE: Final = f"http://{HOST}:1"


class Way(StrEnum):
    """What happens on the way to the venue or back."""

    NOT_CONNECTED = "not connected"
    LATE_TO_ARRIVE = "arrives late"
    TWICE = "delivered twice"
    STATUS_AWAY = "status away"


_LOST: Final = (Behavior.CUT_BEFORE_FILL, Behavior.UNAVAILABLE, Behavior.OVERLOADED)
_UNHEARD: Final = (
    Behavior.CUT_AFTER_FILL,
    Behavior.GARBAGE,
    Behavior.SHORT_BODY,
    Behavior.SERVER_ERROR,
)
_ORDERS: Final[Sequence[Behavior | Way]] = (
    *(Behavior.REJECT, Behavior.REJECT, Behavior.EXPIRE, Behavior.HALTED),
    *(*_LOST, *_UNHEARD),
    *(Behavior.OTHER_PRICE, Behavior.OTHER_PRICE_FAR),
    *(Behavior.LATE_FILL, Behavior.LATE_FILL, Behavior.LATE_FILL),
    *(Way.NOT_CONNECTED, Way.LATE_TO_ARRIVE, Way.LATE_TO_ARRIVE, Way.TWICE),
)


@dataclass(frozen=True, slots=True)
class _VenueClock(Clock):
    time: VirtualTime
    skew: float

    def now(self) -> datetime:
        return self.time.instant(self.skew)

    def monotonic(self) -> float:
        return self.time.now

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a venue of this harness answers at once; its turn takes the time")


@dataclass(frozen=True, slots=True)
class _Held:
    """A request on its way."""

    arrives_at: float
    place: Place
    request: bytes
    limits: Limits


@dataclass(slots=True)
class WireVenue:
    """One venue; `line` is what a process has of it.

    Attributes:
        orders: our id of an order by what the venue knows it by.
        way: what happens to the next request of an execution or a status.
    """

    name: str
    subject: Subject
    ports: VenuePorts
    capabilities: LpCapabilities
    time: VirtualTime
    random: Random
    sessions: LpSessions
    is_wild: bool
    is_quick: bool
    behaves: bool = False
    orders: dict[str, str] = field(default_factory=dict)
    held: list[_Held] = field(default_factory=list)
    way: Way | None = None
    fired: Counter[str] = field(default_factory=Counter)

    def line(self, clock: Clock) -> "WireLine":
        faulty = cast(Connections, _FaultyConnections(self))
        known: Mapping[str, Any] = {
            "name": self.name,
            "status_is_authoritative": self.capabilities.status_is_authoritative,
            "visibility_window": self.capabilities.visibility_window,
            "quote_safety_margin": timedelta(seconds=MARGIN_S),
        }
        url = f"http://{HOST}:{self.ports.public}"
        sessions = LpSessions(faulty, faulty)
        return WireLine(
            self,
            self.subject.connect(url, sessions, clock, **known),
            self.subject.connect(_UNREACHABLE, sessions, clock, **known),
        )

    def latency(self) -> float:
        """Return how long the next answer takes, in seconds."""
        if self.behaves or self.is_quick:
            return self.random.uniform(0.001, 0.3)
        return self.random.choice((0.05, 0.5, 1.5, 5.0))

    @property
    def executions(self) -> list[Execution]:
        venue = self.ports.venue
        return [
            Execution(
                id=venue.face.order_id(booked),
                client_order_id=self.orders[booked.order.client_order_id],
                base=booked.order.base,
                quote=booked.order.quote,
                visible_at=self.time.seconds(booked.order.visible_at),
            )
            for booked in venue.book
            if booked.order.status is OrderStatus.FILLED
        ]

    def can_never_tell(self, client_order_id: str) -> bool:
        """Say whether only a person can find out what became of an order."""
        return (
            not self.capabilities.status_is_authoritative
            and not self.held
            and all(one.client_order_id != client_order_id for one in self.executions)
        )

    def misbehave_at_quote(self) -> None:
        self._set(Behavior.FILL)
        if not self.behaves and self.is_wild and self.random.random() < 0.08:
            self._set(Behavior.REFUSE_QUOTE)

    def misbehave_at_order(self) -> None:
        self.way = None
        self._set(Behavior.FILL)
        if self.behaves or not self.is_wild or self.random.random() < 0.3:
            return
        chosen = self.random.choice(_ORDERS)
        if chosen is Way.TWICE and self.subject.name not in _BY_QUOTE:
            return
        self.fired[chosen] += 1
        if isinstance(chosen, Way):
            self.way = chosen
        else:
            self._set(chosen)

    def misbehave_at_status(self) -> None:
        self.way = None
        if not self.behaves and self.random.random() < 0.2:
            self.way = Way.STATUS_AWAY
            self.fired[self.way] += 1

    async def receive_late_orders(self) -> None:
        """Deliver what has arrived by now; nobody hears its answer."""
        arrived = [one for one in self.held if one.arrives_at <= self.time.now]
        self.held = [one for one in self.held if one.arrives_at > self.time.now]
        self._set(Behavior.FILL)
        for one in sorted(arrived, key=lambda each: each.arrives_at):
            connection = await self.sessions.pooled.take(one.place)
            await self._deliver(connection, one.place, one.request, Answer(), one.limits)

    async def _deliver(
        self, connection: Connection, place: Place, request: bytes, answer: Answer, limits: Limits
    ) -> None:
        await connection.exchange(request, answer, limits)
        self.sessions.pooled.give_back(place, connection)

    async def send(
        self, connection: Connection, place: Place, request: bytes, answer: Answer, limits: Limits
    ) -> None:
        """Send a request as it fares on the way."""
        way, self.way = self.way, None
        if way in (Way.STATUS_AWAY, Way.LATE_TO_ARRIVE):
            connection.close()
            if way is Way.LATE_TO_ARRIVE:
                arrives_at = self.time.now + self.random.choice((0.3, 2.0, 6.0))
                self.held.append(_Held(arrives_at, place, request, limits))
            raise ConnectionResetError
        if way is Way.TWICE:
            await self._deliver(connection, place, request, Answer(), limits)
            connection = await self.sessions.pooled.take(place)
        await self._deliver(connection, place, request, answer, limits)

    def _set(self, behavior: Behavior) -> None:
        window_s = self.capabilities.visibility_window.total_seconds()
        seen_after = self.random.choice(
            (
                self.random.uniform(0.001, max(window_s, 0.01)),
                QUOTE_LIFE.total_seconds() + window_s + self.random.uniform(0.3, LATEST_S),
            )
        )
        switch = self.ports.venue.trading.behavior
        switch.set(behavior, None, late_ms=max(round(seen_after * 1000), 1))


@dataclass(frozen=True, slots=True)
class _FaultyConnection:
    """What an adapter has in place of one connection."""

    venue: WireVenue
    place: Place
    connection: Connection

    async def exchange(self, request: bytes, answer: Answer, limits: Limits) -> None:
        await self.venue.send(self.connection, self.place, request, answer, limits)


@dataclass(frozen=True, slots=True)
class _FaultyConnections:
    """What an adapter has in place of connections."""

    venue: WireVenue

    def take_kept(self, place: Place) -> None:
        """Nothing is sent again of itself."""

    async def connect(self, place: Place) -> _FaultyConnection:
        connection = await self.venue.sessions.pooled.take(place)
        return _FaultyConnection(self.venue, place, connection)

    def give_back(self, place: Place, connection: _FaultyConnection) -> None:
        """It was given back after the exchange."""


@dataclass(frozen=True, slots=True)
class WireLine(LiquidityProvider):
    """One process's adapter, and the same where nobody can be reached."""

    venue: WireVenue
    provider: LiquidityProvider
    unreachable: LiquidityProvider

    @property
    def name(self) -> str:
        return self.venue.name

    @property
    def capabilities(self) -> LpCapabilities:
        return self.provider.capabilities

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        self.venue.misbehave_at_quote()
        return await self.provider.request_quote(request)

    async def execute(
        self,
        *,
        client_order_id: AttemptId,
        reference: str,
        instrument: Instrument,
        side: Side,
        base: Amount,
        quote: Amount,
    ) -> ExecutionOutcome:
        venue = self.venue
        await venue.receive_late_orders()
        venue.orders[venue.subject.order_key(client_order_id, reference)] = str(client_order_id)
        venue.misbehave_at_order()
        is_cut = venue.way is Way.NOT_CONNECTED
        if is_cut:
            venue.way = None
        provider = self.unreachable if is_cut else self.provider
        return await provider.execute(
            client_order_id=client_order_id,
            reference=reference,
            instrument=instrument,
            side=side,
            base=base,
            quote=quote,
        )

    async def get_status(
        self,
        *,
        client_order_id: AttemptId,
        reference: str,
        instrument: Instrument,
        side: Side,
        lp_quote_expires_at: datetime,
    ) -> LpStatus:
        await self.venue.receive_late_orders()
        self.venue.misbehave_at_status()
        return await self.provider.get_status(
            client_order_id=client_order_id,
            reference=reference,
            instrument=instrument,
            side=side,
            lp_quote_expires_at=lp_quote_expires_at,
        )


@asynccontextmanager
async def open_wire_venues(
    names: Sequence[str], time: VirtualTime, random: Random
) -> AsyncIterator[Mapping[str, WireVenue]]:
    """Serve venues of two wire formats while the context is open."""

    def token_hex(size: int) -> str:
        return random.randbytes(size).hex()

    with (
        TemporaryDirectory(prefix="reli-crash-") as home,
        patch.object(book, "token_hex", token_hex),
        patch.object(desk, "token_hex", token_hex),
    ):
        async with AsyncExitStack() as stack:
            sessions = await stack.enter_async_context(open_lp_sessions())
            venues = {}
            formats = random.sample(WIRE_FORMATS, len(names))
            for position, (name, wire_format) in enumerate(zip(names, formats, strict=True), 1):
                ports = await stack.enter_async_context(
                    open_venue(
                        name=name,
                        port=0,
                        admin_port=0,
                        data_dir=Path(home),
                        position=position,
                        face=wire_format,
                        clock=_VenueClock(time, random.uniform(-0.3, 0.3)),
                    )
                )
                subject = SUBJECTS[wire_format]
                ports.venue.trading.deduplicates = subject.deduplicates
                capabilities = LpCapabilities(
                    deduplicates_client_order_id=False,
                    status_is_authoritative=random.random() < 0.6,
                    visibility_window=timedelta(seconds=random.choice((0.2, 1.0, 3.0))),
                )
                venues[name] = WireVenue(
                    name,
                    subject,
                    ports,
                    capabilities,
                    time,
                    random,
                    sessions,
                    is_wild=random.random() < 0.75,
                    is_quick=random.random() < 0.7,
                )
            yield venues
