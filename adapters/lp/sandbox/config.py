"""What the adapter knows of one sandbox venue before it asks anything."""

from dataclasses import dataclass

from adapters.lp.config import LpConfig
from ports.liquidity import LpCapabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLpConfig(LpConfig):
    """Attributes:
    url: of its public port, such as `http://127.0.0.1:7101`.
    deduplicates_client_order_id: see `LpCapabilities`; it must be what the venue really does.
    """

    deduplicates_client_order_id: bool = True

    @property
    def capabilities(self) -> LpCapabilities:
        return LpCapabilities(
            deduplicates_client_order_id=self.deduplicates_client_order_id,
            status_is_authoritative=self.status_is_authoritative,
            visibility_window=self.visibility_window,
        )
