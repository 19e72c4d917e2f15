"""A bus that only listens."""

from ports.bus import Bus, BusUnavailable, StampedEvent


class ListeningBus(Bus):
    """Keeps what it is given, and refuses after a while if it is told so."""

    def __init__(self, *, takes: int = 1_000_000) -> None:
        self.events: list[StampedEvent] = []
        self._takes = takes

    async def publish(self, event: StampedEvent) -> None:
        if len(self.events) >= self._takes:
            raise BusUnavailable("full")
        self.events.append(event)
