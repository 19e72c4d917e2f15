"""What the adapter knows of one sandbox venue before it asks anything."""

from dataclasses import dataclass
from datetime import timedelta

from ports.liquidity import LpCapabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLpConfig:
    """Attributes:
    url: of its public port, such as `http://127.0.0.1:7101`.
    deduplicates_client_order_id, status_is_authoritative, visibility_window: see
        `LpCapabilities`; they must be what the venue really does.
    quote_safety_margin: taken off the venue's expiry, for the way there and its clock.
    connect_timeout, execute_timeout: of an execution; the second counts from its start and
        ends in an unknown outcome.
    """

    name: str
    url: str
    deduplicates_client_order_id: bool = True
    status_is_authoritative: bool = True
    visibility_window: timedelta = timedelta(seconds=2)
    quote_safety_margin: timedelta = timedelta(seconds=1)
    quote_timeout: timedelta = timedelta(seconds=2)
    connect_timeout: timedelta = timedelta(seconds=2)
    execute_timeout: timedelta = timedelta(seconds=10)
    status_timeout: timedelta = timedelta(seconds=2)

    @property
    def capabilities(self) -> LpCapabilities:
        return LpCapabilities(
            deduplicates_client_order_id=self.deduplicates_client_order_id,
            status_is_authoritative=self.status_is_authoritative,
            visibility_window=self.visibility_window,
        )
