"""Tables that grow are cut into months, made ahead."""

from typing import Protocol


class Partitions(Protocol):
    """Makes the partitions of the coming months."""

    async def make(self, *, months_ahead: int) -> int:
        """Make what is missing; return how many were made."""
        ...
