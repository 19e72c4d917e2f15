"""Reading the catalogue."""

from dataclasses import dataclass

from domain.asset import Asset, Instrument
from ports.market import Market
from ports.page import Page, PageRequest, page_from


@dataclass(frozen=True, slots=True)
class ReadMarket:
    """Assets and instruments by code; a page starts where the one before it ended."""

    market: Market

    async def assets(self, page: PageRequest) -> Page[tuple[Asset, str]]:
        catalogue = await self.market.catalogue()
        assets = sorted(catalogue.assets.values(), key=lambda asset: asset.code)
        return page_from([(asset, catalogue.names[asset.code]) for asset in assets], page)

    async def instruments(self, page: PageRequest) -> Page[Instrument]:
        instruments = (await self.market.catalogue()).instruments.values()
        return page_from(sorted(instruments, key=lambda instrument: instrument.code), page)
