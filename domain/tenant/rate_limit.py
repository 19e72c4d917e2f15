"""How often a tenant may call: a bucket of tokens for each class of calls, and for each key."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from domain.errors import InvalidArgument

MAX_PER_SECOND: Final = 100_000
MAX_BURST_SECONDS: Final = 10
MIN_BURST: Final = 2
"""One token may be held by a server while others ask."""
DEFAULT_KEY_PERCENT: Final = 80


class CostClass(StrEnum):
    """What a call costs us; every method of the API names its class."""

    READ = "read"
    QUOTE = "quote"
    EXECUTE = "execute"
    BULK = "bulk"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A bucket of tokens; a call takes one.

    Attributes:
        per_second: how many tokens are added in a second.
        burst: how many the bucket holds.
        key_percent: the share of both that one key of the tenant may use, 1 to 100, so that a key
            run wild leaves the others something.
    """

    per_second: int
    burst: int
    key_percent: int = DEFAULT_KEY_PERCENT

    def __post_init__(self) -> None:
        if not 1 <= self.per_second <= MAX_PER_SECOND:
            raise InvalidArgument(
                f"per_second must be 1 to {MAX_PER_SECOND}", field="rate_limits.per_second"
            )
        least = max(MIN_BURST, self.per_second)
        if not least <= self.burst <= MAX_BURST_SECONDS * self.per_second:
            raise InvalidArgument(
                f"burst must be per_second to {MAX_BURST_SECONDS} times as many, {MIN_BURST} at "
                "least",
                field="rate_limits.burst",
            )
        if not 1 <= self.key_percent <= 100:
            raise InvalidArgument("key_percent must be 1 to 100", field="rate_limits.key_percent")

    def of_key(self) -> "RateLimit":
        """Return the limit of one key, which is never less than a call a second."""
        return RateLimit(
            per_second=max(1, self.per_second * self.key_percent // 100),
            burst=max(MIN_BURST, self.burst * self.key_percent // 100),
            key_percent=self.key_percent,
        )


DEFAULT_LIMITS: Final[Mapping[CostClass, RateLimit]] = {
    CostClass.READ: RateLimit(per_second=500, burst=1_000),
    CostClass.QUOTE: RateLimit(per_second=200, burst=400),
    CostClass.EXECUTE: RateLimit(per_second=100, burst=200),
    CostClass.BULK: RateLimit(per_second=5, burst=20),
}
"""What holds for a tenant until the operator says otherwise."""
