"""What the adapter knows of Zero Hash before it asks anything."""

from dataclasses import dataclass, field

from adapters.lp.config import LpConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroHashLpConfig(LpConfig):
    """Attributes:
    api_key, passphrase, secret: of an API key; the secret in base64, as it is handed out.
    participant_code, account_label: whom the venue trades with.
    """

    api_key: str = field(repr=False)
    passphrase: str = field(repr=False)
    secret: str = field(repr=False)
    participant_code: str
    account_label: str = "general"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.api_key, self.passphrase, self.secret)
