"""Receipts of trades that ended, without waiting for anybody to hear of it."""

from domain.ids import EventId, TenantId
from ports.consumer import LoggedEvent
from ports.unit_of_work import UnitOfWork
from tests.support.builders import an_id
from tests.support.platform import Platform


async def make_receipt(platform: Platform, tenant_id: str, trade_id: str) -> None:
    """Have the receipt of a trade that ended made, as if its event were replayed."""

    async def receive(uow: UnitOfWork) -> bool:
        return True

    event = LoggedEvent(
        id=an_id(EventId),
        tenant_id=TenantId.parse(tenant_id),
        sequence=1,
        type="trade.settled",
        subject=trade_id,
        failures=0,
    )
    await platform.work_container.make_receipts()([event], receive=receive)
