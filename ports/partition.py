"""Tables that grow are cut into months, made ahead."""

from typing import Protocol


class Partitions(Protocol):
    """Makes the partitions of the coming months."""

    async def make(self, *, months_ahead: int) -> int:
        """Make what is missing, one at a time; return how many were made.

        Nobody who writes is kept waiting for long. Raises `DatabaseBusy` when others keep a table
        for long; what was made by then stays.
        """
        ...
