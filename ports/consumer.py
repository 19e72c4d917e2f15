"""Consumers of the event log: each event has its effect once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.ids import EventId, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """One stamped event, as far as a consumer needs it to look further.

    Attributes:
        subject: the text of the id of the thing it happened to.
        failures: how often this consumer has failed at it.
    """

    id: EventId
    tenant_id: TenantId
    sequence: int
    type: str
    subject: str
    failures: int


class EventFeed(Protocol):
    """The stamped events of all tenants, by a consumer's position."""

    async def next_events(self, consumer: str, *, limit: int) -> Sequence[LoggedEvent]:
        """Return the next events of tenants that are ahead of the consumer, each in order.

        Tenants share them evenly, and what one does not need is the others': there are fewer than
        `limit` only where no more wait.
        """
        ...

    async def pass_over(self, consumer: str, stretches: Sequence[Sequence[LoggedEvent]]) -> None:
        """Move the consumer past stretches of successive events, each of another tenant.

        Where it does not stand right before a stretch, another worker was first, and it stays.
        """
        ...

    async def count_failure(self, consumer: str, event: LoggedEvent) -> None:
        """Note that the consumer failed at its next event of that tenant."""
        ...


class Inbox(Protocol):
    """What consumers have dealt with, written with the effect."""

    async def receive(
        self, consumer: str, events: Sequence[LoggedEvent], *, noted: Sequence[LoggedEvent]
    ) -> bool:
        """Move the consumer past successive events of one tenant and note some of them as seen.

        Return whether it stood right before the first one. If not, another worker was first and
        there must be no effect.
        """
        ...

    async def pass_over(self, consumer: str, event: LoggedEvent) -> bool:
        """Move the consumer past an event that it cannot deal with; return as `receive` does."""
        ...

    async def note(self, consumer: str, event_id: EventId) -> bool:
        """Note an event as seen out of its turn; return False if it was seen already."""
        ...
