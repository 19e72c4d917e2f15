"""Who acts: a tenant, or one of its customers."""

from dataclasses import dataclass
from datetime import datetime

from domain.party import Party
from domain.side import Side
from domain.tenant.customer import CustomerState
from domain.tenant.tenant import TenantState, require_open
from domain.trading_state import TradingState


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts, as the database knew them at `now`.

    Attributes:
        customer_state: absent where the tenant acts for itself.
    """

    party: Party
    tenant_state: TenantState
    trading_state: TradingState
    customer_state: CustomerState | None
    now: datetime

    def require_active(self) -> None:
        """Raise why the tenant or the customer may not act."""
        self.tenant_state.require_active()
        if self.party.customer_id is not None and self.customer_state is not None:
            self.customer_state.require_active(self.party.customer_id)

    def require_may_trade(self, side: Side) -> None:
        """Raise why the tenant or the customer may not trade that way.

        That they may not act at all outranks what they may do.
        """
        self.require_active()
        require_open(self.trading_state, side)
