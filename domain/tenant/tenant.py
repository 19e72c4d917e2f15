"""A tenant is the business we serve; its settings shape every quote it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from domain.errors import InvalidArgument
from domain.ids import TenantId
from domain.routing import RoutingRule
from domain.side import Side
from domain.tenant import errors
from domain.tenant.rate_limit import DEFAULT_LIMITS, CostClass, RateLimit
from domain.trading_state import TradingState
from domain.transition import advance

MIN_QUOTE_TTL_MS: Final = 1_000
MAX_QUOTE_TTL_MS: Final = 900_000
MAX_BPS: Final = 1_000


class TenantState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"

    def require_active(self) -> None:
        """Raise `TenantSuspended` or `TenantClosed`."""
        if self is TenantState.SUSPENDED:
            raise errors.TenantSuspended("the tenant is suspended")
        if self is TenantState.CLOSED:
            raise errors.TenantClosed("the tenant is closed")


class TenantAction(StrEnum):
    SUSPEND = "suspend"
    ACTIVATE = "activate"
    CLOSE = "close"


TRANSITIONS: Final = {
    (TenantState.ACTIVE, TenantAction.SUSPEND): TenantState.SUSPENDED,
    (TenantState.SUSPENDED, TenantAction.ACTIVATE): TenantState.ACTIVE,
    (TenantState.ACTIVE, TenantAction.CLOSE): TenantState.CLOSED,
    (TenantState.SUSPENDED, TenantAction.CLOSE): TenantState.CLOSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSettings:
    """What shapes a tenant's quotes, and how often it may call.

    Attributes:
        quote_ttl_ms: the longest life of a quote, 1 s to 15 min.
        markup_bps: the tenant's own markup per instrument code, 0 to 1,000; absent means 0.
        lp_order: the LPs to ask, the primary first.
        platform_fee_bps: set by the operator only.
        routing: the rule that chooses the LP, per instrument code, set by the operator only;
            absent means the best price.
        rate_limits: how often the tenant may call methods of a class, set by the operator only;
            absent means `DEFAULT_LIMITS`.
        signing_required: calls of the tenant's keys without a signature are refused.
    """

    quote_ttl_ms: int = 30_000
    markup_bps: Mapping[str, int] = field(default_factory=dict)
    lp_order: tuple[str, ...] = ()
    platform_fee_bps: int = 0
    routing: Mapping[str, RoutingRule] = field(default_factory=dict)
    rate_limits: Mapping[CostClass, RateLimit] = field(default_factory=dict)
    signing_required: bool = False

    def __post_init__(self) -> None:
        if not MIN_QUOTE_TTL_MS <= self.quote_ttl_ms <= MAX_QUOTE_TTL_MS:
            raise InvalidArgument("quote_ttl must be 1 s to 15 min", field="quote_ttl")
        for instrument, bps in self.markup_bps.items():
            if not 0 <= bps <= MAX_BPS:
                raise InvalidArgument(
                    f"the markup of {instrument[:32]} must be 0 to {MAX_BPS} bps",
                    field="markup_bps",
                    instrument=instrument[:32],
                )
        if not 0 <= self.platform_fee_bps <= MAX_BPS:
            raise InvalidArgument(
                f"the platform fee must be 0 to {MAX_BPS} bps", field="platform_fee_bps"
            )
        if len(set(self.lp_order)) < len(self.lp_order):
            raise InvalidArgument("an LP appears twice", field="lp_order")

    def rate_limit(self, cost_class: CostClass) -> RateLimit:
        """Return the limit that holds for a class."""
        return self.rate_limits.get(cost_class) or DEFAULT_LIMITS[cost_class]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Attributes:
    slug: short unique name in lower case, for operators.
    branding: what the tenant's front end needs, kept as it came.
    trading_state: what is quoted to it and accepted from it now; suspension outranks it.
    """

    id: TenantId
    slug: str
    display_name: str
    branding: Mapping[str, Any] = field(default_factory=dict)
    settings: TenantSettings = field(default_factory=TenantSettings)
    state: TenantState = TenantState.ACTIVE
    trading_state: TradingState = TradingState.ACTIVE
    version: int = 1

    def advance(self, action: TenantAction) -> "Tenant":
        state = advance(TRANSITIONS, self.state, action)
        return replace(self, state=state, version=self.version + 1)

    def require_open(self, side: Side) -> None:
        """Raise `TenantHalted` where the tenant's customers may not trade that way now."""
        require_open(self.trading_state, side)


def require_open(state: TradingState, side: Side) -> None:
    """Raise `TenantHalted` where that trading state of a tenant does not let a customer trade."""
    if not state.allows(side):
        raise errors.TenantHalted(f"the tenant {state.refusal}", trading_state=state)
