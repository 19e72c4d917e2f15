"""A bench: one adapter, its local venue, a wire between them, and a clock that rules move."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from adapters.lp.http import open_lp_sessions
from adapters.lp.sandbox.behavior import Behavior
from adapters.lp.sandbox.book import BookedOrder, OrderStatus
from adapters.lp.sandbox.desk import Refused, VenueQuote
from adapters.lp.sandbox.venue import Venue, open_venue
from adapters.system.ids import RandomIds
from app.certify.clock import BenchClock
from app.certify.subject import Subject
from app.certify.wire import Wire, open_wire
from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.ids import AttemptId, LpQuoteRequestId
from domain.reconciliation.period import Period
from domain.side import Side
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpCapabilities,
    LpQuote,
    LpQuoteRequest,
    LpStatus,
)
from ports.market import Catalogue
from ports.reconciliation import StatementListing

BTC: Final = Asset("BTC", 8)
NGN: Final = Asset("NGN", 2)
BTC_NGN: Final = Instrument(BTC, NGN)
CATALOGUE: Final = Catalogue(
    assets={asset.code: asset for asset in (BTC, NGN, Asset("ETH", 18), Asset("KES", 2))},
    names={},
    instruments={BTC_NGN.code: BTC_NGN},
)
SIZE: Final = Amount.parse("0.02", BTC)
QUOTE_SIZE: Final = Amount.parse("3000000.00", NGN)
"""What is asked for where no amount of the base is priced."""

MARGIN: Final = timedelta(seconds=1)
"""Taken off a venue's expiry by every provider at a bench."""

IMPATIENCE: Final = timedelta(milliseconds=50)
_NOWHERE: Final = "http://127.0.0.1:1"


class Role(StrEnum):
    """Who talks to the venue."""

    USUAL = "usual"
    IMPATIENT = "impatient"
    """Does not wait long for an execution."""
    CUT_OFF = "cut off"
    """Talks to where nothing listens."""
    STRANGER = "stranger"
    """Signs with a secret that is not the venue's."""


@dataclass(frozen=True, slots=True)
class Plant:
    """Puts something between a rule and the adapter, to see whether the rule notices.

    Attributes:
        lp, listing: what stands in the place of one of either, for who plays a role.
    """

    lp: Callable[[Role, LiquidityProvider], LiquidityProvider] = lambda role, lp: lp
    listing: Callable[[Role, StatementListing], StatementListing] = lambda role, listing: listing


NOTHING_PLANTED: Final = Plant()


