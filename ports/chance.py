"""Chance, where something is to be spread out; never for what must not be guessed."""

from typing import Protocol


class Chance(Protocol):
    """A source of numbers."""

    def below(self, limit: int) -> int:
        """Return a whole number from 0 up to `limit`, which is left out."""
        ...
