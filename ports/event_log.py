"""The log of a tenant's events, to read; and how a reader hears that there is more of it."""

from asyncio import Future
from dataclasses import dataclass
from typing import Final, Protocol

from domain.ids import EventId, TenantId
from ports.bus import StampedEvent

LOOK_AT_MOST: Final = 10_000
"""How many sequences one look passes over in search of the types that it is asked for."""

LOOK_BYTES_MAX: Final = 512 << 10
"""How much the events of one look have in their payloads, unless the first one alone has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRange:
    """What somebody wants of the log.

    Attributes:
        after: only events beyond this sequence; None for all that are kept.
        until: only events up to and with this sequence; None for no end.
        types: only events of these types; empty for all.
    """

    after: int | None = None
    until: int | None = None
    types: frozenset[str] = frozenset()

    def ends_at(self, position: int) -> bool:
        """Say whether nothing of the range is beyond that sequence."""
        return self.until is not None and position >= self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """What one look at the log found.

    Attributes:
        events: in their order.
        position: the sequence up to which was looked; from there the next look goes on.
        last: the latest sequence of the log as it was then.
    """

    events: tuple[StampedEvent, ...]
    position: int
    last: int


class EventLog(Protocol):
    """The stamped events of one tenant."""

    async def read(self, range: EventRange, *, limit: int) -> EventPage:
        """Return up to `limit` events, and fewer if they are large or far apart.

        Raises `EventsExpired` or `EventSequenceAhead`.
        """
        ...

    async def get(self, event_id: EventId) -> StampedEvent:
        """Return an event, or raise `EventNotFound`."""
        ...

    async def last(self) -> int:
        """Return the latest sequence, 0 before the first event."""
        ...


class EventWakes(Protocol):
    """Word that tenants have new events; it may be lost, so whoever waits does so for a while."""

    def next_of(self, tenant_id: TenantId) -> "Future[None]":
        """Return what is done once the tenant has events that it has not now.

        Many wait for the same one, so nobody cancels it.
        """
        ...
