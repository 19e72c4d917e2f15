"""What the adapter knows of B2C2 before it asks anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters.lp.config import LpConfig
from domain.asset import Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class B2c2LpConfig(LpConfig):
    """Attributes:
    token: of an account with the permission to trade.
    instruments: the venue's name by instrument code, where it is not the two assets' codes and
        `.SPOT`.
    """

    base_decimals: int | None = 4
    token: str = field(repr=False)
    instruments: Mapping[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.token,)

    def name_of(self, instrument: Instrument) -> str:
        spot = f"{self.code_of(instrument.base)}{self.code_of(instrument.quote)}.SPOT"
        return self.instruments.get(instrument.code, spot)
