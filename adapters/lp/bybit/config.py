"""What the adapter knows of Bybit before it asks anything."""

from dataclasses import dataclass, field

from adapters.lp.config import LpConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class BybitLpConfig(LpConfig):
    """Attributes:
    api_key, secret: of an API key with the permission `Exchange`.
    account_type: what is converted from and to.
    """

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    account_type: str = "eb_convert_uta"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.api_key, self.secret)
