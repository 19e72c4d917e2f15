"""What every source of ids keeps to."""

from datetime import UTC, datetime, timedelta

from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from domain.ids import QuoteId, TradeId
from ports.clock import Clock


class StoppedClock(Clock):
    """A clock that a test moves."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_an_id_is_a_uuidv7_of_the_clocks_instant() -> None:
    made = RandomIds(StoppedClock(NOON)).new(QuoteId)

    assert made.is_time_ordered
    assert made.uuid.variant == "specified in RFC 4122"
    assert made.created_at == NOON


def test_ids_of_one_millisecond_ascend_and_differ() -> None:
    ids = RandomIds(StoppedClock(NOON))

    made = [ids.new(TradeId) for _ in range(10_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_ascend_when_the_clock_goes_back() -> None:
    clock = StoppedClock(NOON)
    ids = RandomIds(clock)
    first = ids.new(TradeId)

    clock.at = NOON - timedelta(hours=1)

    assert ids.new(TradeId) > first


def test_two_sources_never_meet() -> None:
    clock = StoppedClock(NOON)
    one, other = RandomIds(clock), RandomIds(clock)

    assert {one.new(TradeId) for _ in range(1_000)}.isdisjoint(
        other.new(TradeId) for _ in range(1_000)
    )


def test_the_system_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
