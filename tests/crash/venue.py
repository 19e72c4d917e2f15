"""A venue with a book of its own: what it executed is true, whatever anybody heard of it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Final

from domain.amount import Amount
from domain.asset import Instrument
from domain.ids import AttemptId
from domain.side import Side
from domain.trade.outcome import Absent, Filled, NotSent, Rejected, Unknown
from ports.clock import Clock
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpCapabilities,
    LpQuote,
    LpQuoteRequest,
    LpRefused,
    LpStatus,
    LpUnavailable,
    Working,
)
from tests.crash.clock import VirtualTime

MARGIN_S: Final = 0.5
LATEST_S: Final = 5.0
"""How much later than it declares a venue may show what it executed."""
BPS: Final = 10_000


class Behavior(StrEnum):
    """One way to answer an order."""

    FILL = "fill"
    REJECT = "reject"
    REJECT_UNHEARD = "reject, answer lost"
    EXPIRE = "say expired"
    FILL_UNHEARD = "fill, answer lost"
    LOST_BEFORE = "lost before"
    NOT_CONNECTED = "not connected"
    OTHER_PRICE = "other price"
    OTHER_PRICE_FAR = "other price, far"
    LATE_TO_SEE = "filled, seen late"
    TOO_LATE_TO_SEE = "filled, seen later than declared"
    LATE_TO_ARRIVE = "arrives late"
    TWICE = "delivered twice"


class StatusBehavior(StrEnum):
    """One way to answer a question about an order."""

    TELL = "tell"
    AWAY = "status away"
    WORKING = "says working"
    NOT_FOUND = "not found at first"


@dataclass(frozen=True, slots=True)
class Traits:
    """What kind of venue it is."""

    deduplicates: bool
    is_authoritative: bool
    window_s: float
    quote_life_s: float
    skew_s: float
    is_wild: bool
    is_quick: bool
    price_bps: int

    @classmethod
    def draw(cls, random: Random) -> "Traits":
        return cls(
            deduplicates=random.random() < 0.5,
            is_authoritative=random.random() < 0.6,
            window_s=random.choice((0.2, 1.0, 3.0)),
            quote_life_s=random.choice((1.5, 4.0, 8.0)),
            skew_s=random.uniform(-0.3, 0.3),
            is_wild=random.random() < 0.65,
            is_quick=random.random() < 0.7,
            price_bps=random.randint(-5, 5),
        )


@dataclass(slots=True, kw_only=True)
class GivenQuote:
    reference: str
    instrument: Instrument
    side: Side
    base: Amount
    quote: Amount
    expires_at: float
    taken_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One real execution."""

    id: str
    client_order_id: str
    base: Amount
    quote: Amount
    visible_at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A refusal that the venue keeps."""

    code: str


@dataclass(slots=True)
class InFlight:
    """An order on its way; the venue decides it when it arrives."""

    arrives_at: float
    client_order_id: str
    reference: str


@dataclass(slots=True)
class Venue:
    """One venue: quotes it gave, orders it decided, executions it made."""

    name: str
    traits: Traits
    time: VirtualTime
    random: Random
    rate: int
    behaves: bool = False
    quotes: dict[str, GivenQuote] = field(default_factory=dict)
    decided: dict[str, Execution | Verdict] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    in_flight: list[InFlight] = field(default_factory=list)
    fired: Counter[str] = field(default_factory=Counter)

    @property
    def capabilities(self) -> LpCapabilities:
        return LpCapabilities(
            deduplicates_client_order_id=self.traits.deduplicates,
            status_is_authoritative=self.traits.is_authoritative,
            visibility_window=timedelta(seconds=self.traits.window_s),
        )

    def latency(self) -> float:
        """Return how long the next answer takes, in seconds."""
        if self.behaves or self.traits.is_quick:
            return self.random.uniform(0.001, 0.3)
        return self.random.choice((0.05, 0.5, 1.5, 5.0))

    def line(self, clock: Clock) -> "PortLine":
        return PortLine(self)

    def give_quote(self, request: LpQuoteRequest) -> LpQuote:
        if not self.behaves and self.traits.is_wild and self.random.random() < 0.08:
            error = self.random.choice((LpRefused, LpUnavailable))
            self.fired[f"quote: {error.__name__}"] += 1
            raise error(f"{self.name} gives no price", lp=self.name)
        drift = 0 if self.behaves else self.random.choice((0, 0, 0, 3, -3, 40))
        rate = self.rate * (BPS + self.traits.price_bps + drift) // BPS
        instrument = request.instrument
        if request.fixed.asset == instrument.base:
            base, quote = request.fixed, Amount(instrument.quote, request.fixed.units * rate)
        else:
            base, quote = Amount(instrument.base, request.fixed.units // rate), request.fixed
        given = GivenQuote(
            reference=f"{self.name}-{len(self.quotes)}",
            instrument=instrument,
            side=request.side,
            base=base,
            quote=quote,
            expires_at=self._now + self.traits.quote_life_s,
        )
        self.quotes[given.reference] = given
        return LpQuote(
            reference=given.reference,
            base=base,
            quote=quote,
            expires_at=self.time.start + timedelta(seconds=given.expires_at - MARGIN_S),
        )

    def take_order(self, client_order_id: AttemptId, reference: str) -> ExecutionOutcome:
        self.receive_late_orders()
        order = str(client_order_id)
        behavior = self._behavior()
        self.fired[behavior] += 1
        match behavior:
            case Behavior.NOT_CONNECTED:
                return NotSent(reason="LP_UNREACHABLE", evidence="no connection")
            case Behavior.LOST_BEFORE:
                return Unknown(reason="LP_TIMEOUT", evidence="no answer")
            case Behavior.LATE_TO_ARRIVE:
                arrives_at = self._now + self.random.choice((0.3, 2.0, 6.0))
                self.in_flight.append(InFlight(arrives_at, order, reference))
                return Unknown(reason="LP_TIMEOUT", evidence="no answer")
            case Behavior.TWICE:
                self._decide(order, reference, behavior)
        decided = self._decide(order, reference, behavior)
        if behavior in _UNHEARD:
            return Unknown(reason="LP_TIMEOUT", evidence="no answer")
        return self._told(decided)

    def tell_status(self, client_order_id: AttemptId, lp_quote_expires_at: float) -> LpStatus:
        """Tell what is known; absence only where the venue declares that it can be believed."""
        self.receive_late_orders()
        order = str(client_order_id)
        decided = self.decided.get(order)
        behavior = self._status_behavior()
        self.fired[behavior] += 1
        if behavior is StatusBehavior.AWAY:
            return Unknown(reason="LP_TIMEOUT", evidence="no answer")
        if behavior is StatusBehavior.WORKING and decided is not None:
            return Working(evidence="working on it")
        is_hidden = isinstance(decided, Execution) and self._now < decided.visible_at
        if decided is not None and not is_hidden:
            if behavior is not StatusBehavior.NOT_FOUND or self._must_be_known(lp_quote_expires_at):
                return self._told(decided)
        elif self.traits.is_authoritative and self._must_be_known(lp_quote_expires_at):
            return Absent(evidence="no such order")
        return Unknown(reason="LP_ORDER_NOT_FOUND", evidence="no such order so far")

    def receive_late_orders(self) -> None:
        """Decide what has arrived meanwhile, as of its arrival."""
        arrived = [each for each in self.in_flight if each.arrives_at <= self._now]
        self.in_flight = [each for each in self.in_flight if each.arrives_at > self._now]
        for each in sorted(arrived, key=lambda one: one.arrives_at):
            self._decide(each.client_order_id, each.reference, Behavior.FILL, at=each.arrives_at)

    def can_never_tell(self, client_order_id: str) -> bool:
        """Say whether only a person can find out what became of an order."""
        self.receive_late_orders()
        return (
            not self.traits.is_authoritative
            and client_order_id not in self.decided
            and not any(each.client_order_id == client_order_id for each in self.in_flight)
        )

    @property
    def _now(self) -> float:
        return self.time.now + self.traits.skew_s

    def _must_be_known(self, lp_quote_expires_at: float) -> bool:
        return self._now > lp_quote_expires_at + MARGIN_S + self.traits.window_s

    def _behavior(self) -> Behavior:
        if self.behaves or not self.traits.is_wild or self.random.random() < 0.3:
            return Behavior.FILL
        behavior: Behavior = self.random.choice(_BEHAVIORS)
        if behavior is Behavior.TWICE and not self.traits.deduplicates:
            return Behavior.FILL  # twice delivered is twice executed there, whoever asks
        return behavior

    def _status_behavior(self) -> StatusBehavior:
        if self.behaves or self.random.random() < 0.6:
            return StatusBehavior.TELL
        return self.random.choice(tuple(StatusBehavior))

    def _decide(
        self, order: str, reference: str, behavior: Behavior, *, at: float | None = None
    ) -> Execution | Verdict:
        known = self.decided.get(order)
        if known is not None and self.traits.deduplicates:
            return known
        quote = self.quotes[reference]
        now = self._now if at is None else at
        refusal = ""
        if now >= quote.expires_at or behavior is Behavior.EXPIRE:
            refusal = "QUOTE_EXPIRED"
        elif behavior in (Behavior.REJECT, Behavior.REJECT_UNHEARD):
            refusal = "REJECTED"
        elif self.traits.deduplicates and quote.taken_by not in ("", order):
            refusal = "QUOTE_USED"
        if refusal:
            verdict = Verdict(refusal)
            if not isinstance(known, Execution):
                self.decided[order] = verdict
            return verdict
        quote.taken_by = order
        late = self.random.uniform(0, self.traits.window_s)
        too_late = self.random.uniform(0.3, LATEST_S)
        execution = Execution(
            id=f"{self.name}-x{len(self.executions)}",
            client_order_id=order,
            base=quote.base,
            quote=self._filled_at(quote, behavior),
            visible_at={
                Behavior.LATE_TO_SEE: now + late,
                Behavior.TOO_LATE_TO_SEE: quote.expires_at + self.traits.window_s + too_late,
            }.get(behavior, now),
        )
        self.executions.append(execution)
        self.decided[order] = execution
        return execution

    def _filled_at(self, quote: GivenQuote, behavior: Behavior) -> Amount:
        bps = {Behavior.OTHER_PRICE: 5, Behavior.OTHER_PRICE_FAR: 50}.get(behavior, 0)
        worse = bps if quote.side is Side.BUY else -bps
        return Amount(quote.quote.asset, quote.quote.units * (BPS + worse) // BPS)

    def _told(self, decided: Execution | Verdict) -> Filled | Rejected:
        if isinstance(decided, Verdict):
            return Rejected(
                reason=decided.code,
                evidence=f"verdict {decided.code}",
                lp_quote_expired=decided.code == "QUOTE_EXPIRED",
            )
        return Filled(
            base=decided.base,
            quote=decided.quote,
            venue_order_id=decided.id,
            evidence=f"execution {decided.id}",
        )


@dataclass(frozen=True, slots=True)
class PortLine(LiquidityProvider):
    """The port itself: nothing is between a process and the venue."""

    venue: Venue

    @property
    def name(self) -> str:
        return self.venue.name

    @property
    def capabilities(self) -> LpCapabilities:
        return self.venue.capabilities

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        return self.venue.give_quote(request)

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
        return self.venue.take_order(client_order_id, reference)

    async def get_status(
        self,
        *,
        client_order_id: AttemptId,
        reference: str,
        instrument: Instrument,
        side: Side,
        lp_quote_expires_at: datetime,
    ) -> LpStatus:
        expires_at = self.venue.time.seconds(lp_quote_expires_at)
        return self.venue.tell_status(client_order_id, expires_at)


# A "no" leads to the next venue, where most can go wrong; so does one that is a lie.
_BEHAVIORS: Final = (
    *Behavior,
    *(Behavior.REJECT, Behavior.REJECT),
    *(Behavior.TOO_LATE_TO_SEE, Behavior.TOO_LATE_TO_SEE),
)

_UNHEARD: Final = frozenset(
    {
        Behavior.FILL_UNHEARD,
        Behavior.REJECT_UNHEARD,
        Behavior.LATE_TO_SEE,
        Behavior.TOO_LATE_TO_SEE,
    }
)
