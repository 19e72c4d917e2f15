"""What the adapter knows of one sandbox venue before it asks anything."""

from dataclasses import dataclass

from adapters.lp.config import LpConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLpConfig(LpConfig):
    """Attributes:
    url: of its public port, such as `http://127.0.0.1:7101`.
    """

    deduplicates_client_order_id: bool = True
