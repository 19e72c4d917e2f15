"""Gathers what is known of trades into their evidence."""

from collections.abc import Mapping, Sequence

from domain.ids import TradeId
from domain.quote.quote import LpAnswer, Quote
from domain.trade.evidence import Answer, Ask, evidence_of
from domain.trade.trade import Trade
from ports.unit_of_work import UnitOfWork


async def gather_evidence(
    uow: UnitOfWork, trades: Sequence[Trade]
) -> Mapping[TradeId, tuple[Ask, bytes]]:
    """Return the ask that each of those trades came from, and its evidence.

    Raises `QuoteNotFound` where the quote of one was put away.
    """
    quoted = await uow.quotes.get_with_answers([trade.quote_id for trade in trades])
    steps = await uow.trades.steps_of([trade.id for trade in trades])
    asks = {trade.id: _ask(*quoted[trade.quote_id]) for trade in trades}
    return {
        trade.id: (asks[trade.id], evidence_of(trade, asks[trade.id], steps[trade.id]))
        for trade in trades
    }


def _ask(quote: Quote, answers: Sequence[LpAnswer]) -> Ask:
    return Ask(
        rule=quote.routing,
        lp_reference=quote.lp_reference,
        answered_at=quote.created_at,
        expires_at=quote.expires_at,
        answers=[
            Answer(
                lp=one.lp,
                verdict=one.verdict,
                latency_ms=one.latency_ms,
                reference=one.reference,
                base=one.base,
                quote=one.quote,
                expires_at=one.expires_at,
                reason=one.reason,
                score=one.score,
                is_usable=one.is_usable_at(quote.created_at),
            )
            for one in answers
        ],
    )
