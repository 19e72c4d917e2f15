"""Where receipts are kept."""

from collections.abc import Sequence
from typing import Protocol

from domain.ids import TradeId
from domain.trade.receipt import Receipt
from ports.chain import Signer


class Receipts(Protocol):
    """The receipts of one tenant's trades; a receipt never changes."""

    async def add(self, receipts: Sequence[Receipt], signer: Signer) -> None:
        """Store receipts, and leave those that are there.

        The key that signed them is made known with them.
        """
        ...

    async def find(self, trade_id: TradeId) -> Receipt | None:
        """Return the receipt of a trade, if it was made."""
        ...
