"""Where settlements with LPs are kept, and what is owed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.ids import LpSettlementId
from domain.liquidity.lp_settlement import LpPosition, LpSettlement
from ports.page import Page, PageRequest


class LpSettlementRepository(Protocol):
    """Settlements of the house, whose book mirrors the positions at all LPs."""

    async def positions(self, *, lp: str = "") -> Sequence[LpPosition]:
        """Return what is owed now by LP and asset, of one LP or of all; also what is even."""
        ...

    async def settled_until(self, lp: str) -> datetime | None:
        """Return when the LP's latest settlement was booked."""
        ...

    async def add(self, settlement: LpSettlement) -> None:
        """Store a new settlement, or raise `LpSettlementOpen` where the LP has an open one."""
        ...

    async def get(self, settlement_id: LpSettlementId, *, lock: bool = False) -> LpSettlement:
        """Return it, locked until commit if asked, or raise `LpSettlementNotFound`."""
        ...

    async def save(self, settlement: LpSettlement) -> None:
        """Store the new state of a settlement that `get` has locked."""
        ...

    async def list(self, page: PageRequest, *, lp: str) -> Page[LpSettlement]:
        """Return a page, the newest first, of one LP or of all."""
        ...
