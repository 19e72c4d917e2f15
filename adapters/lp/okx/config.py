"""What the adapter knows of OKX before it asks anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters.lp.config import LpConfig
from domain.asset import Asset
from ports.liquidity import LpCapabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class OkxLpConfig(LpConfig):
    """Attributes:
    api_key, passphrase, secret: of an API key with the permission to trade.
    asset_codes: the venue's code of an asset, where it is not ours.
    """

    api_key: str = field(repr=False)
    passphrase: str = field(repr=False)
    secret: str = field(repr=False)
    asset_codes: Mapping[str, str] = field(default_factory=dict)

    def code_of(self, asset: Asset) -> str:
        return self.asset_codes.get(asset.code, asset.code)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.api_key, self.passphrase, self.secret)

    @property
    def capabilities(self) -> LpCapabilities:
        return LpCapabilities(
            # Nothing that OKX publishes says what a repeated `clTReqId` does.
            deduplicates_client_order_id=False,
            status_is_authoritative=self.status_is_authoritative,
            visibility_window=self.visibility_window,
        )