class Bench:
    """Attributes:
    venue: what really happened; rules compare what the adapter says with it.
    wire: what lies between the two.
    clock: the adapter's, and the venue's but for its skew.
    """

    def __init__(
        self,
        subject: Subject,
        providers: dict[Role, LiquidityProvider],
        listings: dict[Role, StatementListing],
        venue: Venue,
        wire: Wire,
        clock: BenchClock,
    ) -> None:
        self.subject = subject
        self.venue = venue
        self.wire = wire
        self.clock = clock
        self._providers = providers
        self._listings = listings
        self._ids = RandomIds(clock)
        self._references: dict[AttemptId, str] = {}

    @property
    def lp(self) -> LiquidityProvider:
        return self._providers[Role.USUAL]

    @property
    def capabilities(self) -> LpCapabilities:
        return self.lp.capabilities

    def as_(self, role: Role) -> LiquidityProvider:
        return self._providers[role]

    async def statement(self, day: Period | None = None, *, role: Role = Role.USUAL) -> bytes:
        """Return the statement of a day, by default of today."""
        return await self._listings[role].fetch(day or self.today(), CATALOGUE)

    def today(self) -> Period:
        start = datetime.combine(self.clock.now().date(), time(), UTC)
        return Period(start, start + timedelta(days=1))

    def an_attempt(self) -> AttemptId:
        return self._ids.new(AttemptId)

    def ask(self, side: Side = Side.BUY, fixed: Amount | None = None) -> LpQuoteRequest:
        return LpQuoteRequest(
            id=self._ids.new(LpQuoteRequestId),
            instrument=BTC_NGN,
            side=side,
            fixed=fixed or self._usual_size(side),
        )

    async def a_quote(self, side: Side = Side.BUY) -> LpQuote:
        return await self.lp.request_quote(self.ask(side))

    async def execute(
        self,
        quote: LpQuote,
        attempt: AttemptId,
        side: Side = Side.BUY,
        *,
        role: Role = Role.USUAL,
    ) -> ExecutionOutcome:
        self._references[attempt] = quote.reference
        return await self.as_(role).execute(
            client_order_id=attempt,
            reference=quote.reference,
            instrument=BTC_NGN,
            side=side,
            base=quote.base,
            quote=quote.quote,
        )

    async def status(
        self,
        quote: LpQuote,
        attempt: AttemptId,
        side: Side = Side.BUY,
        *,
        role: Role = Role.USUAL,
    ) -> LpStatus:
        return await self.as_(role).get_status(
            client_order_id=attempt,
            reference=quote.reference,
            instrument=BTC_NGN,
            side=side,
            lp_quote_expires_at=quote.expires_at,
        )

    def trade(self, side: Side = Side.BUY, *, is_rejected: bool = False) -> None:
        """Have the venue execute an order, or reject it, that no adapter has to send."""
        desk, attempt = self.venue.trading.desk, self.an_attempt()
        quote = desk.price(
            client_quote_id="",
            base=BTC.code,
            quote=NGN.code,
            side=side,
            text=SIZE.value,
            is_base=True,
        )
        self._references[attempt] = quote.id
        behavior = Behavior.REJECT if is_rejected else Behavior.FILL
        with suppress(Refused):
            desk.take(quote, self.key_of(attempt), behavior)
            desk.fill(quote, self.key_of(attempt), behavior, late_ms=0)

    def booked(self) -> list[BookedOrder]:
        """Return all that the venue really executed."""
        return [one for one in self.venue.book if one.order.status is OrderStatus.FILLED]

    def behave(self, behavior: Behavior) -> None:
        """Have the venue misbehave from now on."""
        self.venue.trading.behavior.set(behavior, None)

    def market(self, side: Side) -> tuple[Amount, Amount]:
        """Return the amounts at which the venue trades the usual size now."""
        rate = self.venue.rates.find(BTC.code, NGN.code)
        assert rate is not None
        fixed = self._usual_size(side)
        if fixed.asset == BTC:
            return fixed, rate.quote_for(fixed, side)
        return rate.base_for(fixed, side), fixed

    def base_step(self) -> Amount:
        """Return the least by which amounts of the base may differ at the venue."""
        decimals = self.capabilities.base_decimals
        return Amount(SIZE.asset, 1 if decimals is None else 10 ** (SIZE.asset.scale - decimals))

    def _usual_size(self, side: Side) -> Amount:
        return SIZE if side in self.subject.base_sides else QUOTE_SIZE

    def expiry_of(self, quote: LpQuote) -> datetime:
        """Return when a quote is over without our margin."""
        return quote.expires_at + MARGIN

    def venue_quote(self) -> VenueQuote:
        """Return the latest price that the venue gave."""
        return self.venue.trading.desk.latest_quote()

    def key_of(self, attempt: AttemptId) -> str:
        """Return what the venue knows the order of an attempt by, whether it was sent or not."""
        return self.subject.order_key(attempt, self._references.get(attempt, "another-quote"))

    def executions(self, attempt: AttemptId) -> list[BookedOrder]:
        """Return what the venue really executed for an attempt."""
        key = self.key_of(attempt)
        return [
            booked
            for booked in self.venue.book
            if booked.order.client_order_id == key and booked.order.status is OrderStatus.FILLED
        ]

    def pass_time(self, lapse: timedelta) -> None:
        self.clock.move(lapse.total_seconds())

    def pass_until(self, at: datetime) -> None:
        """Let the venue's clock reach an instant."""
        self.pass_time(at - self.venue.clock.now())


@asynccontextmanager
async def open_bench(
    subject: Subject, data_dir: Path, plant: Plant = NOTHING_PLANTED
) -> AsyncIterator[Bench]:
    """Set everything up on free ports."""
    clock = BenchClock()
    async with AsyncExitStack() as stack:
        ports = await stack.enter_async_context(
            open_venue(
                name=subject.face,
                port=0,
                admin_port=0,
                data_dir=data_dir,
                position=1,
                deduplicates=subject.deduplicates,
                face=subject.face,
                clock=clock,
            )
        )
        wire, url = await stack.enter_async_context(open_wire(ports.public))
        sessions = await stack.enter_async_context(open_lp_sessions())
        roles: dict[Role, dict[str, object]] = {
            Role.USUAL: {"url": url},
            Role.IMPATIENT: {"url": url, "execute_timeout": IMPATIENCE},
            Role.CUT_OFF: {"url": _NOWHERE},
            Role.STRANGER: {"url": url, **subject.wrong_secret},
        }
        at = {"sessions": sessions, "clock": clock, "quote_safety_margin": MARGIN}
        providers = {
            role: plant.lp(role, subject.connect(**known, **at)) for role, known in roles.items()
        }
        listings = {
            role: plant.listing(role, subject.list_by(**known, **at))
            for role, known in roles.items()
            if subject.list_by is not None
        }
        yield Bench(subject, providers, listings, ports.venue, wire, clock)
        clock.release()
