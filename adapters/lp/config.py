"""What every adapter knows of its venue before it asks anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from domain.asset import Asset
from ports.liquidity import LpCapabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class LpConfig:
    """Attributes:
    name: what we call the venue.
    url: where its API starts, such as `https://www.okx.com`.
    deduplicates_client_order_id, status_is_authoritative, visibility_window, is_firm,
        base_decimals: see `LpCapabilities`; they must be what the venue really does.
    quote_safety_margin: taken off the venue's expiry, for the way there and its clock.
    quote_timeout, status_timeout: of a whole call.
    connect_timeout, execute_timeout: of an execution; the second counts from its start and
        ends in an unknown outcome.
    listing_timeout: of one page of what was executed.
    asset_codes: the venue's code of an asset, where it is not ours.
    """

    name: str
    url: str
    deduplicates_client_order_id: bool = False
    status_is_authoritative: bool = True
    visibility_window: timedelta = timedelta(seconds=2)
    is_firm: bool = True
    base_decimals: int | None = None
    quote_safety_margin: timedelta = timedelta(seconds=1)
    quote_timeout: timedelta = timedelta(seconds=2)
    connect_timeout: timedelta = timedelta(seconds=2)
    execute_timeout: timedelta = timedelta(seconds=10)
    status_timeout: timedelta = timedelta(seconds=2)
    listing_timeout: timedelta = timedelta(seconds=10)
    asset_codes: Mapping[str, str] = field(default_factory=dict)

    @property
    def capabilities(self) -> LpCapabilities:
        return LpCapabilities(
            deduplicates_client_order_id=self.deduplicates_client_order_id,
            status_is_authoritative=self.status_is_authoritative,
            visibility_window=self.visibility_window,
            is_firm=self.is_firm,
            base_decimals=self.base_decimals,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is sent along with a call and must never be seen in evidence."""
        return ()

    def code_of(self, asset: Asset) -> str:
        return self.asset_codes.get(asset.code, asset.code)
