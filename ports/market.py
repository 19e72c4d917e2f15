"""Assets and instruments: reference data, the same for every tenant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from domain.asset import Asset, Instrument


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All assets and instruments by code."""

    assets: Mapping[str, Asset]
    names: Mapping[str, str]
    instruments: Mapping[str, Instrument]


class Market(Protocol):
    """Reads the catalogue."""

    async def catalogue(self) -> Catalogue:
        """Return the catalogue, at most a second old."""
        ...
