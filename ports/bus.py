"""The way of events: stamped after the commit, carried by the bus."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from domain.errors import DomainError, Kind
from domain.ids import EventId, TenantId
from ports.lease import Lease

REPUBLISHED: Final = timedelta(days=30)
"""What a bus that lost everything is given again; no bus keeps events for longer."""


class BusUnavailable(DomainError):
    """The bus did not take the event; the outbox keeps it."""

    kind = Kind.UPSTREAM
    reason = "BUS_UNAVAILABLE"


class BusEmpty(BusUnavailable):
    """The bus has lost all that it ever stored, or was never used; it takes nothing as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedEvent:
    """One committed event, as it leaves.

    Attributes:
        sequence: its position among the tenant's events, from 1 and without gaps.
        payload: the event as protobuf, its sequence included.
    """

    id: EventId
    tenant_id: TenantId
    sequence: int
    type: str
    payload: bytes


class Bus(Protocol):
    """Publishes, and answers only when the message is stored."""

    async def open(self) -> None:
        """Raise `BusUnavailable` if the bus is away, or `BusEmpty`."""
        return

    async def publish(self, event: StampedEvent) -> None:
        """Publish one event, or raise as `open` does. Publishing again has no effect."""
        ...

    async def publish_together(self, events: Sequence[StampedEvent]) -> bool:
        """Publish all of them at once, in order, or raise as `open` does; return whether it was.

        Where it was not, each is to be published by itself. A bus need not be able to do it.
        """
        return False

    async def begin_anew(self) -> None:
        """Let an empty bus take events from now on, or raise `BusUnavailable`."""
        return


class Sequencer(Protocol):
    """Gives committed events their place in the tenant's order."""

    async def stamp(self, lease: Lease, *, limit: int) -> int:
        """Stamp up to `limit` events of all tenants at once; return how many.

        An event comes after everything that had been committed when it was recorded. Under a
        lease that was lost nothing is stamped.
        """
        ...


class OutboxReader(Protocol):
    """The stamped events of all tenants, for the relay."""

    async def relay(self, lease: Lease, bus: Bus, *, limit: int) -> int:
        """Publish up to `limit` unpublished events, each tenant's in order; return how many.

        Tenants share them evenly, and what one does not need is the others'.
        A bus that has lost everything is made to begin anew, and the events of the last
        `REPUBLISHED` count as unpublished again. Raises `BusUnavailable`; what was published
        before it stays published. Under a lease that was lost nothing is published.
        """
        ...
