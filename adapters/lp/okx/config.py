"""What the adapter knows of OKX before it asks anything."""

from dataclasses import dataclass, field

from adapters.lp.config import LpConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class OkxLpConfig(LpConfig):
    """Attributes:
    api_key, passphrase, secret: of an API key with the permission to trade.
    """

    api_key: str = field(repr=False)
    passphrase: str = field(repr=False)
    secret: str = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.api_key, self.passphrase, self.secret)
