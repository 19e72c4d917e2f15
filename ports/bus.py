"""The bus carries committed events to whoever listens."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domain.errors import DomainError, Kind


class BusUnavailable(DomainError):
    """The bus did not take the event; the outbox keeps it."""

    kind = Kind.UPSTREAM
    reason = "BUS_UNAVAILABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One stored event, as bytes.

    Attributes:
        key: deduplicates at the bus: the same event published twice is stored once.
    """

    tenant_id: UUID
    id: UUID
    type: str
    key: str
    payload: bytes


class Bus(Protocol):
    """Publishes, and answers only when the message is stored."""

    async def publish(self, row: OutboxRow) -> None:
        """Publish one event, or raise `BusUnavailable`. Publishing again has no effect."""
        ...


class OutboxReader(Protocol):
    """The outbox of all tenants, for the relay."""

    async def relay(self, bus: Bus, *, limit: int) -> int:
        """Publish up to `limit` unpublished events in the order of their ids; return how many.

        Raises `BusUnavailable`; what was published before it stays published.
        """
        ...
