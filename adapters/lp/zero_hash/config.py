"""What the adapter knows of Zero Hash before it asks anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters.lp.config import LpConfig
from domain.asset import Asset
from ports.liquidity import LpCapabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroHashLpConfig(LpConfig):
    """Attributes:
    api_key, passphrase, secret: of an API key; the secret in base64, as it is handed out.
    participant_code, account_label: whom the venue trades with.
    asset_codes: the venue's code of an asset, where it is not ours, such as `USDC.ETH`.
    """

    api_key: str = field(repr=False)
    passphrase: str = field(repr=False)
    secret: str = field(repr=False)
    participant_code: str
    account_label: str = "general"
    asset_codes: Mapping[str, str] = field(default_factory=dict)

    def code_of(self, asset: Asset) -> str:
        return self.asset_codes.get(asset.code, asset.code)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.api_key, self.passphrase, self.secret)

    @property
    def capabilities(self) -> LpCapabilities:
        return LpCapabilities(
            # A repeated X-REQUEST-ID is said to prevent duplicates; of an execution that was
            # repeated nothing is said.
            deduplicates_client_order_id=False,
            status_is_authoritative=self.status_is_authoritative,
            visibility_window=self.visibility_window,
        )
