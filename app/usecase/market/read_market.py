"""Reading the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from domain.asset import Asset, Instrument
from ports.market import Market
from ports.page import Page, PageRequest

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class ReadMarket:
    """Assets and instruments by code; a page starts where the one before it ended."""

    market: Market

    async def assets(self, page: PageRequest) -> Page[tuple[Asset, str]]:
        catalogue = await self.market.catalogue()
        assets = sorted(catalogue.assets.values(), key=lambda asset: asset.code)
        return _page([(asset, catalogue.names[asset.code]) for asset in assets], page)

    async def instruments(self, page: PageRequest) -> Page[Instrument]:
        instruments = (await self.market.catalogue()).instruments.values()
        return _page(sorted(instruments, key=lambda instrument: instrument.code), page)


def _page(items: Sequence[Item], page: PageRequest) -> Page[Item]:
    start = page.before if isinstance(page.before, int) else 0
    end = start + page.size
    return Page(tuple(items[start:end]), end if end < len(items) else None)
