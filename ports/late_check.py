"""Where it is kept which attempts are to be looked at again, and who does that."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from domain.ids import TenantId, TradeId
from domain.trade.late_check import LateCheck
from domain.trade.trade import Trade


@dataclass(frozen=True, slots=True, kw_only=True)
class LateCheckLease:
    """The right to look at one attempt for a while.

    Attributes:
        token: grows with every lease; a write under an older token hits no row.
    """

    tenant_id: TenantId
    trade_id: TradeId
    attempt: int
    token: int


class LateChecks(Protocol):
    """Late checks of one tenant."""

    async def add(self, check: LateCheck) -> None:
        """Store what is to be looked at from now on."""
        ...

    async def get(self, lease: LateCheckLease) -> LateCheck:
        """Return the check, locked until commit, or raise `StaleLease`."""
        ...

    async def save(self, check: LateCheck, lease: LateCheckLease) -> None:
        """Replace the check and give the lease back, or raise `StaleLease`."""
        ...

    async def note_fill(self, trade: Trade) -> None:
        """Store the new steps of a trade whose state they leave as it is.

        It needs no lease on the trade, but the trade locked. Raises `VersionConflict` when the
        trade changed since it was read.
        """
        ...


class LateCheckQueue(Protocol):
    """Late checks of all tenants that wait for somebody to look."""

    async def claim(self, *, limit: int, lease_for: timedelta) -> Sequence[LateCheckLease]:
        """Lease checks that are due and that nobody holds."""
        ...
