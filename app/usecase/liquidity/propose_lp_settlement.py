"""Proposing to pay what the house and an LP owe each other."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.errors import InvalidArgument
from domain.ids import LpSettlementId
from domain.liquidity.lp_settlement import (
    LpSettlement,
    LpSettlementEmpty,
    LpSettlementLeg,
    LpSettlementOverlaps,
)
from ports.ids import IdSource
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class LpSettlementOrder:
    """What an operator wants to have paid.

    Attributes:
        as_of: positions that were recorded by then; None: by now.
    """

    lp: str
    rail: str
    as_of: datetime | None
    note: str


@dataclass(frozen=True, slots=True)
class ProposeLpSettlement:
    """Nets what was recorded by an instant; nothing is booked before it was approved and paid."""

    once: Once
    ids: IdSource
    directory: TenantDirectory

    async def __call__(self, call: Call, order: LpSettlementOrder) -> LpSettlement:
        """Return the proposal.

        Raises `LpSettlementOpen`, `LpSettlementOverlaps`, `LpSettlementEmpty`, or
        `InvalidArgument` for an instant of the future.
        """
        settlement_id = self.ids.new(LpSettlementId)

        async def effect(uow: UnitOfWork) -> Change[LpSettlement]:
            now = await uow.now()
            as_of = order.as_of or now
            if as_of > now:
                raise InvalidArgument("as_of_time must not be of the future", field="as_of_time")
            legs = await _legs(uow, order.lp, as_of)
            if not legs:
                raise LpSettlementEmpty("nothing is owed as of that instant", lp=order.lp)
            settlement = LpSettlement(
                id=settlement_id,
                lp=order.lp,
                rail=order.rail,
                as_of=as_of,
                legs=legs,
                note=order.note,
                proposed_by=call.api_key_id,
                proposed_at=now,
            )
            await uow.lp_settlements.add(settlement)
            # Asked once this one is the open one: no other can be booked any more meanwhile.
            until = await uow.lp_settlements.settled_until(order.lp)
            if until is not None and as_of < until:
                raise LpSettlementOverlaps(
                    "the last settlement of this LP was booked after that",
                    lp=order.lp,
                    settled_until=until.isoformat(),
                )
            return Change(settlement, after=settlement)

        async def replay(uow: UnitOfWork, id: UUID) -> LpSettlement:
            return await uow.lp_settlements.get(LpSettlementId(id))

        return await self.once(call.on(self.directory.house_id), settlement_id, effect, replay)


async def _legs(uow: UnitOfWork, lp: str, as_of: datetime) -> tuple[LpSettlementLeg, ...]:
    accounts = [position.account_id for position in await uow.lp_settlements.positions(lp=lp)]
    past = [await uow.ledger.balance_at(id, recorded_by=as_of) for id in accounts]
    # The account of the book is the other side of what the LP owes us.
    return tuple(LpSettlementLeg(-one.posted) for one in past if one.posted.units)
