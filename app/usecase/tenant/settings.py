"""Settings may only name what exists."""

from collections.abc import Collection

from domain.asset import InstrumentNotFound
from domain.tenant.errors import UnknownLp
from domain.tenant.tenant import TenantSettings
from ports.market import Market


async def require_known(
    settings: TenantSettings, market: Market, lp_names: Collection[str]
) -> None:
    """Raise `InstrumentNotFound` or `UnknownLp` for a name that means nothing here."""
    instruments = (await market.catalogue()).instruments
    for code in (*settings.markup_bps, *settings.routing):
        if code not in instruments:
            raise InstrumentNotFound("no such instrument", instrument=code[:32])
    for lp in settings.lp_order:
        if lp not in lp_names:
            raise UnknownLp("no LP of that name is connected", lp=lp[:32])
