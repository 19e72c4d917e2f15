"""Making the receipts of trades that ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.usecase.event.replay_dead_letters import Receive
from app.usecase.trade.gather_evidence import gather_evidence
from domain.ids import TradeId
from domain.trade.receipt import Receipt, receipt_content
from ports.chain import Signer
from ports.consumer import LoggedEvent
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

CONSUMER: Final = "receipts"
ENDED: Final = frozenset({"trade.settled", "trade.rejected"})
"""Types of events that tell of a trade's end."""


@dataclass(frozen=True, slots=True)
class MakeReceipts:
    """Receipts are written with the position in the tenant's events, so that none is left out."""

    units_of_work: UnitOfWorkFactory
    directory: TenantDirectory
    signer: Signer

    @property
    def types(self) -> frozenset[str]:
        """Types of events that may have an effect."""
        return ENDED

    async def __call__(
        self, events: Sequence[LoggedEvent], *, receive: Receive | None = None
    ) -> None:
        """Deal with successive events of one tenant; the end of a trade has an effect.

        Where an event is dealt with out of its turn, `receive` tells that in the house's books
        afterwards: a receipt that is there already is left as it is.
        """
        ended = [TradeId.parse(event.subject) for event in events if event.type in ENDED]
        async with self.units_of_work.begin(events[0].tenant_id) as uow:
            is_first = receive is not None or await uow.inbox.receive(CONSUMER, events, noted=[])
            if is_first and ended:
                await self._make(uow, ended)
        if receive is not None:
            async with self.units_of_work.begin(self.directory.house_id) as uow:
                await receive(uow)

    async def _make(self, uow: UnitOfWork, ended: Sequence[TradeId]) -> None:
        trades = await uow.trades.get_all(ended)
        gathered = await gather_evidence(uow, list(trades.values()))
        made_at = await uow.now()
        receipts = []
        for id, (ask, evidence) in gathered.items():
            content = receipt_content(trades[id], ask, evidence=evidence, key_id=self.signer.key_id)
            receipts.append(
                Receipt(
                    trade_id=id,
                    content=content,
                    evidence=evidence,
                    key_id=self.signer.key_id,
                    signature=self.signer.sign(content),
                    made_at=made_at,
                )
            )
        await uow.receipts.add(receipts, self.signer)
