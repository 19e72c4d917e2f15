"""What the adapter knows of Binance before it asks anything."""

from dataclasses import dataclass, field

from adapters.lp.config import LpConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class BinanceLpConfig(LpConfig):
    """Attributes:
    api_key, secret: of an API key with the permission to convert.
    wallet: what is converted from and to, such as `SPOT` or `FUNDING`.
    """

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    wallet: str = "SPOT"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.api_key, self.secret)
