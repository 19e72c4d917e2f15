"""Asking an LP what became of an attempt."""

from collections.abc import Mapping

from domain.trade.attempt import Attempt
from domain.trade.outcome import Unknown
from domain.trade.trade import Trade
from ports.liquidity import LiquidityProvider, LpStatus

LP_UNUSABLE = "LP_UNUSABLE"


async def ask_status(
    providers: Mapping[str, LiquidityProvider], trade: Trade, attempt: Attempt
) -> LpStatus:
    """Return the LP's answer; of one that is not connected any more nothing can be known."""
    assert attempt.lp_expires_at is not None
    provider = providers.get(attempt.lp)
    if provider is None:
        return Unknown(reason=LP_UNUSABLE, evidence="the LP is not connected any more")
    return await provider.get_status(
        client_order_id=attempt.id,
        reference=attempt.lp_reference,
        instrument=trade.instrument,
        side=trade.side,
        lp_quote_expires_at=attempt.lp_expires_at,
    )
