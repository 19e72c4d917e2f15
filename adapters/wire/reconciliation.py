"""Breaks."""

from adapters.wire.amount import SIDE_MESSAGE, amount_message, time_message
from domain.reconciliation.break_ import Break, LateFill
from reli.reconciliation.v1 import break_pb2


def break_message(found: Break) -> break_pb2.Break:
    return break_pb2.Break(
        id=str(found.id),
        kind=found.kind,
        trade_id=str(found.trade_id),
        amount=amount_message(found.amount),
        detail=found.detail,
        raise_time=time_message(found.raised_at),
        late_fill=_late_fill_message(found.late_fill) if found.late_fill else None,
    )


def _late_fill_message(fill: LateFill) -> break_pb2.LateFill:
    return break_pb2.LateFill(
        attempt_id=str(fill.attempt_id),
        lp=fill.lp,
        venue_order_id=fill.venue_order_id,
        side=SIDE_MESSAGE[fill.side],
        base_amount=amount_message(fill.base),
        quote_amount=amount_message(fill.quote),
    )
