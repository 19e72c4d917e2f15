"""Reading what a trade's price came from and what came of it, and its receipt."""

from dataclasses import dataclass

from app.usecase.trade.gather_evidence import gather_evidence
from domain.ids import TenantId, TradeId
from domain.trade.errors import ReceiptPending
from domain.trade.receipt import Receipt
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadEvidence:
    """Evidence and receipts of one tenant's trades."""

    units_of_work: UnitOfWorkFactory

    async def evidence(self, tenant_id: TenantId, trade_id: TradeId) -> bytes:
        """Return the evidence as canonical JSON, or raise `TradeNotFound`.

        That which a receipt names is returned as it was when the receipt was made.
        """
        async with self.units_of_work.begin(tenant_id) as uow:
            if receipt := await uow.receipts.find(trade_id):
                return receipt.evidence
            trade = await uow.trades.get(trade_id)
            _, content = (await gather_evidence(uow, [trade]))[trade_id]
            return content

    async def receipt(self, tenant_id: TenantId, trade_id: TradeId) -> Receipt:
        """Return the receipt, or raise `TradeNotFound` or `ReceiptPending`."""
        async with self.units_of_work.begin(tenant_id) as uow:
            if receipt := await uow.receipts.find(trade_id):
                return receipt
            trade = await uow.trades.get(trade_id)
            raise ReceiptPending(
                "a receipt is made a second or so after its trade ended",
                trade_id=trade_id,
                state=trade.public_state,
            )
