"""Positions at LPs and their settlements."""

from adapters.wire.amount import amount_message, time_message
from adapters.wire.enum import enum_messages
from domain.liquidity.lp_settlement import LpPosition, LpSettlement, LpSettlementState
from reli.liquidity.v1 import lp_settlement_pb2

_SETTLEMENT_STATE = enum_messages(
    LpSettlementState, lp_settlement_pb2.LpSettlementState, "LP_SETTLEMENT_STATE"
)


def lp_position_message(position: LpPosition) -> lp_settlement_pb2.LpPosition:
    return lp_settlement_pb2.LpPosition(
        lp=position.lp,
        amount=amount_message(position.amount),
        account_id=str(position.account_id),
    )


def lp_settlement_message(settlement: LpSettlement) -> lp_settlement_pb2.LpSettlement:
    return lp_settlement_pb2.LpSettlement(
        id=str(settlement.id),
        lp=settlement.lp,
        rail=settlement.rail,
        as_of_time=time_message(settlement.as_of),
        state=_SETTLEMENT_STATE[settlement.state],
        legs=[
            lp_settlement_pb2.LpSettlementLeg(
                amount=amount_message(leg.amount), entry_id=str(leg.entry_id or "")
            )
            for leg in settlement.legs
        ],
        note=settlement.note,
        proposed_by=str(settlement.proposed_by),
        propose_time=time_message(settlement.proposed_at),
        approved_by=str(settlement.approved_by or ""),
        approve_time=time_message(settlement.approved_at),
        reference=settlement.reference,
        evidence=settlement.evidence,
        ended_by=str(settlement.ended_by or ""),
        end_time=time_message(settlement.ended_at),
    )
