"""Events leave through the outbox: written with the change, published after the commit."""

from typing import Protocol

from domain.event import Event


class Outbox(Protocol):
    """Events of one tenant, to be published."""

    async def add(self, *events: Event) -> None:
        """Store events; they exist if and only if the unit of work commits."""
        ...
