"""For venues that know what is given and received, and not bases and sides."""

from domain.asset import Asset, Instrument
from domain.side import Side


def assets_of(instrument: Instrument, side: Side) -> tuple[Asset, Asset]:
    """Return what is given and what is received."""
    if side is Side.BUY:
        return instrument.quote, instrument.base
    return instrument.base, instrument.quote
